package handshake

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/extension"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// resumption is a pair of configurations whose sessions can be resumed.
type resumption struct {
	client, server Config
	answers        answers
	noTickets      bool   // the client does not know tickets
	host           string // of the client; with one a ticket does for a cookie
	link           link
}

// hosts are without and with one.
var hosts = []string{"", "192.0.2.1"}

func newResumption(t testing.TB) *resumption {
	return &resumption{
		client: Config{Resumable: true, ServerName: "server.example", ALPN: []string{"a"}},
		server: Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, ALPN: []string{"a", "b"},
			Sessions: NewSessions(NewMemoryStore(100, 1<<20))},
	}
}

func (r *resumption) withKey() *resumption {
	r.client.PSK, r.server.PSK, r.server.Certificates = true, true, nil
	r.answers = answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
	return r
}

func (r *resumption) withClientCertificate(t testing.TB, kind string) *resumption {
	r.server.ClientAuth = RequireClientCertificate
	r.answers.clientCertificate = testCertificate(t, kind)
	return r
}

// play makes a handshake, which resumes a session if one is given.
func (r *resumption) play(t testing.TB, saved *SavedSession) *simulation {
	t.Helper()
	client, server := r.client, r.server
	client.Resume = saved
	sim := newSimulation(t, &client, &server, r.answers, r.link)
	sim.host = r.host
	if r.noTickets {
		rehello(sim.client, func(h *ClientHello) { h.hasTicket = false })
	}
	sim.run(10 * time.Minute)
	return sim
}

// first makes the full handshake and gives its session.
func (r *resumption) first(t *testing.T) *SavedSession {
	t.Helper()
	sim := r.play(t, nil)
	checkAgreement(t, sim)
	s := sim.client.Session()
	if s.Resumed || s.Saved == nil {
		t.Fatalf("resumed %v, saved %v", s.Resumed, s.Saved)
	}
	return s.Saved
}

// again resumes, or does not, and gives what became of it.
func (r *resumption) again(t *testing.T, saved *SavedSession, resumed bool) *simulation {
	t.Helper()
	sim := r.play(t, saved)
	checkAgreement(t, sim)
	if c, s := sim.client.Session(), sim.server.Session(); c.Resumed != resumed || s.Resumed != resumed {
		t.Fatalf("resumed: client %v, server %v, want %v", c.Resumed, s.Resumed, resumed)
	}
	return sim
}

// TestResumption resumes sessions of every kind, by ticket and by session id.
func TestResumption(t *testing.T) {
	for name, r := range map[string]*resumption{
		"certificate":        newResumption(t),
		"key":                newResumption(t).withKey(),
		"client certificate": newResumption(t).withClientCertificate(t, "ECDSA P-256"),
		"long client chain":  newResumption(t).withClientCertificate(t, "RSA"),
	} {
		for i := range 4 {
			noTickets, host := i%2 == 1, hosts[i/2]
			t.Run(fmt.Sprintf("%s, tickets %v, host %q", name, !noTickets, host), func(t *testing.T) {
				r := *r
				r.noTickets, r.host = noTickets, host
				saved := r.first(t)
				if byTicket := saved.Ticket != nil; byTicket == noTickets || byTicket != (saved.ID == nil) {
					if !byTicket && name != "long client chain" {
						t.Errorf("ticket of %d bytes, id of %d", len(saved.Ticket), len(saved.ID))
					}
				}
				r.client.ALPN = []string{"b"} // is agreed on anew
				sim := r.again(t, saved, true)
				c, s := sim.client.Session(), sim.server.Session()
				if c.ALPN != "b" || c.MasterSecret != saved.MasterSecret || c.Suite != saved.Suite || s.ServerName != "server.example" {
					t.Errorf("agreed on %q, %s, name %q", c.ALPN, c.Suite.Name, s.ServerName)
				}
				if r.server.PSK {
					if string(s.PSKIdentity) != "me" || string(c.PSKIdentity) != "me" {
						t.Errorf("identities %q and %q", c.PSKIdentity, s.PSKIdentity)
					}
				} else if !bytes.Equal(c.PeerChain[0], r.server.Certificates[0].Chain[0]) {
					t.Error("client knows another certificate")
				}
				if own := r.answers.clientCertificate; own != nil && !bytes.Equal(s.PeerChain[0], own.Chain[0]) {
					t.Error("server knows another client certificate")
				}
				if got := sim.server.Stats().Flights; got != 1 {
					t.Errorf("server sent %d flights", got)
				}
				hellos := uint64(2)
				if saved.Ticket != nil && host != "" {
					hellos = 1
				}
				if got := sim.client.Stats().Flights; got != hellos+1 {
					t.Errorf("client sent %d flights, want %d hellos and a Finished", got, hellos)
				}
				if c.Saved == nil || !c.Saved.Expires.Equal(saved.Expires) {
					t.Error("resuming a session changed when it expires")
				}
				r.again(t, c.Saved, true)
				r.again(t, saved, true)
			})
		}
	}
}

// TestNotResumed asserts that a session that does not fit any more leads to a full
// handshake.
func TestNotResumed(t *testing.T) {
	unsuited := []uint16{0xc02c}
	for name, test := range map[string]struct {
		r      *resumption
		change func(*resumption, *SavedSession)
	}{
		"no memory":     {newResumption(t), func(r *resumption, _ *SavedSession) { r.server.Sessions = nil }},
		"other keys":    {newResumption(t), func(r *resumption, _ *SavedSession) { r.server.Sessions = NewSessions(nil) }},
		"other name":    {newResumption(t), func(r *resumption, s *SavedSession) { r.client.ServerName, s.ServerName = "other", "other" }},
		"client's name": {newResumption(t), func(r *resumption, _ *SavedSession) { r.client.ServerName = "other" }},
		"server's suites": {newResumption(t), func(r *resumption, _ *SavedSession) {
			r.server.Suites = unsuited
		}},
		"client's suites": {newResumption(t), func(r *resumption, _ *SavedSession) { r.client.Suites = unsuited }},
		"other certificate": {newResumption(t), func(r *resumption, _ *SavedSession) {
			r.server.Certificates = []*Certificate{testCertificate(t, "Ed25519")}
		}},
		"expired": {newResumption(t), func(r *resumption, _ *SavedSession) { r.server.Sessions.SetLifetime(time.Nanosecond) }},
		"certificate required now": {newResumption(t), func(r *resumption, _ *SavedSession) {
			r.withClientCertificate(t, "ECDSA P-256")
		}},
		"no certificate wanted now": {newResumption(t).withClientCertificate(t, "ECDSA P-256"), func(r *resumption, _ *SavedSession) {
			r.server.ClientAuth = NoClientCertificate
		}},
		"other key": {newResumption(t).withKey(), func(r *resumption, _ *SavedSession) {
			r.answers.key, r.answers.psk["me"] = []byte("new"), []byte("new")
		}},
		"other identity": {newResumption(t).withKey(), func(r *resumption, _ *SavedSession) {
			delete(r.answers.psk, "me")
			r.answers.identity, r.answers.psk["you"] = "you", []byte("key")
		}},
		"changed ticket": {newResumption(t), func(_ *resumption, s *SavedSession) { s.Ticket[len(s.Ticket)-1] ^= 1 }},
		"short ticket":   {newResumption(t), func(_ *resumption, s *SavedSession) { s.Ticket = s.Ticket[:ticketOverhead-1] }},
		"unknown id": {&resumption{client: newResumption(t).client, server: newResumption(t).server, noTickets: true},
			func(_ *resumption, s *SavedSession) { s.ID[0] ^= 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			saved := *test.r.first(t)
			saved.Ticket, saved.ID = bytes.Clone(saved.Ticket), bytes.Clone(saved.ID)
			test.change(test.r, &saved)
			sim := test.r.again(t, &saved, false)
			if s := sim.client.Session().Saved; s != nil && bytes.Equal(s.Ticket, saved.Ticket) && saved.Ticket != nil {
				t.Error("the old ticket is kept")
			}
		})
	}
}

// TestRefusedResumption asserts that a client whose certificate is not acceptable
// any more has to show one anew, and that it is asked about as any other.
func TestRefusedResumption(t *testing.T) {
	r := newResumption(t).withClientCertificate(t, "ECDSA P-256")
	saved := r.first(t)
	r.answers.refuseClient = NewError(KindBadCertificate, alert.CertificateRevoked, "revoked")
	sim := r.play(t, saved)
	checkFailure(t, sim, KindPeerAlert, alert.CertificateRevoked, KindBadCertificate, alert.CertificateRevoked)
}

// TestResumptionNeedsExtendedMaster is RFC 7627 5.3 on both sides.
func TestResumptionNeedsExtendedMaster(t *testing.T) {
	t.Run("client leaves it out", func(t *testing.T) {
		r := newResumption(t)
		saved := r.first(t)
		r.client.Resume = saved
		sim := newSimulation(t, &r.client, &r.server, r.answers, link{})
		rehello(sim.client, func(h *ClientHello) { h.ExtendedMaster = false })
		sim.run(time.Minute)
		checkFailure(t, sim, KindPeerAlert, alert.HandshakeFailure, KindProtocol, alert.HandshakeFailure)
	})
	t.Run("no session without it", func(t *testing.T) {
		r := newResumption(t)
		sim := newSimulation(t, &r.client, &r.server, r.answers, link{})
		rehello(sim.client, func(h *ClientHello) { h.ExtendedMaster = false })
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if sim.client.Session().Saved != nil {
			t.Error("a session without extended master secret can be resumed")
		}
	})
	for name, test := range map[string]struct {
		change func(*serverHello)
		alert  alert.Description
	}{
		"server leaves it out":      {func(h *serverHello) { h.extendedMaster = false }, alert.HandshakeFailure},
		"server with another suite": {func(h *serverHello) { h.suite = 0xc02c }, alert.IllegalParameter},
	} {
		t.Run(name, func(t *testing.T) {
			r := newResumption(t)
			cfg := r.client
			cfg.Resume = r.first(t)
			p := puppetServer(t, &cfg)
			h := p.flight().hello
			h.sessionID = p.m.side.(*client).hello.SessionID
			test.change(&h)
			p.send(handshake.TypeServerHello, h.marshal())
			if err := p.m.Err(); err == nil || err.Alert != test.alert {
				t.Errorf("failed with %v", err)
			}
		})
	}
}

// TestResumptionEachDatagramLost drops each datagram once; the client's Finished is
// the last one here.
func TestResumptionEachDatagramLost(t *testing.T) {
	for _, host := range hosts {
		r := newResumption(t)
		r.host = host
		saved := r.first(t)
		for _, fromClient := range []bool{true, false} {
			for n := range 3 {
				r.link = link{delay: time.Millisecond, tamper: func(c bool, i int, d []byte) []byte {
					if c == fromClient && i == n {
						return nil
					}
					return d
				}}
				sim := r.again(t, saved, true)
				if waited := sim.now.Sub(sim.start); waited > 1100*time.Millisecond {
					t.Errorf("host %q, client %v, datagram %d: took %v", host, fromClient, n, waited)
				}
			}
		}
	}
}

func TestResumptionLossy(t *testing.T) {
	r := newResumption(t).withClientCertificate(t, "ECDSA P-256")
	r.client.Patience, r.server.Patience = time.Hour, time.Hour
	for seed := range uint64(200) {
		r.host, r.link = hosts[seed%2], link{}
		saved := r.first(t)
		r.link = link{drop: 0.3, duplicate: 0.1, delay: 5 * time.Millisecond, jitter: 20 * time.Millisecond,
			rng: mathrand.New(mathrand.NewPCG(seed, 2))}
		r.again(t, saved, true)
	}
}

// TestFailedResumptionForgets asserts that a session is not resumed again after a
// handshake that failed with it (RFC 5246 7.2.2).
func TestFailedResumptionForgets(t *testing.T) {
	r := newResumption(t)
	r.noTickets = true
	saved := r.first(t)
	wrong := *saved
	wrong.MasterSecret[0] ^= 1
	if sim := r.play(t, &wrong); sim.client.Done() || sim.server.Done() {
		t.Fatalf("another master secret made no difference: %v", sim)
	}
	r.again(t, saved, false)
}

func TestMalformedTicketMessages(t *testing.T) {
	for _, body := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 1, 0}, {0, 0, 0, 1, 0, 2, 1}, {0, 0, 0, 1, 0, 0, 1}} {
		var m newSessionTicket
		if m.unmarshal(body) {
			t.Errorf("%x was accepted", body)
		}
	}
	t.Run("unpromised", func(t *testing.T) {
		r := newResumption(t)
		cfg := r.client
		cfg.Resume = r.first(t)
		p := puppetServer(t, &cfg)
		h := p.flight().hello
		h.sessionID = p.m.side.(*client).hello.SessionID
		p.send(handshake.TypeServerHello, h.marshal())
		p.send(typeNewSessionTicket, (&newSessionTicket{}).marshal())
		wantFailure(t, p.m, KindProtocol, alert.UnexpectedMessage, "NewSessionTicket while Finished")
	})
	t.Run("unasked", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		f := p.flight()
		f.hello.sessionTicket = true
		p.play(f)
		wantFailure(t, p.m, KindProtocol, alert.UnsupportedExtension, "extension 35")
	})
	t.Run("with content", func(t *testing.T) {
		p := puppetServer(t, &Config{Resumable: true})
		f := p.flight()
		f.hello.secureRenegotiate, f.hello.extendedMaster = false, false
		f.hello.sessionTicket = true
		f.helloBody = func(body []byte) []byte {
			at := bytes.LastIndex(body, []byte{0, 35, 0, 0})
			body = slices.Concat(body[:at-2], block(ext(extension.TypeValue(35), 1)))
			return body
		}
		p.play(f)
		wantFailure(t, p.m, KindProtocol, alert.DecodeError, "ServerHello")
	})
}

// TestLongTicket asserts that a ticket which no hello could hold is not kept.
func TestLongTicket(t *testing.T) {
	for size, kept := range map[int]bool{maxPeerTicket: true, maxPeerTicket + 1: false, 65_000: false} {
		r := newResumption(t)
		m, err := NewClient(&r.client, puppetStart)
		if err != nil {
			t.Fatal(err)
		}
		c := m.side.(*client)
		body := (&newSessionTicket{ticket: make([]byte, size)}).marshal()
		if err := c.sessionTicket(m, &message{typ: typeNewSessionTicket, body: body}); err != nil {
			t.Fatal(err)
		}
		m.suite, m.session.ExtendedMaster = SuiteByID(0xc02b), true
		saved := c.saved(m, puppetStart)
		if (saved != nil) != kept {
			t.Fatalf("%d bytes: kept %v", size, saved != nil)
		}
		if !kept {
			continue
		}
		r.client.Resume = saved
		if m, err = NewClient(&r.client, puppetStart); err != nil {
			t.Fatal(err)
		}
		if out := m.Output(); len(out) != 1 || len(out[0]) < size {
			t.Errorf("%d bytes: hello in %d datagrams", size, len(out))
		}
	}
}

// FuzzResumption resumes a session in a handshake of which one datagram is changed
// at one place.
func FuzzResumption(f *testing.F) {
	r := newResumption(f).withClientCertificate(f, "ECDSA P-256")
	r.host = hosts[1]
	saved := r.play(f, nil).client.Session().Saved
	if saved == nil {
		f.Fatal("no session to resume")
	}
	for n := range uint8(6) {
		for how := range mutations {
			f.Add(n%2 == 0, n/2, n%3, uint16(7*n), uint8(how), byte(1<<n))
			f.Add(n%2 == 0, 8+n/2, n%3, uint16(7*n), uint8(how), byte(1<<n))
		}
	}
	f.Fuzz(func(t *testing.T, fromClient bool, n, rec uint8, offset uint16, how, value uint8) {
		r := *r
		r.host = hosts[n/8%2]
		r.link = link{delay: time.Millisecond, tamper: func(c bool, i int, d []byte) []byte {
			if c == fromClient && i == int(n%8) {
				return mutate(d, rec, offset, mutation(how), value)
			}
			return d
		}}
		checkEnd(t, r.play(t, saved))
	})
}
