package handshake

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
	"sync/atomic"
	"time"

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
	current, previous sync.Pool // of hash.Hash keyed with a secret
	since             time.Time
	secret            []byte
}

// NewCookies makes a random secret.
func NewCookies(now time.Time) *Cookies {
	c := &Cookies{}
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	c.secrets.Store(newCookieSecrets(secret, secret, now))
	return c
}

func newCookieSecrets(current, previous []byte, now time.Time) *cookieSecrets {
	pool := func(secret []byte) sync.Pool {
		return sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
	}
	return &cookieSecrets{current: pool(current), previous: pool(previous), since: now, secret: current}
}

func (c *Cookies) at(now time.Time) *cookieSecrets {
	s := c.secrets.Load()
	if now.Sub(s.since) < cookieLifetime || !c.rotate.TryLock() {
		return s
	}
	defer c.rotate.Unlock()
	if s = c.secrets.Load(); now.Sub(s.since) < cookieLifetime {
		return s
	}
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	next := newCookieSecrets(secret, s.secret, now)
	c.secrets.Store(next)
	return next
}

// VerifiedHello is a ClientHello whose cookie was right: what NewServer needs.
type VerifiedHello struct {
	Hello *ClientHello

	message  []byte // the whole message with its header, for the transcript
	seq      uint16 // message_seq
	sequence uint64 // of its record, which the server's first record takes over
}

// VerifyHello looks at the first datagram of an unknown peer. If it is a
// ClientHello with the right cookie, verified is what NewServer needs. If it is
// one without, reply is the HelloVerifyRequest to send, appended to dst and never
// longer than the datagram. If it is anything else, both are empty. A hello that
// is fragmented is dropped, since nothing is kept. peer names the sender, such as
// by address and port.
func (c *Cookies) VerifyHello(datagram, peer, dst []byte, now time.Time) (verified *VerifiedHello, reply []byte) {
	rec, _, ok := record.Next(datagram)
	if !ok || rec.Type != record.TypeHandshake || rec.Epoch != 0 {
		return nil, nil
	}
	f, _, ok := nextFragment(rec.Fragment())
	if !ok || f.Type != handshake.TypeClientHello || f.FragmentLength != f.Length {
		return nil, nil
	}
	cookie, before, after, ok := cookieParts(f.data)
	if !ok {
		return nil, nil
	}
	secrets := c.at(now)
	var buf [sha256.Size]byte
	if len(cookie) == sha256.Size &&
		(hmac.Equal(cookie, computeCookie(&secrets.current, buf[:0], peer, before, after)) ||
			hmac.Equal(cookie, computeCookie(&secrets.previous, buf[:0], peer, before, after))) {
		message := append([]byte(nil), rec.Fragment()[:handshake.HeaderLength+len(f.data)]...)
		hello, err := parseClientHello(message[handshake.HeaderLength:])
		if err != nil {
			return nil, nil
		}
		return &VerifiedHello{Hello: hello, message: message, seq: f.MessageSequence, sequence: rec.Sequence}, nil
	}
	var body [3 + sha256.Size]byte
	var message [handshake.HeaderLength + len(body)]byte
	request := appendHelloVerifyRequest(body[:0], computeCookie(&secrets.current, buf[:0], peer, before, after))
	content := append(appendHeader(message[:0], handshake.TypeHelloVerifyRequest, len(request), 0, 0, len(request)), request...)
	start := len(dst)
	// The hello's record sequence number is taken over (RFC 6347 4.2.1).
	reply = record.AppendPlaintext(dst, record.TypeHandshake, record.VersionDTLS10, rec.Sequence, content)
	if len(reply)-start > len(datagram) {
		return nil, nil
	}
	return nil, reply
}

// cookieParts gives the cookie of a hello and what stands before and behind it as
// far as the cookie covers it: version, random, session_id, cipher_suites and
// compression_methods.
func cookieParts(body []byte) (cookie, before, after []byte, ok bool) {
	s := cryptobyte.String(body)
	var session, suites, compressions []byte
	if !s.Skip(2+32) || !readBytes8(&s, &session) {
		return nil, nil, nil, false
	}
	before = body[:len(body)-len(s)]
	if !readBytes8(&s, &cookie) {
		return nil, nil, nil, false
	}
	after = s
	if !readBytes16(&s, &suites) || !readBytes8(&s, &compressions) {
		return nil, nil, nil, false
	}
	return cookie, before, after[:len(after)-len(s)], true
}

func computeCookie(pool *sync.Pool, dst, peer, before, after []byte) []byte {
	mac := pool.Get().(hash.Hash)
	defer pool.Put(mac)
	mac.Reset()
	var n [1]byte
	n[0] = byte(len(peer)) // so that address and hello cannot be shifted into each other
	mac.Write(n[:])
	mac.Write(peer)
	mac.Write(before)
	mac.Write(after)
	return mac.Sum(dst)
}
