package serverconn_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

var clientAddress = datagram.AddressFromAddrPort(netip.MustParseAddrPort("192.0.2.7:4711"))

// verifiedClient makes a client over a pipe verify itself, and gives the server's end.
func verifiedClient(t *testing.T, first, second *serverconn.ClientVerifier) (base *datagram.Pipe, client <-chan error) {
	t.Helper()
	a, b := datagram.NewPipe()
	c := dialFrom(t, a, true)
	if err := c.SetCiphersuites("TLS_PSK_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"); err != nil {
		t.Fatal(err)
	}
	c.SetAdvertisedProtocols([]string{"coap", "echo"})
	c.SetSessionResumptionEnabled(false)
	done := make(chan error, 1)
	go func() { done <- c.Handshake(testContext(t)) }()
	buf := make([]byte, 2000)
	receive := func() []byte {
		n, _, err := datagram.ReceiveOne(t.Context(), b, buf, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	hello := receive()
	verified, reply, err := first.VerifyClient(hello, clientAddress)
	if verified || err != nil || len(reply) == 0 || len(reply) > len(hello) || first.VerifiedHello() != nil {
		t.Fatal(verified, len(reply), err)
	}
	if !bytes.Equal(hello[5:11], reply[5:11]) {
		t.Errorf("record numbers: hello %x, reply %x", hello[5:11], reply[5:11])
	}
	if err := datagram.SendOne(t.Context(), b, reply, datagram.Address{}, time.Second); err != nil {
		t.Fatal(err)
	}
	verified, reply, err = second.VerifyClient(receive(), clientAddress)
	if !verified || reply != nil || err != nil {
		t.Fatal(verified, reply, err)
	}
	return b, done
}

func TestClientVerifier(t *testing.T) {
	v := serverconn.NewClientVerifier()
	base, client := verifiedClient(t, v, v)
	hello := v.VerifiedHello()
	if hello.Address() != clientAddress || hello.ServerName() != "server.example" || len(hello.Ciphersuites()) < 2 ||
		hello.Ciphersuites()[0] != 0x00a8 || len(hello.Protocols()) != 2 || hello.Protocols()[1] != "echo" || len(hello.SessionID()) != 0 || hello.HasTicket() {
		t.Errorf("%v %q %x %q %x", hello.Address(), hello.ServerName(), hello.Ciphersuites(), hello.Protocols(), hello.SessionID())
	}
	server, err := serverconn.NewVerifiedServerConnection(base, nil, hello)
	if err != nil {
		t.Fatal(err)
	}
	_ = configureTest(server)
	if err := server.Handshake(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-client; err != nil {
		t.Fatal(err)
	}
	_ = server.Close(context.Background())
}

// Nodes that share keys verify each other's cookies, also those of the key before.
func TestClientVerifierSharedKeys(t *testing.T) {
	first, second := serverconn.NewClientVerifier(), serverconn.NewClientVerifier()
	first.SetCookieKeys([32]byte{1})
	second.SetCookieKeys([32]byte{2}, [32]byte{1})
	verifiedClient(t, first, second)
}

func TestClientVerifierRefuses(t *testing.T) {
	v := serverconn.NewClientVerifier()
	hello := firstHello(t)
	fragment := bytes.Clone(hello)
	fragment[24]-- // of the fragment's length
	for name, test := range map[string]struct {
		data    []byte
		address string
		want    error
	}{
		"empty":       {nil, "192.0.2.1:1", datagram.ErrInvalidArgument},
		"no address":  {hello, "", datagram.ErrInvalidArgument},
		"no port":     {hello, "192.0.2.1:0", datagram.ErrInvalidArgument},
		"any":         {hello, "0.0.0.0:1", datagram.ErrInvalidArgument},
		"broadcast":   {hello, "255.255.255.255:1", datagram.ErrInvalidArgument},
		"multicast":   {hello, "224.0.0.1:1", datagram.ErrInvalidArgument},
		"multicast 6": {hello, "[ff02::1]:1", datagram.ErrInvalidArgument},
		"text":        {[]byte("GET / HTTP/1.1\r\n\r\n"), "192.0.2.1:1", conn.ErrNotTLS},
		"cut":         {hello[:40], "192.0.2.1:1", conn.ErrNotTLS},
		"a fragment":  {fragment, "192.0.2.1:1", conn.ErrNotTLS},
	} {
		var address datagram.Address
		if test.address != "" {
			address = datagram.AddressFromAddrPort(netip.MustParseAddrPort(test.address))
		}
		verified, reply, err := v.VerifyClient(test.data, address)
		if verified || reply != nil || !errors.Is(err, test.want) || v.VerifiedHello() != nil {
			t.Errorf("%s: %v, %x, %v", name, verified, reply, err)
		}
	}
	if _, err := serverconn.NewVerifiedServerConnection(loopback(t), nil, nil); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Error(err)
	}
}
