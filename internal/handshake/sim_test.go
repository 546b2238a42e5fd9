package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"
)

// keyKinds are the kinds of keys that a certificate may have.
var keyKinds = []string{"ECDSA P-256", "ECDSA P-384", "Ed25519", "RSA"}

var testCertificates sync.Map

// testCertificate makes a self-signed certificate, once a kind.
func testCertificate(t testing.TB, kind string) *Certificate {
	t.Helper()
	if c, ok := testCertificates.Load(kind); ok {
		return c.(*Certificate)
	}
	var signer crypto.Signer
	var err error
	switch kind {
	case "ECDSA P-256":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECDSA P-384":
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "Ed25519":
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case "RSA":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: kind},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"server.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCertificate([][]byte{der}, signer)
	if err != nil {
		t.Fatal(err)
	}
	testCertificates.Store(kind, c)
	return c
}

// link is how datagrams travel in a simulation. The zero value loses nothing and
// takes no time.
type link struct {
	drop, duplicate float64
	delay, jitter   time.Duration // jitter reorders
	rng             *mathrand.Rand
	tamper          func(fromClient bool, n int, datagram []byte) []byte // nil result: lost
	split           func(fromClient bool, datagram []byte) [][]byte      // one datagram into many
}

// answers decide for a simulation's machines.
type answers struct {
	psk               map[string][]byte // identity to key, of the server
	identity          string            // of the client
	key               []byte
	refuseServer      *Error
	refuseClient      *Error
	clientCertificate *Certificate
}

// simulation runs a client and a server in virtual time.
type simulation struct {
	client, server *Machine
	cookies        *Cookies
	host           string // of the client, for its tickets; empty: they do not do for a cookie
	serverConfig   *Config
	answers        answers
	link           link
	now, start     time.Time
	inFlight       []travelling
	sent           [2]int
	posted         int               // for the order of what arrives at one time
	before         func(arrived int) // is called before each datagram arrives
	arrived        int
	hesitate       func(*Machine, Question) time.Duration // how long an answer takes; nil: no time
	pending        [2]pendingAnswer
}

// pendingAnswer is one that a simulation will give later.
type pendingAnswer struct {
	question Question
	until    time.Time
}

type travelling struct {
	at       time.Time
	order    int
	toServer bool
	datagram []byte
}

func newSimulation(t testing.TB, client, server *Config, a answers, l link) *simulation {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c, err := NewClient(client, start)
	if err != nil {
		t.Fatal(err)
	}
	return &simulation{client: c, cookies: NewCookies(start), serverConfig: server, answers: a, link: l, now: start, start: start}
}

func (s *simulation) post(datagram []byte, toServer bool) {
	if s.link.split == nil {
		s.postOne(datagram, toServer)
		return
	}
	for _, d := range s.link.split(toServer, datagram) {
		s.postOne(d, toServer)
	}
}

func (s *simulation) postOne(datagram []byte, toServer bool) {
	side := 0
	if !toServer {
		side = 1
	}
	n := s.sent[side]
	s.sent[side]++
	datagram = append([]byte(nil), datagram...)
	if s.link.tamper != nil {
		if datagram = s.link.tamper(toServer, n, datagram); datagram == nil {
			return
		}
	}
	copies := 1
	if s.link.rng != nil {
		if s.link.rng.Float64() < s.link.drop {
			return
		}
		if s.link.rng.Float64() < s.link.duplicate {
			copies = 2
		}
	}
	for range copies {
		s.posted++
		at := s.now.Add(s.link.delay)
		if s.link.jitter > 0 {
			at = at.Add(time.Duration(s.link.rng.Int64N(int64(s.link.jitter))))
		}
		s.inFlight = append(s.inFlight, travelling{at, s.posted, toServer, append([]byte(nil), datagram...)})
	}
}

// pump sends what the machines have and answers what they ask.
func (s *simulation) pump() {
	for again := true; again; {
		again = false
		for _, m := range []*Machine{s.client, s.server} {
			if m == nil {
				continue
			}
			for _, d := range m.Output() {
				s.post(d, m == s.client)
			}
			if q := m.Question(); q != NoQuestion && !s.hesitates(m, q) {
				s.answer(m, q)
				again = true
			}
		}
	}
}

// hesitates tells whether a question is not answered yet.
func (s *simulation) hesitates(m *Machine, q Question) bool {
	if s.hesitate == nil {
		return false
	}
	p := &s.pending[0]
	if m == s.server {
		p = &s.pending[1]
	}
	if p.question != q {
		p.question, p.until = q, s.now.Add(s.hesitate(m, q))
	}
	if s.now.Before(p.until) {
		return true
	}
	p.question = NoQuestion
	return false
}

func (s *simulation) answer(m *Machine, q Question) {
	switch {
	case q == AskCertificate && m == s.client:
		m.AnswerCertificate(s.answers.refuseServer, s.now)
	case q == AskCertificate:
		m.AnswerCertificate(s.answers.refuseClient, s.now)
	case q == AskClientCertificate:
		m.AnswerClientCertificate(s.answers.clientCertificate, s.now)
	case q == AskSignature:
		r := m.SignatureRequest()
		signature, err := r.Signer.Sign(rand.Reader, r.Digest, r.Options)
		m.AnswerSignature(signature, err, s.now)
	case q == AskPSK && m == s.client:
		m.AnswerPSK([]byte(s.answers.identity), s.answers.key, s.now)
	case q == AskPSK:
		m.AnswerPSK(nil, s.answers.psk[string(m.PSKIdentity())], s.now)
	}
}

func (s *simulation) over() bool {
	settled := func(m *Machine) bool { return m != nil && (m.Done() || m.Err() != nil) }
	return settled(s.client) && settled(s.server) ||
		s.client.Err() != nil && s.server == nil
}

// run goes on until both sides are done or have failed, or the time is over.
func (s *simulation) run(limit time.Duration) {
	for s.pump(); !s.over() && s.now.Sub(s.start) < limit; s.pump() {
		// What is next: a datagram that arrives, or a timer.
		next := -1
		for i, d := range s.inFlight {
			if next < 0 || d.at.Before(s.inFlight[next].at) ||
				d.at.Equal(s.inFlight[next].at) && d.order < s.inFlight[next].order {
				next = i
			}
		}
		var timer *Machine
		for _, m := range []*Machine{s.client, s.server} {
			if m == nil || m.Deadline().IsZero() || next >= 0 && !m.Deadline().Before(s.inFlight[next].at) {
				continue
			}
			if timer == nil || m.Deadline().Before(timer.Deadline()) {
				timer = m
			}
		}
		if p := s.nextAnswer(); !p.IsZero() &&
			(next < 0 || p.Before(s.inFlight[next].at)) && (timer == nil || p.Before(timer.Deadline())) {
			s.now = p
			continue
		}
		if timer != nil {
			if d := timer.Deadline(); d.After(s.now) {
				s.now = d
			}
			timer.Expire(s.now)
			continue
		}
		if next < 0 {
			return
		}
		d := s.inFlight[next]
		s.inFlight = append(s.inFlight[:next], s.inFlight[next+1:]...)
		s.now = d.at
		if s.before != nil {
			s.before(s.arrived)
		}
		s.arrived++
		switch {
		case !d.toServer:
			s.deliver(s.client, d.datagram)
		case s.server == nil:
			verified, reply := s.verifyHello(d.datagram)
			if len(reply) > 0 {
				s.post(reply, false)
			}
			if verified != nil {
				s.server = NewServer(s.serverConfig, verified, s.now)
			}
		default:
			s.deliver(s.server, d.datagram)
		}
	}
}

func (s *simulation) verifyHello(datagram []byte) (verified *VerifiedHello, reply []byte) {
	if sessions := s.serverConfig.Sessions; sessions != nil && s.host != "" {
		if verified = sessions.VerifyHello(datagram, []byte(s.host), s.now); verified != nil {
			return verified, nil
		}
	}
	if verified, reply = s.cookies.VerifyHello(datagram, puppetAddress, nil, s.now); verified != nil {
		verified.SetHost([]byte(s.host))
	}
	return verified, reply
}

// nextAnswer is when the next answer is given, zero if none is.
func (s *simulation) nextAnswer() (next time.Time) {
	for i, m := range []*Machine{s.client, s.server} {
		if p := s.pending[i]; m != nil && m.Question() != NoQuestion && p.question == m.Question() && (next.IsZero() || p.until.Before(next)) {
			next = p.until
		}
	}
	return next
}

// deliver gives a datagram to a machine, or to what its connection would do after
// the handshake: the last flight again for each authenticated repetition of the
// peer's Finished.
func (s *simulation) deliver(m *Machine, datagram []byte) {
	if !m.Done() {
		m.Receive(datagram, s.now)
		return
	}
	session := m.Session()
	if session.LastFlight == nil || !repeatsFinished(session, datagram) {
		return
	}
	datagrams, err := session.LastFlight.Datagrams(session.Sealer)
	if err != nil {
		panic(err)
	}
	for _, again := range datagrams {
		s.post(again, m == s.client)
	}
}

func (s *simulation) String() string {
	describe := func(m *Machine) string {
		switch {
		case m == nil:
			return "not started"
		case m.Err() != nil:
			return fmt.Sprintf("failed (%v)", m.Err())
		case m.Done():
			return "done"
		}
		return fmt.Sprintf("unfinished (awaits message %d, question %d)", m.in.next, m.Question())
	}
	return fmt.Sprintf("after %v: client %s, server %s", s.now.Sub(s.start), describe(s.client), describe(s.server))
}
