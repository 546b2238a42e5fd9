package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// TestListener serves clients of all peers at once on one socket, as an echo, until
// its Shutdown tells each that it is over.
func TestListener(t *testing.T) {
	t.Parallel()
	const each = 3
	ctx := t.Context()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	k := testPKI()
	base := newTrace(t, datagram.New(socket))
	certificate, database := k.p256.ours(t), databaseOf(t, k.root)
	listener, err := serverconn.NewDtlsListener(base, func(c *serverconn.DtlsServerConnection) error {
		c.SetCertificate(certificate)
		c.SetDatabase(database)
		c.SetAuthenticationMode(conn.AuthenticationRequested)
		c.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, errors conn.TlsCertificateFlags) bool {
			return errors == 0
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(context.Background()) })

	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			serving.Go(func() {
				if err := echo(ctx, c); err != nil && !errors.Is(err, datagram.ErrClosed) {
					t.Errorf("serving a peer: %v", err)
				}
			})
		}
	})

	o := usual().client
	var clients []session
	for _, p := range peers {
		for i := range each {
			o.credential = []*credential{nil, k.client, k.clientRSA}[i%3]
			clients = append(clients, p.connect(t, socket.LocalAddr().(*net.UDPAddr).AddrPort(), o))
		}
	}
	for i, c := range clients {
		c.established(t)
		c.send(t, message(fmt.Sprint("client ", i), 60))
	}
	for i, c := range clients {
		c.expect(t, message(fmt.Sprint("client ", i), 60))
	}
	if err := listener.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		c.expectClose(t)
	}
	serving.Wait()
}

// echo sends back what comes, until the peer or the listener ends.
func echo(ctx context.Context, c *serverconn.DtlsServerConnection) error {
	buffer := make([]byte, 2000)
	in := []datagram.InputMessage{{Vectors: [][]byte{buffer}}}
	for {
		n, err := c.ReceiveMessages(ctx, in, 0, -1)
		if n == 0 || err != nil {
			return err
		}
		out := []datagram.OutputMessage{{Vectors: [][]byte{buffer[:in[0].BytesReceived]}}}
		if _, err := c.SendMessages(ctx, out, 0, -1); err != nil {
			return err
		}
	}
}
