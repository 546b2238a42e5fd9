package interop

import (
	"fmt"
	"sync/atomic"
	"testing"

	"gdtls/datagram"
)

// TestLoss makes handshakes with OpenSSL over a bad network, which heals when we
// have made the handshake.
func TestLoss(t *testing.T) {
	for role, server := range map[string]bool{"client": false, "server": true} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprint(role, "/", seed), func(t *testing.T) {
				t.Parallel()
				var healed atomic.Bool
				profile := datagram.Profile{
					Filter: func(int, []byte) datagram.Verdict {
						if healed.Load() {
							return datagram.VerdictPass
						}
						return datagram.VerdictChance
					},
					Drop: 0.2, Duplicate: 0.2, Reorder: 0.2,
				}
				o := usual()
				o.server.cookie = true
				m := begun(t, openssl{}, server, o, func(base datagram.DatagramBased) datagram.DatagramBased {
					return datagram.NewImpaired(base, datagram.Impairment{Seed: seed, Send: profile, Receive: profile})
				})
				m.ours.mustHandshake(t)
				healed.Store(true)
				// Our last flight may be lost: it is sent again by whoever reads.
				theirs := message("theirs", 100)
				received := make(chan error, 1)
				go func() {
					got, n, err := m.ours.receive()
					if err == nil && (n != 1 || got != theirs) {
						err = fmt.Errorf("received %d messages, %q", n, got)
					}
					received <- err
				}()
				m.theirs.established(t)
				// OpenSSL's programs look at their input only between two messages: a
				// doubled last flight keeps them from that.
				ours := message("ours", 100)
				m.ours.send(t, ours)
				m.theirs.expect(t, ours)
				m.theirs.send(t, theirs)
				if err := <-received; err != nil {
					t.Fatal(err)
				}
				m.exchange(t, 200)
			})
		}
	}
}
