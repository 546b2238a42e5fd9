package conn_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

var identity = conn.NetworkAddress{Hostname: "server.example"}

// pair is a client and a server that are connected with each other.
type pair struct {
	client *clientconn.DtlsClientConnection
	server *serverconn.DtlsServerConnection
	ca     *conn.TestAuthority
}

// newPair makes both sides over a pipe. The client trusts the server's CA.
func newPair(t testing.TB) *pair {
	t.Helper()
	a, b := datagram.NewPipe()
	return newPairOver(t, a, b)
}

func newPairOver(t testing.TB, clientBase, serverBase datagram.DatagramBased) *pair {
	t.Helper()
	ca := conn.NewTestCA(t, "CA")
	client, err := clientconn.NewDtlsClientConnection(clientBase, identity)
	if err != nil {
		t.Fatal(err)
	}
	server, err := serverconn.NewDtlsServerConnection(serverBase, ca.Leaf(t).Certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	client.SetDatabase(conn.NewDatabaseFromCertificates(ca.Certificate(t)))
	server.SetDatabase(client.Database())
	t.Cleanup(func() {
		_ = client.Close(context.Background())
		_ = server.Close(context.Background())
	})
	return &pair{client, server, ca}
}

// handshake runs both handshakes and gives their errors.
func (p *pair) handshake(t testing.TB) (client, server error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.server.Handshake(ctx) }()
	client = p.client.Handshake(ctx)
	return client, <-done
}

// connected is newPair with the handshake made.
func connected(t testing.TB) *pair {
	t.Helper()
	p := newPair(t)
	mustHandshake(t, p)
	return p
}

func mustHandshake(t testing.TB, p *pair) {
	t.Helper()
	if client, server := p.handshake(t); client != nil || server != nil {
		t.Fatalf("handshake: client %v, server %v", client, server)
	}
}

func send(t testing.TB, c datagram.DatagramBased, text string) {
	t.Helper()
	messages := []datagram.OutputMessage{{Vectors: [][]byte{[]byte(text)}}}
	if n, err := c.SendMessages(context.Background(), messages, 0, 5*time.Second); n != 1 || err != nil {
		t.Fatalf("send: %d, %v", n, err)
	}
}

func receive(t testing.TB, c datagram.DatagramBased, want string) {
	t.Helper()
	got, n, err := receiveOne(c, 5*time.Second)
	if n != 1 || err != nil || got != want {
		t.Fatalf("received %d, %q, %v; want %q", n, got, err, want)
	}
}

func receiveOne(c datagram.DatagramBased, timeout time.Duration) (string, int, error) {
	buf := make([]byte, 2000)
	messages := []datagram.InputMessage{{Vectors: [][]byte{buf}}}
	n, err := c.ReceiveMessages(context.Background(), messages, 0, timeout)
	return string(buf[:messages[0].BytesReceived]), n, err
}

func TestConversation(t *testing.T) {
	p := connected(t)
	send(t, p.client, "hello")
	receive(t, p.server, "hello")
	send(t, p.server, "and back")
	receive(t, p.client, "and back")
	for _, c := range []*conn.DtlsConnection{p.client.DtlsConnection, p.server.DtlsConnection} {
		if c.CiphersuiteName() != "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" || c.ProtocolVersion() != conn.ProtocolDTLS12 {
			t.Errorf("%v: %q, %v", c, c.CiphersuiteName(), c.ProtocolVersion())
		}
	}
	if got := p.server.ServerName(); got != "server.example" {
		t.Errorf("server was asked for %q", got)
	}
	if err := p.client.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, n, err := receiveOne(p.server, time.Second); n != 0 || err != nil {
		t.Errorf("after close_notify: %d, %v", n, err)
	}
}

func TestConversationOverUDP(t *testing.T) {
	a, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := a.(*net.UDPConn)
	b, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	s, err := net.DialUDP("udp4", server.LocalAddr().(*net.UDPAddr), b.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	p := newPairOver(t, datagram.New(b), datagram.New(s))
	mustHandshake(t, p)
	send(t, p.client, "hello")
	receive(t, p.server, "hello")
	send(t, p.server, "and back")
	receive(t, p.client, "and back")
}

func TestImplicitHandshake(t *testing.T) {
	p := newPair(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := receiveOne(p.server, 5*time.Second)
		done <- err
	}()
	send(t, p.client, "first")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestUnknownCA(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	client, server := p.handshake(t)
	if !errors.Is(client, conn.ErrBadCertificate) || !errors.Is(server, conn.ErrMisc) {
		t.Errorf("client %v, server %v", client, server)
	}
	t.Log(client, "|", server)
}
