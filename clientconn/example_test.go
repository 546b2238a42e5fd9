package clientconn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// A client that knows its server by a certificate.
func ExampleNewDtlsClientConnection() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	certificate := selfSigned("server.example")
	socket := echoServer(ctx, func(s *serverconn.DtlsServerConnection) { s.SetCertificate(certificate) })

	base := datagram.New(socket) // any net.PacketConn; here a *net.UDPConn
	defer base.Close()
	client, err := clientconn.NewDtlsClientConnection(base, conn.ParseIdentity("server.example"))
	if err != nil {
		log.Fatal(err)
	}
	client.SetDatabase(conn.NewDatabaseFromCertificates(certificate)) // else the system's CAs
	if err := client.Handshake(ctx); err != nil {
		log.Fatal(err)
	}
	if err := datagram.SendOne(ctx, client, []byte("hello"), datagram.Address{}, -1); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, _, err := datagram.ReceiveOne(ctx, client, buf, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %s: %s\n", client.ProtocolVersion(), client.CiphersuiteName(), buf[:n])
	if err := client.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: dtls-1-2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: hello
}

// A client that shares a key with its server, used as a net.Conn.
func ExampleNewDtlsClientConnection_preSharedKey() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	socket := echoServer(ctx, func(s *serverconn.DtlsServerConnection) {
		s.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetPreSharedKey([]byte("a long and random key"))
		})
	})

	base := datagram.New(socket)
	defer base.Close()
	client, err := clientconn.NewDtlsClientConnection(base, nil)
	if err != nil {
		log.Fatal(err)
	}
	client.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte("sensor 1"))
		a.SetPreSharedKey([]byte("a long and random key"))
	})
	c := client.NetConn() // the first Write makes the handshake
	if _, err := c.Write([]byte("21.5 degrees")); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", client.PskIdentity(), buf[:n])
	if err := c.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: sensor 1: 21.5 degrees
}

// A certificate that is not acceptable by itself may be accepted by a handler.
func ExampleDtlsClientConnection_acceptCertificate() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	certificate := selfSigned("server.example")
	socket := echoServer(ctx, func(s *serverconn.DtlsServerConnection) { s.SetCertificate(certificate) })

	base := datagram.New(socket)
	defer base.Close()
	client, err := clientconn.NewDtlsClientConnection(base, conn.ParseIdentity("server.example"))
	if err != nil {
		log.Fatal(err)
	}
	client.SetDatabase(nil) // nothing is trusted
	client.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, chain *conn.TlsCertificate, errors conn.TlsCertificateFlags) bool {
		fmt.Println(chain.SubjectName(), "has", errors)
		return chain.IsSame(certificate) // pinned
	})
	fmt.Println(client.Handshake(ctx))
	if err := client.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// CN=server.example has UNKNOWN_CA
	// <nil>
}

// echoServer starts a server that sends back what it receives until its peer
// closes, and returns a socket that is connected to it.
func echoServer(ctx context.Context, configure func(*serverconn.DtlsServerConnection)) *net.UDPConn {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	free, err := net.ListenUDP("udp", local)
	if err != nil {
		log.Fatal(err)
	}
	address := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	client, err := net.DialUDP("udp", local, address)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.DialUDP("udp", address, client.LocalAddr().(*net.UDPAddr))
	if err != nil {
		log.Fatal(err)
	}
	server, err := serverconn.NewDtlsServerConnection(datagram.New(socket), nil)
	if err != nil {
		log.Fatal(err)
	}
	configure(server)
	go func() {
		defer socket.Close()
		defer server.Close(ctx)
		buf := make([]byte, 1500)
		for {
			n, _, err := datagram.ReceiveOne(ctx, server, buf, -1)
			if err != nil {
				return
			}
			if err := datagram.SendOne(ctx, server, buf[:n], datagram.Address{}, -1); err != nil {
				return
			}
		}
	}()
	return client
}

func selfSigned(name string) *conn.TlsCertificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{name},
	}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := conn.NewCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	if err != nil {
		log.Fatal(err)
	}
	return certificate
}
