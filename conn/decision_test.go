package conn_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// distantDatabase verifies as another does, but takes its time.
type distantDatabase struct {
	conn.TlsDatabase
	takes time.Duration
}

func (d distantDatabase) VerifyChain(ctx context.Context, chain *conn.TlsCertificate, purpose string, identity conn.SocketConnectable, interaction conn.TlsInteraction, flags conn.TlsDatabaseVerifyFlags) (conn.TlsCertificateFlags, error) {
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return conn.CertificateGenericError, ctx.Err()
	}
	return d.TlsDatabase.VerifyChain(ctx, chain, purpose, identity, interaction, flags)
}

// hesitating accepts any certificate after a while.
func hesitating(takes time.Duration) conn.AcceptCertificateHandler {
	return func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
		time.Sleep(takes)
		return true
	}
}

// Whoever decides in a handshake may take a while, on both sides, and the peer's
// repetitions are taken meanwhile.
func TestSlowDecisions(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*pair)
		want time.Duration
	}{
		"verdicts": {func(p *pair) {
			p.client.SetDatabase(nil)
			p.client.ConnectAcceptCertificate(hesitating(5 * time.Second))
			p.client.SetCertificate(clientCert())
			p.server.SetAuthenticationMode(conn.AuthenticationRequired)
			p.server.ConnectAcceptCertificate(hesitating(8 * time.Second))
		}, 13 * time.Second},
		"databases": {func(p *pair) {
			p.client.SetDatabase(distantDatabase{p.client.Database(), 9 * time.Second})
		}, 9 * time.Second},
		"keys": {func(p *pair) {
			for _, c := range p.both() {
				c.ConnectPskRequired(func(*conn.DtlsConnection, *conn.PreSharedKeyAuthenticator) { time.Sleep(6 * time.Second) })
			}
			p.usesPSK()
		}, 12 * time.Second},
		"interaction": {func(p *pair) {
			p.server.SetAuthenticationMode(conn.AuthenticationRequired)
			p.server.ConnectAcceptCertificate(hesitating(0))
			p.client.SetInteraction(asker{certificate: func(_ context.Context, c *conn.DtlsConnection, _ conn.TlsCertificateRequestFlags) (conn.TlsInteractionResult, error) {
				time.Sleep(7 * time.Second)
				c.SetCertificate(clientCert())
				return conn.InteractionHandled, nil
			}})
		}, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPair(t)
				test.set(p)
				took(t, test.want, func() { mustHandshake(t, p) })
				converse(t, p)
			})
		})
	}
}

// A decision that does not come ends the handshake, and the peer is told. Who was asked
// may go on; Close waits for that.
func TestDecisionTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		p.client.SetDatabase(nil)
		p.client.SetHandshakePatience(4 * time.Second)
		p.client.ConnectAcceptCertificate(hesitating(time.Minute))
		took(t, 4*time.Second, func() {
			client, server := p.handshake(t)
			wantIO(t, client, datagram.CodeTimedOut)
			wantTLS(t, server, conn.TlsErrorMisc)
		})
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		wantIO(t, p.client.Close(ctx), datagram.CodeCancelled)
		took(t, 55*time.Second, func() {
			if err := p.client.Close(background); err != nil {
				t.Error(err)
			}
		})
	})
}

// Who waits for a decision can be called off by its context and by its peer; a database
// is told.
func TestSlowDecisionCancelled(t *testing.T) {
	cancelled := func() context.Context {
		ctx, cancel := context.WithCancel(background)
		time.AfterFunc(3*time.Second, cancel)
		return ctx
	}
	never := func(t *testing.T) *pair {
		p := newPair(t)
		p.client.SetDatabase(distantDatabase{p.client.Database(), 1 << 60})
		return p
	}
	bubble(t, func(t *testing.T) {
		p, done := never(t), make(chan error, 1)
		go func() { done <- p.server.Handshake(background) }()
		took(t, 3*time.Second, func() { wantIO(t, p.client.Handshake(cancelled()), datagram.CodeCancelled) })
		wantTLS(t, <-done, conn.TlsErrorMisc)
		synctest.Wait() // the database, too, has ended
	})
	bubble(t, func(t *testing.T) {
		p, done := never(t), make(chan error, 1)
		go func() { done <- p.client.Handshake(background) }()
		took(t, 3*time.Second, func() { wantIO(t, p.server.Handshake(cancelled()), datagram.CodeCancelled) })
		took(t, 0, func() { wantTLS(t, <-done, conn.TlsErrorMisc) })
	})
}

// A handler that ends its goroutine ends the handshake.
func TestHandlerEndsGoroutine(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	p.client.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
		runtime.Goexit()
		return true
	})
	client, server := p.handshake(t)
	wantTLS(t, client, conn.TlsErrorMisc)
	wantTLS(t, server, conn.TlsErrorMisc)
}

// A server does not begin anew with a client whose certificate its application is
// looking at: one handler runs at a time.
func TestOneDecisionAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		p := newPairOver(t, &losing{DatagramBased: a, lose: 5}, b) // two hellos, a flight, again, the alert
		p.client.SetCertificate(clientCert())
		p.server.SetAuthenticationMode(conn.AuthenticationRequired)
		var asked atomic.Int32
		p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool {
			asked.Add(1)
			time.Sleep(20 * time.Second)
			return true
		})
		ctx, cancel := context.WithTimeout(background, 2500*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- p.server.Handshake(background) }()
		wantIO(t, p.client.Handshake(ctx), datagram.CodeCancelled)
		again := newClient(t, a)
		again.SetHandshakePatience(5 * time.Second)
		wantIO(t, again.Handshake(background), datagram.CodeTimedOut)
		if err := <-done; err != nil || asked.Load() != 1 {
			t.Errorf("%v after %d questions", err, asked.Load())
		}
	})
}
