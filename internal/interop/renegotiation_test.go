package interop

import (
	"context"
	"strings"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

// TestRenegotiation has OpenSSL ask for a new handshake. We refuse by a warning
// (RFC 5246 7.2.2), after which OpenSSL itself gives the connection up.
func TestRenegotiation(t *testing.T) {
	for command, server := range map[string]bool{"r\n": false, "R\n": true} {
		t.Run(strings.TrimSpace(command), func(t *testing.T) {
			t.Parallel()
			m := connected(t, openssl{}, server, usual())
			m.exchange(t, 20)
			m.theirs.send(t, command)
			_, _, err := m.ours.receive()
			expectError(t, err, conn.ErrMisc, peerAlert+"handshake_failure")
			m.theirs.expect(t, ":no renegotiation:")
		})
	}
}

// TestRehandshake has gnutls-cli begin with a second handshake. It repeats itself in
// spite of the refusal, while our side goes on.
func TestRehandshake(t *testing.T) {
	t.Parallel()
	o := usual()
	o.client.rehandshake = true
	m := begun(t, gnutls{}, true, o)
	m.ours.mustHandshake(t)
	reads := make(chan error, 1)
	go func() {
		_, _, err := m.ours.receive()
		reads <- err
	}()
	m.theirs.expect(t, "*** Non fatal error: A TLS warning alert has been received.")
	m.ours.send(t, message("ours", 20))
	if err := m.ours.Close(context.Background()); err != nil {
		t.Error(err)
	}
	expectError(t, <-reads, datagram.ErrClosed, "")
}
