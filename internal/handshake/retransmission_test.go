package handshake

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"gdtls/internal/record"
)

// TestTimer asserts the RFC's time-outs: 1 s, doubled up to 60 s.
func TestTimer(t *testing.T) {
	p := puppetServer(t, &Config{Patience: time.Hour})
	var waits []time.Duration
	for range 10 {
		p.m.Output()
		d := p.m.Deadline()
		p.m.Expire(d.Add(-time.Nanosecond))
		if len(p.m.Output()) != 0 {
			t.Fatal("sent before the time")
		}
		waits = append(waits, d.Sub(p.now)/time.Second)
		p.now = d
		p.m.Expire(p.now)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60, 60}; !slices.Equal(waits, want) {
		t.Errorf("waited %d s, want %d", waits, want)
	}
	if s := p.m.Stats(); s.Flights != 11 || s.Repeated != 10 {
		t.Errorf("counted %+v", s)
	}
}

func TestPatience(t *testing.T) {
	for _, patience := range []time.Duration{10 * time.Millisecond, time.Second, 5 * time.Second, 5 * time.Minute} {
		p := puppetServer(t, &Config{Patience: patience})
		for p.m.Err() == nil {
			p.now = p.m.Deadline()
			p.m.Expire(p.now)
			p.m.Output()
		}
		if waited := p.now.Sub(puppetStart); waited != patience {
			t.Errorf("gave up after %v, want %v", waited, patience)
		}
		wantFailure(t, p.m, KindTimeout, 0, "not answered for "+patience.String())
	}
}

// TestSlowDecision takes very long for each answer. The clock does not run in the
// meantime, and begins anew afterwards.
func TestSlowDecision(t *testing.T) {
	const slow = 10 * time.Minute
	t.Run("client", func(t *testing.T) {
		p := puppetServer(t, &Config{})
		p.play(p.flight())
		if !p.m.Deadline().IsZero() {
			t.Fatal("the clock runs while the application decides")
		}
		p.m.Output()
		p.now = p.now.Add(slow)
		p.m.Expire(p.now)
		wantWaiting(t, p.m)
		p.m.AnswerCertificate(nil, p.now)
		if got := p.m.Deadline().Sub(p.now); got != initialTimeout {
			t.Fatalf("wants to be woken after %v, want %v", got, initialTimeout)
		}
		p.m.Output()
		p.now = p.m.Deadline()
		p.m.Expire(p.now)
		wantWaiting(t, p.m)
		if len(p.m.Output()) == 0 {
			t.Error("did not send its flight again")
		}
	})
	t.Run("server", func(t *testing.T) {
		p := puppetClient(t, &Config{PSK: true}, newRawHello(0x00a8))
		p.m.Output()
		p.send(16, []byte{0, 2, 'm', 'e'})
		if p.m.Question() != AskPSK || !p.m.Deadline().IsZero() {
			t.Fatalf("asks %d", p.m.Question())
		}
		p.now = p.now.Add(slow)
		p.m.AnswerPSK(nil, []byte("key"), p.now)
		p.m.Expire(p.now)
		if wantWaiting(t, p.m); len(p.m.Output()) != 0 {
			t.Error("sent its flight again though no time has passed since the answer")
		}
		if got := p.m.Deadline().Sub(p.now); got != initialTimeout {
			t.Errorf("wants to be woken after %v, want %v", got, initialTimeout)
		}
	})
}

// disturbed runs a handshake with client certificate and small datagrams, over a
// link that does something with one of them.
func disturbed(t *testing.T, do func(sim *simulation, fromClient bool, n int, d []byte) []byte) *simulation {
	t.Helper()
	certificate := testCertificate(t, "ECDSA P-256")
	server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, MTU: 200}
	sim := newSimulation(t, &Config{MTU: 200}, server, answers{clientCertificate: certificate}, link{delay: time.Millisecond})
	sim.link.tamper = func(fromClient bool, n int, d []byte) []byte { return do(sim, fromClient, n, d) }
	sim.run(time.Minute)
	checkAgreement(t, sim)
	return sim
}

// TestEachDatagramDisturbed loses, doubles or delays each single datagram of a
// handshake, in both directions. One loss costs one time-out; nothing else costs
// any, nor makes a storm.
func TestEachDatagramDisturbed(t *testing.T) {
	whole := disturbed(t, func(_ *simulation, _ bool, _ int, d []byte) []byte { return d })
	for side, count := range whole.sent {
		if count < 5 {
			t.Fatalf("only %v datagrams each way: flights are to have several", whole.sent)
		}
		for n := range count {
			fromClient := side == 0
			this := func(c bool, i int) bool { return c == fromClient && i == n }
			name := fmt.Sprintf("client %v, datagram %d", fromClient, n)
			check := func(what string, sim *simulation, longest time.Duration, repeated uint64) {
				if took := sim.now.Sub(sim.start); took > longest {
					t.Errorf("%s %s: took %v, want at most %v", name, what, took, longest)
				}
				if got := sim.client.Stats().Repeated + sim.server.Stats().Repeated; got > repeated {
					t.Errorf("%s %s: %d flights were repeated, want at most %d", name, what, got, repeated)
				}
			}
			check("lost", disturbed(t, func(_ *simulation, c bool, i int, d []byte) []byte {
				if this(c, i) {
					return nil
				}
				return d
			}), initialTimeout+50*time.Millisecond, 2)
			check("doubled", disturbed(t, func(sim *simulation, c bool, i int, d []byte) []byte {
				if this(c, i) {
					sim.arrive(d, c, time.Millisecond)
				}
				return d
			}), 50*time.Millisecond, 0)
			check("tripled late", disturbed(t, func(sim *simulation, c bool, i int, d []byte) []byte {
				if this(c, i) {
					sim.arrive(d, c, 3*time.Millisecond)
					sim.arrive(d, c, 5*time.Millisecond)
				}
				return d
			}), 50*time.Millisecond, 0)
			check("overtaken", disturbed(t, func(sim *simulation, c bool, i int, d []byte) []byte {
				if this(c, i) {
					sim.arrive(d, c, 30*time.Millisecond)
					return nil
				}
				return d
			}), 100*time.Millisecond, 0)
		}
	}
}

// arrive puts another copy of a datagram on its way.
func (s *simulation) arrive(datagram []byte, toServer bool, after time.Duration) {
	s.posted++
	s.inFlight = append(s.inFlight, travelling{s.now.Add(after), s.posted, toServer, bytes.Clone(datagram)})
}

// TestEverythingTwice doubles every datagram, late enough to look like a
// repetition; each flight may be answered again, but not without end.
func TestEverythingTwice(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond} {
		sim := disturbed(t, func(sim *simulation, c bool, i int, d []byte) []byte {
			sim.arrive(d, c, time.Millisecond+late)
			return d
		})
		if got := sim.client.Stats().Flights + sim.server.Stats().Flights; got > 10 {
			t.Errorf("%v late: %d flights", late, got)
		}
	}
}

// TestLastFlightAgain loses the server's last flight several times: it comes again
// for each repetition of the client's Finished.
func TestLastFlightAgain(t *testing.T) {
	lost := 0
	sim := disturbed(t, func(sim *simulation, fromClient bool, _ int, d []byte) []byte {
		if !fromClient && sim.server != nil && sim.server.Done() && lost < 3 {
			lost++
			return nil
		}
		return d
	})
	if lost != 3 || sim.client.Stats().Repeated != 3 {
		t.Errorf("lost %d, client repeated %d flights, want 3", lost, sim.client.Stats().Repeated)
	}
	if took := sim.now.Sub(sim.start); took < 7*time.Second || took > 7100*time.Millisecond {
		t.Errorf("took %v, want 1 s + 2 s + 4 s", took)
	}
	if sim.client.Session().LastFlight != nil {
		t.Error("a client keeps a last flight that nobody can have missed")
	}
}

// TestSmallerDatagrams sends over a path that takes less than the machines
// believe: after some losses they try smaller datagrams, and it works.
func TestSmallerDatagrams(t *testing.T) {
	certificate := testCertificate(t, "RSA")
	largest := 0
	narrow := link{delay: time.Millisecond, tamper: func(_ bool, _ int, d []byte) []byte {
		largest = max(largest, len(d))
		if len(d) > 600 {
			return nil
		}
		return d
	}}
	server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate}
	sim := newSimulation(t, &Config{}, server, answers{clientCertificate: certificate}, narrow)
	sim.run(time.Minute)
	checkAgreement(t, sim)
	if largest < 1000 {
		t.Errorf("largest datagram had %d bytes: nothing was too large", largest)
	}
}

// TestDatagramSizes asserts that no flight is larger than the configuration says,
// except a hello, which stands in one datagram.
func TestDatagramSizes(t *testing.T) {
	certificate := testCertificate(t, "RSA")
	for _, mtu := range []int{1, 60, 100, 548, 1400, 16384, 1 << 20} {
		server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, MTU: mtu,
			CertificateAuthorities: slices.Repeat([][]byte{make([]byte, 1000)}, 25)}
		largest := 0
		sim := newSimulation(t, &Config{MTU: mtu, ServerName: "server.example"}, server, answers{clientCertificate: certificate},
			link{tamper: func(fromClient bool, n int, d []byte) []byte {
				hello := fromClient && n < 2 || !fromClient && n == 0
				if !hello {
					largest = max(largest, len(d))
				}
				for rec, rest, ok := record.Next(d); ok; rec, rest, ok = record.Next(rest) {
					if n := len(rec.Fragment()); n > record.MaxPlaintext {
						t.Errorf("MTU %d: a record holds %d bytes", mtu, n)
					}
				}
				return d
			}})
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if limit := max(mtu, 100); largest > min(limit, record.MaxPlaintext) {
			t.Errorf("MTU %d: a datagram had %d bytes", mtu, largest)
		}
	}
}
