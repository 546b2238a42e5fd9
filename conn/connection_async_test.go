package conn_test

import (
	"context"
	"errors"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

func TestHandshakeAsync(t *testing.T) { // G075
	p := newPair(t)
	called := make(chan error, 1)
	server := p.server.HandshakeAsync(background, conn.PriorityDefault, nil)
	p.client.HandshakeAsync(background, conn.PriorityHigh, func(source any, result *conn.AsyncResult) {
		if source != any(p.client.DtlsConnection) {
			t.Errorf("source is %v", source)
		}
		called <- p.client.HandshakeFinish(result)
	})
	if err := <-called; err != nil {
		t.Errorf("client: %v", err)
	}
	if err := p.server.HandshakeFinish(server); err != nil {
		t.Errorf("server: %v", err)
	}
	for name, err := range map[string]error{
		"of another connection": p.client.HandshakeFinish(server),
		"of another call":       p.server.CloseFinish(server),
		"none":                  p.server.HandshakeFinish(nil),
	} {
		if !errors.Is(err, datagram.ErrInvalidArgument) {
			t.Errorf("result %s: %v", name, err)
		}
	}
	converse(t, p)
}

// The scenario failed (G217): a certificate that is refused.
func TestHandshakeAsyncFails(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	server := p.server.HandshakeAsync(background, 0, nil)
	wantTLS(t, p.client.HandshakeFinish(p.client.HandshakeAsync(background, 0, nil)), conn.TlsErrorBadCertificate)
	wantTLS(t, p.server.HandshakeFinish(server), conn.TlsErrorMisc)
}

func TestHandshakeAsyncCancelled(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithCancel(background)
	r := p.server.HandshakeAsync(ctx, 0, nil)
	select {
	case <-r.Done():
		t.Error("handshake without a client is done")
	default:
	}
	cancel()
	wantIO(t, p.server.HandshakeFinish(r), datagram.CodeCancelled)
}

// Unlike Gio's, the call shuts down what it is told to (G078, G079).
func TestShutdownAsync(t *testing.T) {
	p := connected(t)
	if err := p.client.ShutdownFinish(p.client.ShutdownAsync(background, false, true, 0, nil)); err != nil {
		t.Fatal(err)
	}
	wantIO(t, sendOne(p.client, patience), datagram.CodeClosed)
	send(t, p.server, "still")
	receive(t, p.client, "still")
	if err := p.client.ShutdownFinish(p.client.ShutdownAsync(background, false, false, 0, nil)); err != nil {
		t.Errorf("nothing to shut down: %v", err)
	}
	if err := p.client.ShutdownFinish(p.client.ShutdownAsync(background, true, false, 0, nil)); err != nil {
		t.Fatal(err)
	}
	_, _, err := receiveOne(p.client, patience)
	wantIO(t, err, datagram.CodeClosed)
}

func TestCloseAsync(t *testing.T) { // G083
	p := connected(t)
	for range 2 {
		if err := p.client.CloseFinish(p.client.CloseAsync(background, 0, nil)); err != nil {
			t.Fatal(err)
		}
	}
	wantIO(t, sendOne(p.client, patience), datagram.CodeClosed)
	if _, n, err := receiveOne(p.server, patience); n != 0 || err != nil {
		t.Errorf("peer received %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	wantIO(t, p.server.CloseFinish(p.server.CloseAsync(ctx, 0, nil)), datagram.CodeCancelled)
}

// A handler of the handshake that waits for an asynchronous call of its own connection
// gets an error instead of a deadlock (G191).
func TestFinishInHandler(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	var closing *conn.AsyncResult
	p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		r := c.HandshakeAsync(background, 0, nil)
		wantIO(t, c.HandshakeFinish(r), datagram.CodeFailed)
		closing = c.ShutdownAsync(background, false, true, 0, nil) // may be started here
		return true
	})
	mustHandshake(t, p)
	if err := p.client.ShutdownFinish(closing); err != nil {
		t.Error(err)
	}
}
