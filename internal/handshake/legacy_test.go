package handshake

import (
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
)

// TestHandshakeOldClients serves clients that say less than ours.
func TestHandshakeOldClients(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ClientHello)
		psk    bool
		check  func(*testing.T, *Session)
	}{
		{"without extended master secret, as the real Gio", func(h *ClientHello) { h.ExtendedMaster = false }, false,
			func(t *testing.T, s *Session) {
				if s.ExtendedMaster {
					t.Error("extended master secret was used")
				}
			}},
		{"renegotiation signalled by a suite", func(h *ClientHello) {
			h.SecureRenegotiate = false
			h.Suites = append(h.Suites, scsvRenegotiation)
		}, false, nil},
		{"without renegotiation", func(h *ClientHello) { h.SecureRenegotiate = false }, false, nil},
		{"without groups", func(h *ClientHello) { h.Groups, h.PointFormats = nil, nil }, false, nil},
		{"key and no extension", func(h *ClientHello) {
			*h = ClientHello{Version: h.Version, Random: h.Random, Compressions: h.Compressions, Suites: []uint16{0x00a8}}
		}, true, func(t *testing.T, s *Session) {
			if s.ExtendedMaster || s.Suite.ID != 0x00a8 {
				t.Errorf("agreed on %s, extended master secret %v", s.Suite.Name, s.ExtendedMaster)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &Config{Certificates: []*Certificate{testCertificate(t, "ECDSA P-256")}, PSK: test.psk}
			a := answers{identity: "me", key: []byte("key"), psk: map[string][]byte{"me": []byte("key")}}
			sim := newSimulation(t, &Config{PSK: test.psk}, server, a, link{delay: time.Millisecond})
			rehello(sim.client, test.change)
			if len(sim.client.side.(*client).hello.Groups) == 0 {
				// A client that names no groups takes any; ours remembers what it can do.
				sim.pump()
				sim.client.side.(*client).hello.Groups = []elliptic.Curve{elliptic.P256}
			}
			sim.run(time.Minute)
			checkAgreement(t, sim)
			if test.check != nil {
				test.check(t, sim.server.Session())
			}
		})
	}
}
