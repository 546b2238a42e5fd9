package serverconn_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// A server for any number of peers that have a pre-shared key, and one of them.
func ExampleDtlsListener() {
	ctx := context.Background()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	base := datagram.New(socket)
	defer base.Close()
	listener, err := serverconn.NewDtlsListener(base, func(c *serverconn.DtlsServerConnection) error {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			if string(a.Identity()) == "thermometer" {
				a.SetPreSharedKey([]byte("a secret"))
			}
		})
		return nil
	})
	if err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				defer c.Close(ctx)
				buf := make([]byte, 1500)
				for {
					n, _, err := datagram.ReceiveOne(ctx, c, buf, -1)
					if err != nil {
						return
					}
					fmt.Printf("%s says %q\n", c.PskIdentity(), buf[:n])
					_ = datagram.SendOne(ctx, c, []byte("thank you"), datagram.Address{}, -1)
				}
			}()
		}
	}()

	peer, err := net.Dial("udp", listener.LocalAddress().String())
	if err != nil {
		panic(err)
	}
	clientBase := datagram.New(peer.(*net.UDPConn))
	defer clientBase.Close()
	client, err := clientconn.NewDtlsClientConnection(clientBase, nil)
	if err != nil {
		panic(err)
	}
	client.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte("thermometer"))
		a.SetPreSharedKey([]byte("a secret"))
	})
	if err := datagram.SendOne(ctx, client, []byte("21.5 °C"), datagram.Address{}, -1); err != nil {
		panic(err)
	}
	buf := make([]byte, 1500)
	n, _, err := datagram.ReceiveOne(ctx, client, buf, -1)
	if err != nil {
		panic(err)
	}
	fmt.Printf("listener says %q\n", buf[:n])

	_ = listener.Shutdown(ctx) // with close_notify to every peer
	<-done
	if _, _, err = datagram.ReceiveOne(ctx, client, buf, -1); err != nil {
		fmt.Println(err)
	}
	_ = client.Close(ctx)
	// Output:
	// thermometer says "21.5 °C"
	// listener says "thank you"
	// EOF
}

// A server that answers many peers with a fixed number of goroutines, and lets only
// those in that ask for the right name.
func ExampleDtlsListener_Serve() {
	ctx, stop := context.WithCancel(context.Background())
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	base := datagram.New(socket)
	defer base.Close()
	certificate := selfSigned("server.example")
	listener, err := serverconn.NewDtlsListener(base, func(c *serverconn.DtlsServerConnection) error {
		c.SetCertificate(certificate)
		return nil
	})
	if err != nil {
		panic(err)
	}
	listener.ConnectAuthorize(func(hello *serverconn.ClientHello) error {
		if hello.ServerName() != "server.example" {
			return errors.New("nobody of that name lives here")
		}
		return nil
	})
	done := make(chan error)
	go func() {
		done <- listener.Serve(ctx, serverconn.Handler{
			Messages: func(_ *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
				return append(replies, messages...) // an echo
			},
		})
	}()

	for _, name := range []string{"server.example", "elsewhere.example"} {
		peer, err := net.Dial("udp", listener.LocalAddress().String())
		if err != nil {
			panic(err)
		}
		clientBase := datagram.New(peer.(*net.UDPConn))
		client, err := clientconn.NewDtlsClientConnection(clientBase, conn.NetworkAddress{Hostname: name})
		if err != nil {
			panic(err)
		}
		client.SetDatabase(conn.NewDatabaseFromCertificates(certificate))
		buf := make([]byte, 100)
		if err = datagram.SendOne(ctx, client, []byte("hello"), datagram.Address{}, -1); err == nil {
			n, _, _ := datagram.ReceiveOne(ctx, client, buf, -1)
			fmt.Printf("%s says %s\n", name, buf[:n])
		} else {
			fmt.Printf("%s: %v\n", name, err)
		}
		client.Close(ctx)
		clientBase.Close()
	}
	stop()
	<-done
	// Output:
	// server.example says hello
	// elsewhere.example: peer sent fatal TLS alert: access_denied
}
