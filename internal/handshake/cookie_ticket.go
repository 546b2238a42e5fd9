package handshake

import (
	"bytes"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"golang.org/x/crypto/cryptobyte"
)

// VerifyHello looks at the first datagram of an unknown peer, as that of [Cookies]
// does, for a hello without a cookie that has no need of one: its ticket is ours, has
// not expired, and was given to a client at the same host, which host names. Who
// comes with it has received there before, so that the exchange of a cookie, which
// RFC 6347 4.2.1 leaves to the server where a session is resumed, would only cost
// another round trip (QUIC's tokens do the same, RFC 9000 8.1.3). Who takes over another
// client's ticket has to send from that client's host. nil if the datagram is anything
// else. Nothing is kept, and nothing is allocated before the ticket has opened.
func (s *Sessions) VerifyHello(datagram, host []byte, now time.Time) *VerifiedHello {
	rec, f, ok := wholeHello(datagram)
	if !ok || len(host) == 0 {
		return nil
	}
	ticket, ok := ticketWithoutCookie(f.data)
	if !ok || s.asksAlways() {
		return nil
	}
	saved := s.open(ticket, now)
	if saved == nil || !bytes.Equal(saved.host, host) {
		return nil
	}
	v := newVerifiedHello(&rec, &f)
	if v.malformed {
		return nil
	}
	v.SetHost(host)
	v.sessions, v.saved = s, saved
	return v
}

// ticketWithoutCookie gives the ticket of a hello that has one and no cookie.
func ticketWithoutCookie(hello []byte) (ticket []byte, ok bool) {
	s := cryptobyte.String(hello)
	var session, cookie, suites, compressions []byte
	if !s.Skip(2+32) || !readBytes8(&s, &session) || !readBytes8(&s, &cookie) || len(cookie) > 0 ||
		!readBytes16(&s, &suites) || !readBytes8(&s, &compressions) {
		return nil, false
	}
	ok = eachExtension(&s, func(t extension.TypeValue, data cryptobyte.String) bool {
		if t == extensionSessionTicket {
			ticket = data
		}
		return true
	})
	return ticket, ok && len(ticket) > 0
}

// SetCookieAlways sets whether clients that resume a session have to show a cookie
// even where their ticket would do.
func (s *Sessions) SetCookieAlways(always bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cookieAlways = always
}

func (s *Sessions) asksAlways() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cookieAlways
}

// HasRandom tells whether a datagram begins with a ClientHello in one piece that has
// this random.
func HasRandom(datagram []byte, random *[32]byte) bool {
	_, f, ok := wholeHello(datagram)
	const before = 2 // the version
	return ok && len(f.data) >= before+len(random) && bytes.Equal(f.data[before:before+len(random)], random[:])
}
