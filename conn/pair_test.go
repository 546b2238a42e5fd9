package conn_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

var (
	background = context.Background()
	identity   = conn.NetworkAddress{Hostname: "server.example"}
)

// patience is how long tests wait for what is to happen.
const patience = 20 * time.Second

// The certificates of most tests: an authority that clients trust, and what it
// issued.
var (
	testCA     = sync.OnceValue(func() *conn.TestAuthority { return conn.NewTestCA(setup{}, "CA") })
	serverCert = sync.OnceValue(func() *conn.TlsCertificate { return testCA().Leaf(setup{}).Certificate(setup{}) })
	clientCert = sync.OnceValue(func() *conn.TlsCertificate { return testCA().Leaf(setup{}).Certificate(setup{}) })
	trusting   = sync.OnceValue(func() conn.TlsDatabase {
		return conn.NewDatabaseFromCertificates(testCA().Certificate(setup{}))
	})
)

// setup stands in for a test where what is made serves all of them.
type setup struct{ testing.TB }

func (setup) Helper()           {}
func (setup) Fatal(args ...any) { panic(args) }

// pair is a client and a server that are connected with each other.
type pair struct {
	client *clientconn.DtlsClientConnection
	server *serverconn.DtlsServerConnection
}

// newPair makes both sides over a pipe. The client trusts the server's CA.
func newPair(t testing.TB) *pair {
	t.Helper()
	a, b := datagram.NewPipe()
	return newPairOver(t, a, b)
}

func newPairOver(t testing.TB, clientBase, serverBase datagram.DatagramBased) *pair {
	t.Helper()
	p := &pair{newClient(t, clientBase), newServer(t, serverBase)}
	t.Cleanup(func() { p.close(t) })
	return p
}

func newClient(t testing.TB, base datagram.DatagramBased) *clientconn.DtlsClientConnection {
	t.Helper()
	client, err := clientconn.NewDtlsClientConnection(base, identity)
	if err != nil {
		t.Fatal(err)
	}
	client.SetDatabase(trusting())
	return client
}

func newServer(t testing.TB, base datagram.DatagramBased) *serverconn.DtlsServerConnection {
	t.Helper()
	server, err := serverconn.NewDtlsServerConnection(base, serverCert())
	if err != nil {
		t.Fatal(err)
	}
	server.SetDatabase(trusting())
	return server
}

func (p *pair) close(t testing.TB) {
	t.Helper()
	for _, c := range p.both() {
		if err := c.Close(background); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func (p *pair) both() []*conn.DtlsConnection {
	return []*conn.DtlsConnection{p.client.DtlsConnection, p.server.DtlsConnection}
}

// handshake runs both handshakes and gives their errors.
func (p *pair) handshake(t testing.TB) (client, server error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.server.Handshake(ctx) }()
	client = p.client.Handshake(ctx)
	return client, <-done
}

// usesPSK makes both sides use a pre-shared key.
func (p *pair) usesPSK() *pair {
	p.client.ConnectPskRequired(giveKey("me", "the key"))
	p.server.ConnectPskRequired(giveKey("", "the key"))
	return p
}

// giveKey gives a key, with an identity if it is not empty.
func giveKey(identity, key string) conn.PskRequiredHandler {
	return func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		if identity != "" {
			a.SetIdentity([]byte(identity))
		}
		a.SetPreSharedKey([]byte(key))
	}
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

// converse sends a message each way.
func converse(t testing.TB, p *pair) {
	t.Helper()
	send(t, p.client, "there")
	receive(t, p.server, "there")
	send(t, p.server, "and back")
	receive(t, p.client, "and back")
}

// udpPair gives two sockets that are connected with each other.
func udpPair(t testing.TB, options ...datagram.SocketOption) (a, b *datagram.Socket) {
	t.Helper()
	// Ports that are free, and then sockets that are bound and connected. Others may
	// take a port in between.
	free := func() *net.UDPAddr {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr)
	}
	for range 10 {
		one, two := free(), free()
		first, err := net.DialUDP("udp4", one, two)
		if err != nil {
			continue
		}
		second, err := net.DialUDP("udp4", two, one)
		if err != nil {
			first.Close()
			continue
		}
		a, b = datagram.New(first, options...), datagram.New(second, options...)
		t.Cleanup(func() { a.Close(); b.Close() })
		return a, b
	}
	t.Fatal("no two free ports")
	return nil, nil
}

func message(parts ...string) datagram.OutputMessage {
	var m datagram.OutputMessage
	for _, part := range parts {
		m.Vectors = append(m.Vectors, []byte(part))
	}
	return m
}

// room makes messages with one buffer each.
func room(messages, size int) []datagram.InputMessage {
	in := make([]datagram.InputMessage, messages)
	for i := range in {
		in[i].Vectors = [][]byte{make([]byte, size)}
	}
	return in
}

func text(m *datagram.InputMessage) string {
	return string(bytes.Join(m.Vectors, nil)[:m.BytesReceived])
}

func texts(in []datagram.InputMessage) []string {
	var list []string
	for i := range in {
		list = append(list, text(&in[i]))
	}
	return list
}

func send(t testing.TB, c datagram.DatagramBased, text string) {
	t.Helper()
	messages := []datagram.OutputMessage{message(text)}
	if n, err := c.SendMessages(background, messages, 0, patience); n != 1 || err != nil {
		t.Fatalf("send: %d, %v", n, err)
	}
}

func receive(t testing.TB, c datagram.DatagramBased, want ...string) {
	t.Helper()
	in := room(len(want), 2000)
	n, err := c.ReceiveMessages(background, in, 0, patience)
	if err != nil || !slices.Equal(texts(in[:n]), want) {
		t.Fatalf("received %d, %q, %v; want %q", n, texts(in[:n]), err, want)
	}
}

func receiveOne(c datagram.DatagramBased, timeout time.Duration) (string, int, error) {
	in := room(1, 2000)
	n, err := c.ReceiveMessages(background, in, 0, timeout)
	return text(&in[0]), n, err
}

// sendOne is send for what may fail.
func sendOne(c datagram.DatagramBased, timeout time.Duration) error {
	_, err := c.SendMessages(background, []datagram.OutputMessage{message("x")}, 0, timeout)
	return err
}

// ioCode is the code of an IO error, -1 if err is none.
func ioCode(err error) datagram.IOErrorCode {
	if e, ok := err.(*datagram.IOError); ok {
		return e.Code
	}
	return -1
}

// tlsCode is the code of a TLS error, -1 if err is none.
func tlsCode(err error) conn.TlsErrorCode {
	if e, ok := err.(*conn.TlsError); ok {
		return e.Code
	}
	return -1
}

func wantIO(t testing.TB, err error, code datagram.IOErrorCode) {
	t.Helper()
	if ioCode(err) != code {
		t.Errorf("error is %v, want %v", err, code)
	}
}

func wantTLS(t testing.TB, err error, code conn.TlsErrorCode) {
	t.Helper()
	if tlsCode(err) != code {
		t.Errorf("error is %v, want %v", err, code)
	}
}

// soon waits until something is true.
func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so in time: %s", what)
		}
	}
}
