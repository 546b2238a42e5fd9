package handshake

import (
	"crypto"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"
)

// TestAnswersOutOfTurn answers what was not asked: nothing happens.
func TestAnswersOutOfTurn(t *testing.T) {
	for state, p := range waiting(t) {
		asked := p.m.Question()
		answers := map[Question]func(){
			AskCertificate:       func() { p.m.AnswerCertificate(nil, p.now) },
			AskPSK:               func() { p.m.AnswerPSK([]byte("me"), []byte("key"), p.now) },
			AskSignature:         func() { p.m.AnswerSignature([]byte{1}, nil, p.now) },
			AskClientCertificate: func() { p.m.AnswerClientCertificate(nil, p.now) },
		}
		for q, answer := range answers {
			if q == asked {
				continue
			}
			answer()
			if p.m.Question() != asked || p.m.Err() != nil || len(p.m.Output()) != 0 {
				t.Errorf("%s: answer %d had an effect", state, q)
			}
		}
	}
}

func TestAbort(t *testing.T) {
	for state, p := range waiting(t) {
		reason := NewError(KindProtocol, alert.UserCanceled, "enough")
		p.m.Abort(reason)
		if p.m.Err() != reason {
			t.Fatalf("%s: %v", state, p.m.Err())
		}
		wantFailure(t, p.m, KindProtocol, alert.UserCanceled, "enough")
		p.m.Abort(NewError(KindInternal, alert.InternalError, "later"))
		if p.m.Err() != reason || len(p.m.Output()) != 0 {
			t.Errorf("%s: the second reason counts", state)
		}
		p.m.Expire(p.now.Add(time.Hour))
		p.receive(22, appendHeader(nil, handshake.TypeServerHello, 0, 0, 0, 0))
		if p.m.Err() != reason || len(p.m.Output()) != 0 {
			t.Errorf("%s: goes on", state)
		}
	}
}

func TestAnswerPSKTooLong(t *testing.T) {
	for _, test := range []struct {
		identity, key int
		text          string
	}{{MaxPSKIdentity + 1, 1, "257 bytes"}, {1, MaxPSK + 1, "257 bytes"}} {
		p := puppetServer(t, &Config{PSK: true})
		f := p.flight()
		f.hello.suite = 0x00a8
		p.play(f)
		p.m.AnswerPSK(make([]byte, test.identity), make([]byte, test.key), p.now)
		wantFailure(t, p.m, KindInternal, alert.InternalError, test.text)
	}
	longest := answers{identity: string(make([]byte, MaxPSKIdentity)), key: make([]byte, MaxPSK)}
	longest.psk = map[string][]byte{longest.identity: longest.key}
	sim := newSimulation(t, &Config{PSK: true}, &Config{PSK: true}, longest, link{})
	sim.run(time.Minute)
	checkAgreement(t, sim)
}

// brokenSigner has a public key and no longer the private one, as a lost token.
type brokenSigner struct{ crypto.Signer }

var errToken = errors.New("token is gone")

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errToken }

func TestBrokenSigner(t *testing.T) {
	good := testCertificate(t, "ECDSA P-256")
	broken, err := NewCertificate(good.Chain, brokenSigner{good.Signer})
	if err != nil {
		t.Fatal(err)
	}
	sim := newSimulation(t, &Config{}, &Config{Certificates: []*Certificate{broken}}, answers{}, link{})
	sim.run(time.Minute)
	checkFailure(t, sim, KindPeerAlert, alert.InternalError, KindInternal, alert.InternalError)
	if !errors.Is(sim.server.Err(), errToken) {
		t.Errorf("the cause is lost: %v", sim.server.Err())
	}
	server := &Config{Certificates: []*Certificate{good}, ClientAuth: RequireClientCertificate}
	sim = newSimulation(t, &Config{}, server, answers{clientCertificate: broken}, link{})
	sim.run(time.Minute)
	checkFailure(t, sim, KindInternal, alert.InternalError, KindPeerAlert, alert.InternalError)
}

// TestClientCertificateThatDoesNotFit is not shown to a server that could not verify it.
func TestClientCertificateThatDoesNotFit(t *testing.T) {
	p := puppetServer(t, &Config{})
	f := p.flight()
	f.request = &certificateRequest{types: []byte{typeRSASign}, schemes: supportedSchemes[2:4]} // RSA only
	p.play(f)
	p.m.Output()
	p.m.AnswerCertificate(nil, p.now)
	p.m.AnswerClientCertificate(testCertificate(t, "ECDSA P-256"), p.now)
	wantWaiting(t, p.m)
	out := p.m.Output()
	if chain, err := parseCertificate(sentMessage(t, out, handshake.TypeCertificate)); err != nil || len(chain) != 0 {
		t.Errorf("showed %d certificates, %v", len(chain), err)
	}
	for _, m := range sentMessages(out) {
		if m.typ == handshake.TypeCertificateVerify {
			t.Error("sent CertificateVerify without a certificate")
		}
	}
}

// TestSuiteChoice asserts whose order counts: the server's, but the client's
// between certificates and keys.
func TestSuiteChoice(t *testing.T) {
	for _, test := range []struct {
		client, server []uint16
		kinds          []string
		want           uint16
	}{
		{[]uint16{0xc02c, 0xc02b}, nil, []string{"ECDSA P-256"}, 0xc02b},
		{[]uint16{0xc02b, 0xc02c}, []uint16{0xc02c, 0xc02b}, []string{"ECDSA P-256"}, 0xc02c},
		{[]uint16{0xc02b, 0xc02f}, nil, []string{"RSA"}, 0xc02f},
		{[]uint16{0xc02f, 0xc02b}, nil, []string{"RSA", "ECDSA P-256"}, 0xc02b},
		{[]uint16{0x00a8, 0xc02b}, nil, []string{"ECDSA P-256"}, 0x00a8},
		{[]uint16{0xc02b, 0x00a8}, nil, []string{"ECDSA P-256"}, 0xc02b},
		{[]uint16{0xc02f, 0x00a8}, nil, []string{"ECDSA P-256"}, 0x00a8},
		{[]uint16{0x1301, 0x0a0a, 0x00a9, 0x00a8}, []uint16{0x00a8, 0xffff}, nil, 0x00a8},
	} {
		cfg := &Config{Suites: test.server, PSK: true}
		for _, kind := range test.kinds {
			cfg.Certificates = append(cfg.Certificates, testCertificate(t, kind))
		}
		h := newRawHello(test.client...)
		list := modern()
		list[1] = ext(13, 0, 6, 8, 4, 4, 3, 4, 1)
		h.extensions = block(list...)
		p := puppetClient(t, cfg, h)
		if wantWaiting(t, p.m); p.m.suite.ID != test.want {
			t.Errorf("client %04x, server %04x with %q: chose %04x, want %04x", test.client, test.server, test.kinds, p.m.suite.ID, test.want)
		}
	}
}

func TestSuiteNames(t *testing.T) {
	var ids []uint16
	for _, s := range suites {
		if SuiteByID(s.ID) != s || SuiteByName(s.Name) != s || s.AEAD() == 0 || slices.Contains(ids, s.ID) {
			t.Errorf("%04x %s is not found", s.ID, s.Name)
		}
		ids = append(ids, s.ID)
	}
	if SuiteByID(0x002f) != nil || SuiteByName("TLS_RSA_WITH_AES_128_CBC_SHA") != nil {
		t.Error("a CBC suite is found")
	}
}
