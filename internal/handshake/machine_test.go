package handshake

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/internal/record"
)

// repeatsFinished tells whether a datagram holds an authenticated handshake record.
func repeatsFinished(s *Session, datagram []byte) bool {
	for {
		rec, rest, ok := record.Next(datagram)
		if !ok {
			return false
		}
		datagram = rest
		if rec.Epoch == 1 && rec.Type == record.TypeHandshake {
			if _, err := s.Opener.Open(&rec); err == nil {
				return true
			}
		}
	}
}

// checkAgreement asserts that both sides came to the same session and that data
// sealed by one is opened by the other.
func checkAgreement(t *testing.T, sim *simulation) {
	t.Helper()
	if !sim.client.Done() || sim.server == nil || !sim.server.Done() {
		t.Fatalf("handshake did not complete: %v", sim)
	}
	c, s := sim.client.Session(), sim.server.Session()
	if c.Suite != s.Suite || c.MasterSecret != s.MasterSecret || c.ClientRandom != s.ClientRandom ||
		c.ServerRandom != s.ServerRandom || c.ALPN != s.ALPN || c.ExtendedMaster != s.ExtendedMaster ||
		c.ClientFinished != s.ClientFinished || c.ServerFinished != s.ServerFinished {
		t.Fatalf("sessions differ:\n%+v\n%+v", c, s)
	}
	if c.MasterSecret == [48]byte{} || c.ClientFinished == [12]byte{} {
		t.Fatal("session has no secrets")
	}
	for _, way := range []struct {
		sealer *record.Sealer
		opener *record.Opener
	}{{c.Sealer, s.Opener}, {s.Sealer, c.Opener}} {
		datagram, err := way.sealer.SealBytes(nil, record.TypeApplicationData, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		rec, _, _ := record.Next(datagram)
		if got, err := way.opener.Open(&rec); err != nil || string(got) != "hello" {
			t.Fatalf("opened %q, %v", got, err)
		}
	}
}

func TestHandshakeSuites(t *testing.T) {
	for _, suite := range suites {
		kinds := []string{""}
		if suite.auth == authECDSA {
			kinds = []string{"ECDSA P-256", "ECDSA P-384", "Ed25519"}
		} else if suite.auth == authRSA {
			kinds = []string{"RSA"}
		}
		for _, kind := range kinds {
			t.Run(suite.Name+" "+kind, func(t *testing.T) {
				client := &Config{Suites: []uint16{suite.ID}, PSK: suite.PSK()}
				server := &Config{PSK: suite.PSK(), PSKHint: []byte("a hint")}
				var a answers
				if suite.PSK() {
					a = answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
				} else {
					server.Certificates = []*Certificate{testCertificate(t, kind)}
				}
				sim := newSimulation(t, client, server, a, link{})
				sim.run(time.Minute)
				checkAgreement(t, sim)
				if got := sim.client.Session(); got.Suite != suite || !got.ExtendedMaster {
					t.Fatalf("got %s, extended master secret %v", got.Suite.Name, got.ExtendedMaster)
				}
				if suite.PSK() {
					if got := string(sim.client.Session().PSKHint); got != "a hint" {
						t.Errorf("client got hint %q", got)
					}
					if got := string(sim.server.Session().PSKIdentity); got != "me" {
						t.Errorf("server got identity %q", got)
					}
				} else if !bytes.Equal(sim.client.Session().PeerChain[0], server.Certificates[0].Chain[0]) {
					t.Error("client got another certificate")
				}
				if sim.client.Stats().Repeated+sim.server.Stats().Repeated != 0 {
					t.Error("a flight was repeated though nothing was lost")
				}
			})
		}
	}
}

func TestHandshakeClientCertificate(t *testing.T) {
	for _, kind := range keyKinds {
		t.Run(kind, func(t *testing.T) {
			names := [][]byte{{0x30, 0}, []byte("a DER name")}
			server := &Config{
				Certificates:           []*Certificate{testCertificate(t, "RSA"), testCertificate(t, "ECDSA P-256")},
				ClientAuth:             RequireClientCertificate,
				CertificateAuthorities: names,
			}
			own := testCertificate(t, kind)
			sim := newSimulation(t, &Config{}, server, answers{clientCertificate: own}, link{})
			sim.run(time.Minute)
			checkAgreement(t, sim)
			if got := sim.server.Session().PeerChain; len(got) != 1 || !bytes.Equal(got[0], own.Chain[0]) {
				t.Errorf("server got chain %x", got)
			}
			c := sim.client.Session()
			if !c.CertificateRequested || len(c.Authorities) != 2 || !bytes.Equal(c.Authorities[1], names[1]) {
				t.Errorf("client was told %v, %q", c.CertificateRequested, c.Authorities)
			}
		})
	}
	t.Run("missing but only requested", func(t *testing.T) {
		server := &Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, ClientAuth: RequestClientCertificate}
		sim := newSimulation(t, &Config{}, server, answers{}, link{})
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if sim.client.Session().Authorities == nil {
			t.Error("authorities are nil though the server asked (G064)")
		}
	})
	t.Run("missing and required", func(t *testing.T) {
		server := &Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, ClientAuth: RequireClientCertificate}
		sim := newSimulation(t, &Config{}, server, answers{}, link{})
		sim.run(time.Minute)
		checkFailure(t, sim, KindPeerAlert, alert.HandshakeFailure, KindCertificateRequired, alert.HandshakeFailure)
	})
}

// checkFailure asserts how the two sides failed; kind 0: that side has not failed.
func checkFailure(t *testing.T, sim *simulation, client Kind, clientAlert alert.Description, server Kind, serverAlert alert.Description) {
	t.Helper()
	for _, side := range []struct {
		name  string
		m     *Machine
		kind  Kind
		alert alert.Description
	}{{"client", sim.client, client, clientAlert}, {"server", sim.server, server, serverAlert}} {
		switch {
		case side.kind == 0:
			if side.m != nil && side.m.Err() != nil {
				t.Errorf("%s failed: %v", side.name, side.m.Err())
			}
		case side.m == nil || side.m.Err() == nil:
			t.Errorf("%s did not fail: %v", side.name, sim)
		case side.m.Err().Kind != side.kind || side.m.Err().Alert != side.alert:
			t.Errorf("%s failed with kind %d, %s: %v", side.name, side.m.Err().Kind, AlertName(side.m.Err().Alert), side.m.Err())
		default:
			t.Logf("%s: %v", side.name, side.m.Err())
		}
	}
}

func TestHandshakeALPN(t *testing.T) {
	for _, test := range []struct {
		client, server []string
		want           string
	}{
		{[]string{"a", "b"}, []string{"b", "a"}, "a"}, // the client's order
		{[]string{"x"}, []string{"y"}, ""},
		{nil, []string{"y"}, ""},
		{[]string{"x"}, nil, ""},
	} {
		server := &Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, ALPN: test.server}
		sim := newSimulation(t, &Config{ALPN: test.client, ServerName: "server.example"}, server, answers{}, link{})
		sim.run(time.Minute)
		checkAgreement(t, sim)
		if got := sim.client.Session().ALPN; got != test.want {
			t.Errorf("%v and %v agreed on %q, want %q", test.client, test.server, got, test.want)
		}
		if got := sim.server.Session().ServerName; got != "server.example" {
			t.Errorf("server was asked for %q", got)
		}
	}
}

func TestHandshakeFailures(t *testing.T) {
	ecdsa := []*Certificate{testCertificate(t, "ECDSA P-256")}
	psk := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
	for _, test := range []struct {
		name                     string
		client, server           *Config
		answers                  answers
		clientKind               Kind
		clientAlert, serverAlert alert.Description
		serverKind               Kind
	}{
		{name: "wrong key",
			client: &Config{PSK: true}, server: &Config{PSK: true},
			answers:    answers{identity: "me", key: []byte("other"), psk: psk.psk},
			clientKind: KindPeerAlert, clientAlert: alert.DecryptError, serverKind: KindKeyMismatch, serverAlert: alert.DecryptError},
		{name: "unknown identity",
			client: &Config{PSK: true}, server: &Config{PSK: true},
			answers:    answers{identity: "you", key: []byte("key"), psk: psk.psk},
			clientKind: KindPeerAlert, clientAlert: alertUnknownPSKIdentity, serverKind: KindUnknownIdentity, serverAlert: alertUnknownPSKIdentity},
		{name: "client without key",
			client: &Config{PSK: true}, server: &Config{PSK: true}, answers: answers{psk: psk.psk},
			clientKind: KindUnknownIdentity, clientAlert: alert.HandshakeFailure, serverKind: KindPeerAlert, serverAlert: alert.HandshakeFailure},
		{name: "no suite in common",
			client: &Config{Suites: []uint16{0xc02f}}, server: &Config{Certificates: ecdsa},
			clientKind: KindPeerAlert, clientAlert: alert.HandshakeFailure, serverKind: KindNoCommon, serverAlert: alert.HandshakeFailure},
		{name: "server without certificate",
			client: &Config{}, server: &Config{},
			clientKind: KindPeerAlert, clientAlert: alert.HandshakeFailure, serverKind: KindNoCommon, serverAlert: alert.HandshakeFailure},
		{name: "server refused",
			client: &Config{}, server: &Config{Certificates: ecdsa},
			answers:    answers{refuseServer: NewError(KindBadCertificate, alert.UnknownCA, "no")},
			clientKind: KindBadCertificate, clientAlert: alert.UnknownCA, serverKind: KindPeerAlert, serverAlert: alert.UnknownCA},
		{name: "client refused",
			client: &Config{}, server: &Config{Certificates: ecdsa, ClientAuth: RequireClientCertificate},
			answers:    answers{clientCertificate: ecdsa[0], refuseClient: NewError(KindBadCertificate, alert.CertificateExpired, "no")},
			clientKind: KindPeerAlert, clientAlert: alert.CertificateExpired, serverKind: KindBadCertificate, serverAlert: alert.CertificateExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := newSimulation(t, test.client, test.server, test.answers, link{delay: time.Millisecond})
			sim.run(time.Minute)
			checkFailure(t, sim, test.clientKind, test.clientAlert, test.serverKind, test.serverAlert)
			if waited := sim.now.Sub(sim.start); waited > 4*time.Second {
				t.Errorf("took %v", waited)
			}
		})
	}
}

func TestHandshakeSilentPeer(t *testing.T) {
	nobody := link{tamper: func(bool, int, []byte) []byte { return nil }}
	sim := newSimulation(t, &Config{}, &Config{}, answers{}, nobody)
	sim.run(time.Hour)
	checkFailure(t, sim, KindTimeout, 0, 0, 0)
	// 1, 2, 4, 8, 16 and 32 s apart, as the real Gio's six hellos.
	if got := sim.client.Stats().Flights; got != 6 {
		t.Errorf("client sent %d hellos, want 6", got)
	}
	if waited := sim.now.Sub(sim.start); waited != defaultPatience {
		t.Errorf("gave up after %v, want %v", waited, defaultPatience)
	}
}

func TestHandshakeNotDTLS(t *testing.T) {
	start := time.Now()
	m, err := NewClient(&Config{}, start)
	if err != nil {
		t.Fatal(err)
	}
	for now := start; m.Err() == nil; now = m.Deadline() {
		m.Expire(now)
		m.Output()
		m.Receive([]byte("HTTP/1.1 400 Bad Request"), now)
		if m.Deadline().Sub(start) > time.Minute {
			t.Fatal("never noticed")
		}
	}
	if m.Err().Kind != KindNotDTLS || len(m.Output()) != 0 {
		t.Errorf("%v", m.Err())
	}
}

// TestHandshakeLossy completes handshakes over a link that loses, doubles and
// reorders.
func TestHandshakeLossy(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	var worst time.Duration
	for seed := range uint64(300) {
		l := link{drop: 0.3, duplicate: 0.1, delay: 5 * time.Millisecond, jitter: 20 * time.Millisecond,
			rng: mathrand.New(mathrand.NewPCG(seed, 1))}
		server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, Patience: time.Hour, MTU: 300}
		sim := newSimulation(t, &Config{Patience: time.Hour, MTU: 300}, server, answers{clientCertificate: certificate}, l)
		sim.run(time.Hour)
		if !sim.client.Done() || !sim.server.Done() {
			t.Fatalf("seed %d: %v", seed, sim)
		}
		worst = max(worst, sim.now.Sub(sim.start))
	}
	t.Logf("worst: %v", worst)
}

// TestHandshakeEachDatagramLost drops each single datagram of a handshake once.
func TestHandshakeEachDatagramLost(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	for _, fromClient := range []bool{true, false} {
		for n := range 8 {
			t.Run(fmt.Sprintf("client %v datagram %d", fromClient, n), func(t *testing.T) {
				l := link{delay: time.Millisecond, tamper: func(c bool, i int, d []byte) []byte {
					if c == fromClient && i == n {
						return nil
					}
					return d
				}}
				server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate, MTU: 300}
				sim := newSimulation(t, &Config{MTU: 300}, server, answers{clientCertificate: certificate}, l)
				sim.run(time.Minute)
				checkAgreement(t, sim)
				if waited := sim.now.Sub(sim.start); waited > 1100*time.Millisecond {
					t.Errorf("took %v: one loss should cost one time-out", waited)
				}
			})
		}
	}
}
