package handshake

import (
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// damage changes or cuts a part of the datagrams.
func damage(rng *mathrand.Rand, rate float64) func(bool, int, []byte) []byte {
	return func(_ bool, _ int, d []byte) []byte {
		if rng.Float64() < rate {
			d[rng.IntN(len(d))] ^= 1 << rng.IntN(8)
		}
		if rng.Float64() < rate {
			d = d[:rng.IntN(len(d))]
		}
		return d
	}
}

// TestDamagedPath makes handshakes over a path that loses 30 %, doubles and reorders,
// and damages and cuts 3 % of the datagrams each. What a side can notice before keys
// are in use is repaired. What it cannot is a damaged message that still makes sense,
// which is found by the Finished only; and a damaged hello.
func TestDamagedPath(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	const handshakes = 1000
	complete := func(repairs int) (n int) {
		for seed := range uint64(handshakes) {
			rng := mathrand.New(mathrand.NewPCG(seed, 4))
			l := link{drop: 0.3, duplicate: 0.1, delay: 5 * time.Millisecond, jitter: 20 * time.Millisecond, rng: rng, tamper: damage(rng, 0.03)}
			server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, Patience: 10 * time.Minute, Repairs: repairs}
			sim := newSimulation(t, &Config{Patience: 10 * time.Minute, Repairs: repairs}, server, answers{clientCertificate: certificate}, l)
			sim.run(time.Hour)
			if sim.client.Done() && sim.server != nil && sim.server.Done() {
				checkAgreement(t, sim)
				n++
			}
		}
		return n
	}
	without, with := complete(0), complete(8)
	t.Logf("%d of %d complete without repairs, %d with", without, handshakes, with)
	if with < 970 || with <= without {
		t.Errorf("%d of %d complete, %d without repairs", with, handshakes, without)
	}
}

// TestRepair damages each message before the keys in turn, once: the peer's
// repetition repairs it. A message that fails again alike ends the handshake.
func TestRepair(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	for _, test := range []struct {
		typ        handshake.Type
		fromClient bool
	}{
		{handshake.TypeServerHello, false}, {handshake.TypeCertificate, false}, {handshake.TypeServerKeyExchange, false},
		{handshake.TypeCertificateRequest, false}, {handshake.TypeServerHelloDone, false},
		{handshake.TypeCertificate, true}, {handshake.TypeClientKeyExchange, true}, {handshake.TypeCertificateVerify, true},
	} {
		for _, times := range []int{1, 100} {
			left := times
			l := link{delay: time.Millisecond, tamper: func(fromClient bool, _ int, d []byte) []byte {
				if fromClient != test.fromClient || left == 0 {
					return d
				}
				at := 0
				for rec, rest, ok := record.Next(d); ok; rec, rest, ok = record.Next(rest) {
					if rec.Epoch == 0 && rec.Type == record.TypeHandshake && rec.Fragment()[0] == byte(test.typ) {
						left--
						d[at+record.HeaderSize] ^= 0x80 // a type that does not exist
						break
					}
					at += len(rec.Raw)
				}
				return d
			}}
			server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, Repairs: 8}
			sim := newSimulation(t, &Config{Repairs: 8}, server, answers{clientCertificate: certificate}, l)
			sim.run(time.Minute)
			took := sim.now.Sub(sim.start)
			if times == 1 {
				checkAgreement(t, sim)
				if took > 1100*time.Millisecond {
					t.Errorf("%s damaged once: took %v", typeName(test.typ), took)
				}
				continue
			}
			failed := sim.client
			if test.fromClient {
				failed = sim.server
			}
			if err := failed.Err(); err == nil || err.Alert != alert.UnexpectedMessage || took > 3100*time.Millisecond {
				t.Errorf("%s damaged always: %v after %v", typeName(test.typ), err, took)
			}
		}
	}
}

// TestNoRepairWithKeys asserts that a side which has sealed something never derives
// keys again.
func TestNoRepairWithKeys(t *testing.T) {
	p := puppetServer(t, &Config{Repairs: 8})
	p.play(p.flight())
	if p.m.repairs.from.side == nil {
		t.Fatal("no checkpoint before the keys")
	}
	p.m.AnswerCertificate(nil, p.now)
	sealer := p.m.out.sealer
	if sealer == nil || p.m.repairs.from.side != nil {
		t.Fatal("a checkpoint is left after the keys")
	}
	p.send(handshake.TypeServerHelloDone, nil)
	wantFailure(t, p.m, KindProtocol, alert.UnexpectedMessage, "ServerHelloDone while Finished")
}

// TestForgedFinishedDuringQuestion asserts that a record which does not decrypt takes
// nothing back while a server waits for the verdict on its client.
func TestForgedFinishedDuringQuestion(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, Repairs: 8}
	sim := newSimulation(t, &Config{}, server, answers{clientCertificate: certificate}, link{delay: time.Millisecond})
	forged := 0
	sim.hesitate = func(m *Machine, q Question) time.Duration {
		if m == sim.server && q == AskCertificate {
			m.Receive(epochRecord(1, 99, record.TypeHandshake, make([]byte, 40)), sim.now)
			forged++
			return 3 * time.Second
		}
		return 0
	}
	sim.run(time.Minute)
	checkAgreement(t, sim)
	if forged != 1 || sim.server.Stats().Undecryptable != 1 || len(sim.server.Session().PeerChain) != 1 {
		t.Errorf("forged %d, counted %+v", forged, sim.server.Stats())
	}
}

// TestWrongKeyAsksOnce asserts that a server whose client has another key asks for its
// own once, though the client repeats itself.
func TestWrongKeyAsksOnce(t *testing.T) {
	a := answers{identity: "me", key: []byte("other"), psk: map[string][]byte{"me": []byte("key")}}
	sim := newSimulation(t, &Config{PSK: true, Repairs: 8}, &Config{PSK: true, Repairs: 8}, a, link{delay: time.Millisecond})
	asked := 0
	sim.hesitate = func(m *Machine, q Question) time.Duration {
		if m == sim.server {
			asked++
		}
		return 0
	}
	sim.run(time.Minute)
	checkFailure(t, sim, KindPeerAlert, alert.DecryptError, KindKeyMismatch, alert.DecryptError)
	if took := sim.now.Sub(sim.start); asked != 1 || took > 3100*time.Millisecond {
		t.Errorf("asked %d times in %v", asked, took)
	}
}
