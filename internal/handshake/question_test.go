package handshake

import (
	"crypto"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// remoteSigner is a key that is not in memory.
type remoteSigner struct{ crypto.Signer }

func (s remoteSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(r, digest, o)
}

func remoteCertificate(t testing.TB, kind string) *Certificate {
	t.Helper()
	local := testCertificate(t, kind)
	c, err := NewCertificate(local.Chain, remoteSigner{local.Signer})
	if err != nil {
		t.Fatal(err)
	}
	if !c.slow || local.slow {
		t.Fatal("keys in memory and others are not told apart")
	}
	return c
}

// TestSignaturesFromElsewhere makes handshakes whose keys are not in memory.
func TestSignaturesFromElsewhere(t *testing.T) {
	for _, kind := range keyKinds {
		c := remoteCertificate(t, kind)
		server := &Config{Certificates: []*Certificate{c}, ClientAuth: RequireClientCertificate}
		sim := newSimulation(t, &Config{}, server, answers{clientCertificate: c}, link{})
		sim.run(time.Minute)
		checkAgreement(t, sim)
	}
}

// TestLateAnswers answers every question of a handshake only after the peer has
// repeated itself: nothing is sent and nothing fails meanwhile, and the handshake
// goes on where it was.
func TestLateAnswers(t *testing.T) {
	c := remoteCertificate(t, "ECDSA P-256")
	for name, test := range map[string]struct {
		client, server Config
		answers        answers
		questions      int
	}{
		"certificates": {Config{}, Config{Certificates: []*Certificate{c}, ClientAuth: RequireClientCertificate}, answers{clientCertificate: c}, 5},
		"keys": {Config{PSK: true}, Config{PSK: true},
			answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			test.client.Patience, test.server.Patience = time.Hour, time.Hour
			sim := newSimulation(t, &test.client, &test.server, test.answers, link{delay: time.Millisecond})
			asked := 0
			sim.hesitate = func(m *Machine, q Question) time.Duration {
				asked++
				if !m.Deadline().IsZero() {
					t.Errorf("%v: deadline without DecisionPatience", q)
				}
				return 10 * time.Second // the peer repeats itself after 1, 3 and 7
			}
			sim.run(10 * time.Minute)
			checkAgreement(t, sim)
			if asked != test.questions {
				t.Errorf("%d questions, want %d", asked, test.questions)
			}
		})
	}
}

// TestDecisionPatience asserts that a question that nobody answers ends the
// handshake, and that the peer hears of it.
func TestDecisionPatience(t *testing.T) {
	c := remoteCertificate(t, "ECDSA P-256")
	for want, server := range map[Question]*Config{
		AskCertificate: {Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}},
		AskSignature:   {Certificates: []*Certificate{c}},
	} {
		client := &Config{DecisionPatience: 5 * time.Second}
		server.DecisionPatience = 5 * time.Second
		sim := newSimulation(t, client, server, answers{}, link{})
		sim.hesitate = func(m *Machine, q Question) time.Duration {
			if q != want {
				return 0
			}
			return time.Hour
		}
		sim.run(2 * time.Minute)
		late, peer := sim.client, sim.server
		if want == AskSignature {
			late, peer = peer, late
		}
		if err := late.Err(); err == nil || err.Kind != KindUndecided || err.Alert != alert.UserCanceled {
			t.Errorf("%v: %v", want, err)
		}
		if err := peer.Err(); err == nil || err.Kind != KindPeerAlert || err.Alert != alert.UserCanceled {
			t.Errorf("%v: peer got %v", want, err)
		}
		if waited := sim.now.Sub(sim.start); waited != 5*time.Second {
			t.Errorf("%v: took %v", want, waited)
		}
	}
}

func TestSignatureRefused(t *testing.T) {
	h := newRawHello(0xc02b)
	h.extensions = block(modern()...)
	p := puppetClient(t, &Config{Certificates: []*Certificate{remoteCertificate(t, "ECDSA P-256")}}, h)
	r := p.m.SignatureRequest()
	if p.m.Question() != AskSignature || r == nil || len(r.Digest) != 32 || r.Options.HashFunc() != crypto.SHA256 {
		t.Fatalf("asks %v for %+v", p.m.Question(), r)
	}
	if len(p.m.Output()) != 0 {
		t.Error("sent something before the signature")
	}
	gone := errors.New("gone")
	p.m.AnswerSignature(nil, gone, p.now)
	wantFailure(t, p.m, KindInternal, alert.InternalError, "cannot sign: gone")
	if p.m.SignatureRequest() != nil || !errors.Is(p.m.Err(), gone) {
		t.Error("the request is kept, or the cause lost")
	}
	p.m.AnswerSignature(make([]byte, 70), nil, p.now)
	if len(p.m.Output()) != 0 {
		t.Error("an answer after the failure had an effect")
	}
}

func TestQuestionNames(t *testing.T) {
	seen := map[string]bool{}
	for q := NoQuestion; q <= AskSignature; q++ {
		if seen[q.String()] || q.String() == "" {
			t.Errorf("question %d is called %q", q, q)
		}
		seen[q.String()] = true
	}
}
