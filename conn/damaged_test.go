package conn_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// Over a path that loses 30 % of the datagrams, doubles and reorders, and on top of
// that damages and cuts 3 % each, both ways, every handshake completes, and both
// sides agree. The client judges no certificate, as those of Gio's own tests: one that
// is damaged and can still be parsed is refused for good otherwise.
func TestHandshakeOverDamagingPath(t *testing.T) {
	clientCert()
	handshakes := 1000
	if raceEnabled {
		handshakes = 100
	}
	profile := datagram.Profile{Drop: 0.3, Duplicate: 0.1, Reorder: 0.1, Truncate: 0.03, Corrupt: 0.03}
	var mu sync.Mutex
	var slowest time.Duration
	for seed := range uint64(handshakes) {
		bubble(t, func(t *testing.T) {
			a, b := datagram.NewPipe()
			bad := datagram.NewImpaired(a, datagram.Impairment{Seed: seed, Send: profile, Receive: profile})
			p := newPairOver(t, bad, b)
			p.client.SetValidationFlags(conn.CertificateNoFlags)
			p.server.SetAuthenticationMode(conn.AuthenticationRequired)
			p.client.SetCertificate(clientCert())
			p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
			for _, c := range p.both() {
				c.SetHandshakePatience(10 * time.Minute)
			}
			ctx, cancel := context.WithCancel(background)
			server := make(chan error, 1)
			go func() {
				err := p.server.Handshake(ctx)
				if err == nil { // a reader repeats the last flight for a client that missed it
					_, _, err = receiveContext(ctx, p.server)
				}
				server <- err
			}()
			start := time.Now()
			if err := p.client.Handshake(ctx); err != nil {
				t.Errorf("seed %d, client after %v: %v", seed, time.Since(start), err)
			}
			mu.Lock()
			slowest = max(slowest, time.Since(start))
			mu.Unlock()
			synctest.Wait()
			cancel()
			if err := <-server; ioCode(err) != datagram.CodeCancelled {
				t.Errorf("seed %d, server: %v", seed, err)
			} else if s, c := p.server.TestSession(), p.client.TestSession(); s == nil || c == nil || s.MasterSecret != c.MasterSecret {
				t.Errorf("seed %d: the sides do not agree", seed)
			}
			p.close(t)
			bad.Close()
		})
	}
	t.Logf("the slowest of %d took %v", handshakes, slowest)
}
