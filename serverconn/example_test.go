package serverconn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// A server for one peer, to which its socket is connected. It sends back what it
// receives until the peer closes.
func ExampleNewDtlsServerConnection() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	certificate := selfSigned("server.example")
	socket, done := connectedClient(ctx, func(c *clientconn.DtlsClientConnection) {
		c.SetDatabase(conn.NewDatabaseFromCertificates(certificate))
	}, "hello", "world")

	base := datagram.New(socket) // any net.PacketConn; here a *net.UDPConn
	defer base.Close()
	server, err := serverconn.NewDtlsServerConnection(base, certificate)
	if err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := datagram.ReceiveOne(ctx, server, buf, -1) // the first one makes the handshake
		if err == io.EOF {                                     // close_notify
			break
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", buf[:n])
		if err := datagram.SendOne(ctx, server, buf[:n], datagram.Address{}, -1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("client asked for", server.ServerName())
	if err := server.Close(ctx); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// hello
	// world
	// client asked for server.example
}

// A server without a certificate, which knows the keys of its clients.
func ExampleNewDtlsServerConnection_preSharedKey() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	keys := map[string][]byte{"sensor 1": []byte("a long and random key")}
	socket, done := connectedClient(ctx, func(c *clientconn.DtlsClientConnection) {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte("sensor 1"))
			a.SetPreSharedKey(keys["sensor 1"])
		})
	}, "21.5 degrees")

	base := datagram.New(socket)
	defer base.Close()
	server, err := serverconn.NewDtlsServerConnection(base, nil)
	if err != nil {
		log.Fatal(err)
	}
	server.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetPreSharedKey(keys[string(a.Identity())]) // none refuses the client
	})
	c := server.NetConn()
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", server.PskIdentity(), buf[:n])
	if _, err := c.Write(buf[:n]); err != nil {
		log.Fatal(err)
	}
	if err := c.Close(); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output: sensor 1: 21.5 degrees
}

// connectedClient starts a client that sends each message and waits for its echo,
// and returns a socket that is connected to it.
func connectedClient(ctx context.Context, configure func(*clientconn.DtlsClientConnection), messages ...string) (socket *net.UDPConn, done <-chan struct{}) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	free, err := net.ListenUDP("udp", local)
	if err != nil {
		log.Fatal(err)
	}
	address := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	clientSocket, err := net.DialUDP("udp", local, address)
	if err != nil {
		log.Fatal(err)
	}
	if socket, err = net.DialUDP("udp", address, clientSocket.LocalAddr().(*net.UDPAddr)); err != nil {
		log.Fatal(err)
	}
	client, err := clientconn.NewDtlsClientConnection(datagram.New(clientSocket), conn.ParseIdentity("server.example"))
	if err != nil {
		log.Fatal(err)
	}
	configure(client)
	end := make(chan struct{})
	go func() {
		defer close(end)
		defer clientSocket.Close()
		defer client.Close(ctx)
		buf := make([]byte, 1500)
		for _, message := range messages {
			if err := datagram.SendOne(ctx, client, []byte(message), datagram.Address{}, -1); err != nil {
				log.Fatal(err)
			}
			if _, _, err := datagram.ReceiveOne(ctx, client, buf, -1); err != nil {
				log.Fatal(err)
			}
		}
	}()
	return socket, end
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
