package conn_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// distantSigner is a key that takes its time, as one in an HSM.
type distantSigner struct {
	crypto.Signer
	takes time.Duration
	err   error
}

func (s *distantSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	time.Sleep(s.takes)
	if s.err != nil {
		return nil, s.err
	}
	return s.Signer.Sign(r, digest, o)
}

// distant is a certificate with such a key.
func distant(t testing.TB, takes time.Duration, err error) *conn.TlsCertificate {
	t.Helper()
	chain, key := testCA().Leaf(t).Chain(t)
	c, failure := conn.NewCertificate(tls.Certificate{Certificate: chain, PrivateKey: &distantSigner{key, takes, err}})
	if failure != nil {
		t.Fatal(failure)
	}
	return c
}

// Keys outside of the process may take their time on both sides; the peer's
// repetitions are taken meanwhile.
func TestSlowPrivateKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		p.server.SetCertificate(distant(t, 5*time.Second, nil))
		p.client.SetCertificate(distant(t, 7*time.Second, nil))
		p.server.SetAuthenticationMode(conn.AuthenticationRequired)
		p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
		took(t, 12*time.Second, func() { mustHandshake(t, p) })
		converse(t, p)
	})
}

// A key that fails, and one that does not come back, end the handshake.
func TestPrivateKeysThatFail(t *testing.T) {
	token := errors.New("token is gone")
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		p.server.SetCertificate(distant(t, time.Second, token))
		client, server := p.handshake(t)
		if !errors.Is(server, token) {
			t.Errorf("server: %v", server)
		}
		wantTLS(t, client, conn.TlsErrorMisc)
	})
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		p.server.SetCertificate(distant(t, time.Minute, nil))
		p.server.SetHandshakePatience(4 * time.Second)
		took(t, 4*time.Second, func() {
			client, server := p.handshake(t)
			wantIO(t, server, datagram.CodeTimedOut)
			wantTLS(t, client, conn.TlsErrorMisc) // told by an alert
		})
		time.Sleep(time.Minute) // the key comes back to nobody
		synctest.Wait()
	})
}

// Who waits for a key can be called off, by its context and by its peer.
func TestSlowPrivateKeyCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		p.server.SetCertificate(distant(t, time.Minute, nil))
		ctx, cancel := context.WithTimeout(background, 3*time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- p.server.Handshake(background) }()
		took(t, 3*time.Second, func() { wantIO(t, p.client.Handshake(ctx), datagram.CodeCancelled) })
		took(t, 0, func() { wantTLS(t, <-done, conn.TlsErrorMisc) })
		time.Sleep(time.Minute)
		synctest.Wait()

		p = newPair(t)
		p.server.SetCertificate(distant(t, time.Minute, nil))
		serverCtx, cancelServer := context.WithTimeout(background, 3*time.Second)
		defer cancelServer()
		go func() { done <- p.client.Handshake(background) }()
		took(t, 3*time.Second, func() { wantIO(t, p.server.Handshake(serverCtx), datagram.CodeCancelled) })
		wantTLS(t, <-done, conn.TlsErrorMisc)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}
