package handshake

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
	"golang.org/x/crypto/cryptobyte"

	"gdtls/internal/record"
)

// cookieLifetime is the time after which a new secret is made; a cookie is good
// for one to two of them (RFC 6347 4.2.1 advises to change the secret often).
const cookieLifetime = 2 * time.Minute

// Cookies makes and checks the cookies of HelloVerifyRequests without keeping
// anything about a peer (RFC 6347 4.2.1): a cookie is an HMAC-SHA256 over the
// peer's address and the parameters of its hello. Safe for concurrent use.
type Cookies struct {
	secrets atomic.Pointer[cookieSecrets]
	rotate  sync.Mutex // held while secrets is replaced
}

// cookieSecrets are not changed once published.
type cookieSecrets struct {
	current *cookieSecret   // makes cookies
	older   []*cookieSecret // whose cookies are good too
	since   time.Time
	fixed   bool // they were set, and are not replaced by themselves
}

// NewCookies makes a random secret.
func NewCookies(now time.Time) *Cookies {
	c := &Cookies{}
	c.secrets.Store(&cookieSecrets{current: randomCookieSecret(), since: now})
	return c
}

// SetKeys sets the secrets for several nodes behind one address, of which any may
// get the hello that answers another's request: cookies are made with the first key
// and good with any. Who sets keys changes them, once in a while. With none, random
// ones are made again.
func (c *Cookies) SetKeys(now time.Time, keys ...[32]byte) {
	next := &cookieSecrets{since: now, fixed: len(keys) > 0}
	for i := range keys {
		next.older = append(next.older, newCookieSecret(keys[i][:]))
	}
	if next.fixed {
		next.current, next.older = next.older[0], next.older[1:]
	} else {
		next.current = randomCookieSecret()
	}
	c.rotate.Lock()
	defer c.rotate.Unlock()
	c.secrets.Store(next)
}

// at gives the secrets for a time; the first to come after their lifetime
// replaces them.
func (c *Cookies) at(now time.Time) *cookieSecrets {
	s := c.secrets.Load()
	if s.fixed || now.Sub(s.since) < cookieLifetime || !c.rotate.TryLock() {
		return s
	}
	defer c.rotate.Unlock()
	s = c.secrets.Load()
	age := now.Sub(s.since)
	if s.fixed || age < cookieLifetime {
		return s
	}
	next := &cookieSecrets{current: randomCookieSecret(), since: now}
	if age < 2*cookieLifetime { // else nobody came for so long, and what it made is too old
		next.older = []*cookieSecret{s.current}
	}
	c.secrets.Store(next)
	return next
}

// VerifiedHello is a ClientHello whose cookie was right, or whose ticket did for one:
// what NewServer needs.
type VerifiedHello struct {
	Hello *ClientHello // in part only if the hello is malformed, which NewServer tells the client

	malformed bool
	message   []byte // the whole message with its header, for the transcript
	seq       uint16 // message_seq
	sequence  uint64 // of its record, which the server's first record takes over
	host      []byte // where the client is; empty: not known

	// Where the ticket did for the cookie, what was found in it by whom.
	sessions *Sessions
	saved    *SavedSession
}

// SetHost names the host that the client was found to receive at, such as by its IP
// address. A ticket that it is given does for a cookie there. A name of more than 255
// bytes is none.
func (v *VerifiedHello) SetHost(host []byte) {
	if len(host) < 1<<8 {
		v.host = bytes.Clone(host)
	}
}

// VerifyHello looks at the first datagram of an unknown peer. If it is a
// ClientHello with the right cookie, verified is what NewServer needs. If it is
// one without, reply is dst with the HelloVerifyRequest to send appended, which
// is never longer than the datagram. If it is anything else, both are nil. A hello
// that is fragmented is dropped, since nothing is kept. peer names the sender,
// such as by address and port. Nothing is allocated before the cookie is right,
// as long as dst has room.
func (c *Cookies) VerifyHello(datagram, peer, dst []byte, now time.Time) (verified *VerifiedHello, reply []byte) {
	rec, f, ok := wholeHello(datagram)
	if !ok {
		return nil, nil
	}
	covered, ok := coveredByCookie(f.data)
	if !ok {
		return nil, nil
	}
	secrets := c.at(now)
	right := secrets.current.cookie(peer, &covered)
	if hmac.Equal(covered.cookie, right[:]) {
		return newVerifiedHello(&rec, &f), nil
	}
	if len(covered.cookie) == len(right) {
		for _, secret := range secrets.older {
			if old := secret.cookie(peer, &covered); hmac.Equal(covered.cookie, old[:]) {
				return newVerifiedHello(&rec, &f), nil
			}
		}
	}
	var body [3 + sha256.Size]byte
	var message [handshake.HeaderLength + len(body)]byte
	request := appendHelloVerifyRequest(body[:0], right[:])
	// Since nothing is kept, the numbers of the answer are the hello's: that of the
	// record (RFC 6347 4.2.1) and that of the message, so that a client that is
	// asked twice finds every number once.
	content := append(appendHeader(message[:0], handshake.TypeHelloVerifyRequest, len(request), f.MessageSequence, 0, len(request)), request...)
	if record.HeaderSize+len(content) > len(datagram) {
		return nil, nil
	}
	return nil, record.AppendPlaintext(dst, record.TypeHandshake, record.VersionDTLS10, rec.Sequence, content)
}

// wholeHello gives the record and the message of a datagram that begins with a
// ClientHello in one piece.
func wholeHello(datagram []byte) (rec record.Record, f fragment, ok bool) {
	rec, _, ok = record.Next(datagram)
	if !ok || rec.Type != record.TypeHandshake || rec.Epoch != 0 {
		return rec, f, false
	}
	f, _, ok = nextFragment(rec.Fragment())
	return rec, f, ok && f.Type == handshake.TypeClientHello && f.FragmentLength == f.Length
}

// IsClientHello tells whether a datagram begins with a ClientHello of epoch 0. It is
// a look, no judgement.
func IsClientHello(datagram []byte) bool {
	rec, _, ok := record.Next(datagram)
	return ok && rec.Type == record.TypeHandshake && rec.Epoch == 0 &&
		len(rec.Fragment()) > 0 && handshake.Type(rec.Fragment()[0]) == handshake.TypeClientHello
}

// AppendAlert appends a record with a fatal alert that answers the hello in place of
// a machine.
func (v *VerifiedHello) AppendAlert(dst []byte, description alert.Description) []byte {
	body := [2]byte{byte(alert.Fatal), byte(description)}
	return record.AppendPlaintext(dst, record.TypeAlert, record.VersionDTLS12, v.sequence, body[:])
}

func newVerifiedHello(rec *record.Record, f *fragment) *VerifiedHello {
	v := &VerifiedHello{Hello: &ClientHello{}, seq: f.MessageSequence, sequence: rec.Sequence}
	v.message = append(v.message, rec.Fragment()[:handshake.HeaderLength+len(f.data)]...)
	v.malformed = !v.Hello.unmarshal(v.message[handshake.HeaderLength:])
	return v
}

// cookieCover is a hello's cookie, and what it covers of the hello: version and
// random before it, cipher_suites and compression_methods behind it. RFC 6347 4.2.1
// wants the session_id unchanged, too, but mbed TLS makes up another one for its
// second hello when it has a ticket, and a cookie that covered it would never fit.
type cookieCover struct {
	cookie, before, after []byte
}

func coveredByCookie(body []byte) (c cookieCover, ok bool) {
	s := cryptobyte.String(body)
	var session, suites, compressions []byte
	if !s.ReadBytes(&c.before, 2+32) || !readBytes8(&s, &session) || !readBytes8(&s, &c.cookie) {
		return c, false
	}
	c.after = s
	if !readBytes16(&s, &suites) || !readBytes8(&s, &compressions) {
		return c, false
	}
	c.after = c.after[:len(c.after)-len(s)]
	return c, true
}

// cookieSecret makes cookies. Its pool keeps keyed MACs, of which each call needs
// one for itself.
type cookieSecret struct {
	macs sync.Pool // of *cookieMAC
}

type cookieMAC struct {
	hash.Hash
	peer []byte // with its length before it
	sum  [sha256.Size]byte
}

func randomCookieSecret() *cookieSecret {
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	return newCookieSecret(secret)
}

func newCookieSecret(secret []byte) *cookieSecret {
	return &cookieSecret{macs: sync.Pool{New: func() any { return &cookieMAC{Hash: hmac.New(sha256.New, secret)} }}}
}

func (s *cookieSecret) cookie(peer []byte, c *cookieCover) (cookie [sha256.Size]byte) {
	mac := s.macs.Get().(*cookieMAC)
	defer s.macs.Put(mac)
	mac.Reset()
	// With its length, so that peer and hello cannot be shifted into each other.
	mac.peer = binary.BigEndian.AppendUint32(mac.peer[:0], uint32(len(peer)))
	mac.peer = append(mac.peer, peer...)
	mac.Write(mac.peer)
	mac.Write(c.before)
	mac.Write(c.after)
	copy(cookie[:], mac.Sum(mac.sum[:0]))
	return cookie
}
