package serverconn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCertificate is a self-signed certificate of server.example.
var testCertificate = sync.OnceValue(func() *conn.TlsCertificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "server.example"},
		DNSNames:     []string{"server.example"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	certificate, err := conn.NewCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	if err != nil {
		panic(err)
	}
	return certificate
})

var testKey = []byte("a key that both sides know")

// configureTest lets clients in by certificate and by pre-shared key.
func configureTest(c *serverconn.DtlsServerConnection) error {
	c.SetCertificate(testCertificate())
	c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetPreSharedKey(testKey)
	})
	return nil
}

// loopback is a UDP socket on 127.0.0.1.
func loopback(t testing.TB) *datagram.Socket {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.UDPConn).SetReadBuffer(4 << 20) // so that bursts of the tests fit
	s := datagram.New(c)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// listen makes a listener that is shut down with the test.
func listen(t testing.TB, options ...serverconn.ListenerOption) *serverconn.DtlsListener {
	t.Helper()
	return listenOn(t, loopback(t), configureTest, options...)
}

func listenOn(t testing.TB, base datagram.DatagramBased, configure func(*serverconn.DtlsServerConnection) error, options ...serverconn.ListenerOption) *serverconn.DtlsListener {
	t.Helper()
	l, err := serverconn.NewDtlsListener(base, configure, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return l
}

// dial makes a client of the listener at an address; its handshake is still to
// come. It uses pre-shared keys or certificates.
func dial(t testing.TB, to datagram.Address, psk bool) *clientconn.DtlsClientConnection {
	t.Helper()
	return dialFrom(t, netSocket(t, nil, to), psk)
}

// netSocket is a UDP socket that is connected, from a given address or any.
func netSocket(t testing.TB, from *net.UDPAddr, to datagram.Address) *datagram.Socket {
	t.Helper()
	c, err := net.DialUDP("udp4", from, net.UDPAddrFromAddrPort(to.AddrPort()))
	if err != nil {
		t.Fatal(err)
	}
	s := datagram.New(c)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func dialFrom(t testing.TB, base datagram.DatagramBased, psk bool) *clientconn.DtlsClientConnection {
	t.Helper()
	c, err := clientconn.NewDtlsClientConnection(base, conn.NetworkAddress{Hostname: "server.example"})
	if err != nil {
		t.Fatal(err)
	}
	c.SetValidationFlags(0)
	if psk {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte("somebody"))
			a.SetPreSharedKey(testKey)
		})
		if err := c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// testContext is a context that ends a hanging test.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// connect makes a client and gives both of its ends, of which nobody else must be
// waiting for Accept.
func connect(t testing.TB, l *serverconn.DtlsListener, psk bool) (*clientconn.DtlsClientConnection, *serverconn.DtlsServerConnection) {
	t.Helper()
	client := dial(t, l.LocalAddress(), psk)
	return client, accept(t, l, client)
}

func accept(t testing.TB, l *serverconn.DtlsListener, client *clientconn.DtlsClientConnection) *serverconn.DtlsServerConnection {
	t.Helper()
	ctx := testContext(t)
	if err := client.Handshake(ctx); err != nil {
		t.Fatalf("client: %v; listener: %+v", err, l.Stats())
	}
	server, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func sendText(t testing.TB, c datagram.DatagramBased, text string) {
	t.Helper()
	if err := datagram.SendOne(t.Context(), c, []byte(text), datagram.Address{}, 5*time.Second); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

func wantText(t testing.TB, c datagram.DatagramBased, want string) {
	t.Helper()
	buf := make([]byte, 100)
	n, _, err := datagram.ReceiveOne(t.Context(), c, buf, 5*time.Second)
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("received %q, %v; want %q", buf[:n], err, want)
	}
}

// echo serves a connection until its peer closes it.
func echo(c *serverconn.DtlsServerConnection) error {
	defer c.Close(context.Background())
	buf := make([]byte, 2000)
	for {
		messages := []datagram.InputMessage{{Vectors: [][]byte{buf}}}
		n, err := c.ReceiveMessages(context.Background(), messages, 0, -1)
		if n == 0 {
			return err
		}
		if err := datagram.SendOne(context.Background(), c, buf[:messages[0].BytesReceived], datagram.Address{}, -1); err != nil {
			return err
		}
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
