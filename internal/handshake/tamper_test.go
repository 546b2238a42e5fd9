package handshake

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/internal/record"
)

// flip changes a byte of every copy of one message on its way: consistently, so
// that nothing but the cryptography can notice.
func flip(typ handshake.Type, at int, flipped *int) func(bool, int, []byte) []byte {
	return func(_ bool, _ int, datagram []byte) []byte {
		for rec, rest, ok := record.Next(datagram); ok; rec, rest, ok = record.Next(rest) {
			if rec.Epoch != 0 || rec.Type != record.TypeHandshake {
				continue
			}
			if f, _, ok := nextFragment(rec.Fragment()); ok && f.Type == typ && at < len(f.data) {
				f.data[at] ^= 0x01
				*flipped++
			}
		}
		return datagram
	}
}

// TestHandshakeChangedOnItsWay flips bytes of each message that is not protected.
// The handshake must end, and on neither side with success.
func TestHandshakeChangedOnItsWay(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	for _, extended := range []bool{true, false} {
		for _, psk := range []bool{false, true} {
			t.Run(fmt.Sprintf("extended master secret %v, key %v", extended, psk), func(t *testing.T) {
				run := func(tamper func(bool, int, []byte) []byte) *simulation {
					server := &Config{Certificates: []*Certificate{certificate}, ClientAuth: RequireClientCertificate,
						ALPN: []string{"a", "`"}, PSK: psk, PSKHint: []byte("hint"), MTU: 4000}
					a := answers{clientCertificate: certificate, identity: "me", key: []byte("key"),
						psk: map[string][]byte{"me": []byte("key"), "le": []byte("key"), "mf": []byte("key"), "md": []byte("key")}}
					client := &Config{ALPN: []string{"a", "`"}, ServerName: "server.example", PSK: psk, MTU: 4000}
					sim := newSimulation(t, client, server, a, link{delay: time.Millisecond, tamper: tamper})
					if !extended {
						rehello(sim.client, func(h *ClientHello) { h.ExtendedMaster = false })
					}
					sim.run(time.Hour)
					return sim
				}
				// Without a change it works, and tells how long each message is.
				lengths := map[handshake.Type]int{}
				sim := run(func(_ bool, _ int, d []byte) []byte {
					for _, m := range sentMessages([][]byte{d}) {
						lengths[m.typ] = len(m.body)
					}
					return d
				})
				checkAgreement(t, sim)
				if sim.client.Session().ExtendedMaster != extended {
					t.Fatal("the extended master secret is not as wanted")
				}
				flips := 0
				for typ, length := range lengths {
					if typ == handshake.TypeHelloVerifyRequest {
						continue // no part of the handshake's hash; another cookie is refused
					}
					for at := 0; at < length; at += 1 + length/40 {
						flipped := 0
						sim := run(flip(typ, at, &flipped))
						if flipped == 0 {
							continue // a signature that is a byte shorter this time
						}
						flips++
						if sim.client.Done() || sim.server != nil && sim.server.Done() {
							t.Errorf("%s with byte %d changed: %v", typeName(typ), at, sim)
						}
						if !sim.over() {
							t.Errorf("%s with byte %d changed: no end, %v", typeName(typ), at, sim)
						}
					}
				}
				if flips < 70 {
					t.Errorf("only %d bytes were tried", flips)
				}
			})
		}
	}
}

// TestHandshakeDowngraded takes something out of the client's hello on its way: the
// server takes the lesser choice, and Finished brings it to light.
func TestHandshakeDowngraded(t *testing.T) {
	certificate := testCertificate(t, "ECDSA P-256")
	for _, extended := range []bool{true, false} {
		// The best suite and the best group, as they stand in the hello, become unknown ones.
		for name, good := range map[string][]byte{"suite": {0xc0, 0x2b, 0xc0, 0x2f}, "group": {0x00, 0x1d, 0x00, 0x17}} {
			changed := 0
			sim := newSimulation(t, &Config{}, &Config{Certificates: []*Certificate{certificate}}, answers{}, link{delay: time.Millisecond,
				tamper: func(fromClient bool, _ int, d []byte) []byte {
					if at := bytes.Index(d, good); fromClient && at >= 0 {
						d[at], d[at+1] = 0x0a, 0x0a
						changed++
					}
					return d
				}})
			if !extended {
				rehello(sim.client, func(h *ClientHello) { h.ExtendedMaster = false })
			}
			sim.run(time.Hour)
			if changed == 0 || sim.server == nil {
				t.Fatalf("%s: nothing was changed: %v", name, sim)
			}
			if sim.server.Err() == nil || sim.server.Err().Kind != KindKeyMismatch || sim.client.Err() == nil {
				t.Errorf("%s, extended master secret %v: %v", name, extended, sim)
			}
		}
	}
}
