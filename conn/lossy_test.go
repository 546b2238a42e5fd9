package conn_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// badPath loses, doubles and reorders, each way.
func badPath(seed uint64) datagram.Impairment {
	p := datagram.Profile{Drop: 0.3, Duplicate: 0.3, Reorder: 0.3}
	return datagram.Impairment{Seed: seed, Send: p, Receive: p}
}

// Over a path that loses 30 % of the datagrams, reorders and doubles them, each
// way, every handshake completes: with certificates of both sides, and with a key.
//
// By the RFC's timer a flight is sent six times within the default patience of 62 s,
// and one exchange in two gets through such a path. So one handshake in fifty would
// be given up by the default: these have more of it.
func TestHandshakeOverBadPath(t *testing.T) {
	clientCert()
	long := 0
	var slowest time.Duration
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := datagram.NewPipe()
				bad := datagram.NewImpaired(a, badPath(seed))
				p := newPairOver(t, bad, b)
				if seed%2 == 1 {
					p.usesPSK()
				} else {
					p.server.SetAuthenticationMode(conn.AuthenticationRequired)
					p.client.SetCertificate(clientCert())
					p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
				}
				for _, c := range p.both() {
					c.SetHandshakePatience(time.Hour)
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
					t.Errorf("client: %v", err)
				}
				took := time.Since(start)
				if slowest = max(slowest, took); took > conn.DefaultHandshakePatience {
					long++
				}
				synctest.Wait()
				cancel()
				if err := <-server; ioCode(err) != datagram.CodeCancelled {
					t.Errorf("server: %v", err)
				}
				if s := p.server.TestSession(); s == nil || s.MasterSecret != p.client.TestSession().MasterSecret {
					t.Error("the sides do not agree")
				}
				p.close(t)
				bad.Close()
			})
		})
	}
	t.Logf("%d of 100 took longer than %v, the slowest %v", long, conn.DefaultHandshakePatience, slowest)
}

func receiveContext(ctx context.Context, c datagram.DatagramBased) (string, int, error) {
	in := room(1, 2000)
	n, err := c.ReceiveMessages(ctx, in, 0, -1)
	return text(&in[0]), n, err
}

// A client that misses the server's last flight repeats its own, and the server's
// reader answers; no call is stuck (RFC 6347 4.2.4). So it is if the server has
// closed its write side, or has a writer at work.
func TestLastFlightLost(t *testing.T) {
	for _, server := range []string{"reads", "has shut down its write side", "writes"} {
		t.Run(server, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := datagram.NewPipe()
				lost := 0
				bad := datagram.NewImpaired(b, datagram.Impairment{Send: datagram.Profile{
					Filter: func(_ int, d []byte) datagram.Verdict {
						// ChangeCipherSpec with Finished, and close_notify.
						if lost == 0 && d[0] == 20 || lost == 1 && d[0] == 21 {
							lost++
							return datagram.VerdictDrop
						}
						return datagram.VerdictPass
					},
				}})
				p := newPairOver(t, a, bad)
				done := make(chan error, 1)
				go func() {
					err := p.server.Handshake(background)
					switch server {
					case "has shut down its write side":
						err = p.server.Shutdown(background, false, true)
					case "writes":
						send(t, p.server, "early")
					}
					if err == nil {
						_, _, err = receiveOne(p.server, -1)
					}
					done <- err
				}()
				took(t, time.Second, func() {
					if err := p.client.Handshake(background); err != nil {
						t.Error(err)
					}
				})
				send(t, p.client, "x")
				if err := <-done; err != nil || lost == 0 {
					t.Errorf("server: %v; %d datagrams lost", err, lost)
				}
				if server == "writes" { // what came before the end of the handshake is kept
					receive(t, p.client, "early")
				}
			})
		})
	}
}

// A peer that repeats its Finished gets the last flight at most ten times a second.
func TestLastFlightIsNotAFountain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, u := newPuppet(t, true)
		finished := func() []byte { return u.seal(t, 22, handshakeMessage(20, "xxxxxxxxxxxx")) }
		count := func() (n int) {
			for datagramWaits(u.base) {
				if _, _, err := receiveOne(u.base, 0); err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		count() // those of the handshake
		for range 10 {
			for range 10 {
				u.send(t, finished())
			}
			_, _, err := receiveOne(c, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
			time.Sleep(50 * time.Millisecond)
		}
		if n := count(); n != 5 {
			t.Errorf("sent %d datagrams in half a second", n)
		}
	})
}

func datagramWaits(b datagram.DatagramBased) bool {
	return b.ConditionCheck(datagram.In) == datagram.In
}

// A peer that is gone is seen by the ICMP error that a message to it provokes,
// once; the session lives on, since anybody may forge one (case c, where the real
// Gio loses it).
func TestPeerVanishes(t *testing.T) {
	a, b := udpPair(t)
	p := newPairOver(t, a, b)
	mustHandshake(t, p)
	_, _, err := receiveOne(p.client, 10*time.Millisecond)
	wantIO(t, err, datagram.CodeTimedOut)
	b.Close()
	send(t, p.client, "x")
	_, _, err = receiveOne(p.client, patience)
	wantIO(t, err, datagram.CodeConnectionRefused)
	_, _, err = receiveOne(p.client, 10*time.Millisecond)
	wantIO(t, err, datagram.CodeTimedOut)
	if p.client.CiphersuiteName() == "" {
		t.Error("the session is lost")
	}
	send(t, p.client, "x")
}
