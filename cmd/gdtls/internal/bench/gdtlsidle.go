package bench

import (
	"context"
	"fmt"
	"net"

	"gdtls/clientconn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// gdtlsIdle holds connections of gdtls: those of a listener, and their clients.
type gdtlsIdle struct {
	b        *Bench
	base     *datagram.Socket
	listener *serverconn.DtlsListener
	sockets  []*datagram.Socket
	clients  []*clientconn.DtlsClientConnection
	servers  []*serverconn.DtlsServerConnection
}

func (b *Bench) newGDTLSIdle() (idler, error) {
	socket, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		return nil, err
	}
	base := datagram.New(socket)
	listener, err := serverconn.NewDtlsListener(base, func(c *serverconn.DtlsServerConnection) error {
		c.SetCertificate(b.server)
		return nil
	}, serverconn.WithMaxPeers(MaxConnections))
	if err != nil {
		base.Close()
		return nil, err
	}
	return &gdtlsIdle{b: b, base: base, listener: listener}, nil
}

func (g *gdtlsIdle) open(n int) error {
	for range n {
		socket, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(g.listener.LocalAddress().AddrPort()))
		if err != nil {
			return err
		}
		g.sockets = append(g.sockets, datagram.New(socket))
	}
	return nil
}

func (g *gdtlsIdle) connect(ctx context.Context, i int) error {
	client, err := g.b.newClient(g.sockets[i])
	if err != nil {
		return err
	}
	err = both(ctx, client.Handshake, func(ctx context.Context) error {
		server, err := g.listener.Accept(ctx)
		if err == nil {
			g.servers = append(g.servers, server)
		}
		return err
	})
	if err != nil {
		return err
	}
	g.clients = append(g.clients, client)
	server := g.servers[i]
	for _, way := range [][2]datagram.DatagramBased{{client, server}, {server, client}} {
		if _, err := way[0].SendMessages(ctx, []datagram.OutputMessage{{Vectors: [][]byte{[]byte("hello")}}}, 0, handshakePatience); err != nil {
			return err
		}
		n, err := way[1].ReceiveMessages(ctx, []datagram.InputMessage{{Vectors: [][]byte{make([]byte, 5)}}}, 0, handshakePatience)
		if n != 1 {
			return fmt.Errorf("a message did not arrive: %w", err)
		}
	}
	return nil
}

func (g *gdtlsIdle) dropServers(ctx context.Context) error {
	if err := g.listener.Shutdown(ctx); err != nil {
		return err
	}
	g.servers = nil
	g.listener = nil
	err := g.base.Close()
	g.base = nil
	return err
}

func (g *gdtlsIdle) dropClients(context.Context) error {
	g.clients = nil // nothing but this is needed: they own no goroutine
	return nil
}

func (g *gdtlsIdle) close() {
	for _, socket := range g.sockets {
		socket.Close()
	}
	if g.listener == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakePatience)
	defer cancel()
	if err := g.listener.Shutdown(ctx); err == nil {
		g.base.Close()
	}
}
