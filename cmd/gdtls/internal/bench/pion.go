package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"

	pion "github.com/pion/dtls/v2"
)

// pionBuffer is the longest datagram that pion v2 receives, in bytes.
const pionBuffer = 8192

func (b *Bench) pionClientConfig() *pion.Config {
	return &pion.Config{
		RootCAs:      b.roots(),
		ServerName:   serverName,
		CipherSuites: []pion.CipherSuiteID{pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

func (b *Bench) pionServerConfig() *pion.Config {
	return &pion.Config{
		Certificates: []tls.Certificate{b.leaf.TLS()},
		CipherSuites: []pion.CipherSuiteID{pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

// pionPair connects both sides over sockets that are connected with each other.
// Closing the connections closes the sockets; if they cannot be made, the sockets
// are closed, too.
func pionPair(ctx context.Context, client, server net.Conn, clientConfig, serverConfig *pion.Config) (c, s *pion.Conn, err error) {
	err = both(ctx, func(ctx context.Context) (err error) {
		c, err = pion.ClientWithContext(ctx, client, clientConfig)
		return err
	}, func(ctx context.Context) (err error) {
		s, err = pion.ServerWithContext(ctx, server, serverConfig)
		return err
	})
	if err == nil {
		return c, s, nil
	}
	for _, side := range []*pion.Conn{c, s} {
		if side != nil {
			side.Close()
		}
	}
	client.Close()
	server.Close()
	return nil, nil, err
}

func (b *Bench) pionMover(ctx context.Context, client, server *net.UDPConn, s Setting) (mover, error) {
	c, sv, err := pionPair(ctx, enlarge(client), enlarge(server), b.pionClientConfig(), b.pionServerConfig())
	if err != nil {
		return nil, err
	}
	return newFlow(newNetEnd(c, s.Size, c.Close), newNetEnd(sv, s.Size, sv.Close), s, false), nil
}

// pionSides makes handshakes of pion.
func (b *Bench) pionSides(resumed bool) func(client, server *net.UDPConn) sides {
	clientConfig, serverConfig := b.pionClientConfig(), b.pionServerConfig()
	store := new(pionSession)
	if resumed {
		clientConfig.SessionStore, serverConfig.SessionStore = store, store
	}
	return func(client, server *net.UDPConn) sides {
		var c, s *pion.Conn
		return sides{
			client: func(ctx context.Context) (err error) {
				c, err = pion.ClientWithContext(ctx, client, clientConfig)
				return err
			},
			server: func(ctx context.Context) (err error) {
				s, err = pion.ServerWithContext(ctx, server, serverConfig)
				return err
			},
			resumed: func() bool { return len(c.ConnectionState().PeerCertificates) == 0 }, // none is shown then
			close: func() {
				for _, side := range []*pion.Conn{c, s} {
					if side != nil {
						side.Close()
					}
				}
				client.Close()
				server.Close()
			},
		}
	}
}

// pionSession is the only session that both sides know.
type pionSession struct {
	mu      sync.Mutex
	session pion.Session
}

func (p *pionSession) Set(_ []byte, session pion.Session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = session
	return nil
}

func (p *pionSession) Get([]byte) (pion.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session, nil
}

func (p *pionSession) Del([]byte) error { return p.Set(nil, pion.Session{}) }

// pionIdle holds connections of pion: those of a listener, and their clients.
type pionIdle struct {
	b        *Bench
	listener net.Listener
	sockets  []*deaf
	clients  []*pion.Conn
	servers  []net.Conn
}

func (b *Bench) newPionIdle() (idler, error) {
	listener, err := pion.Listen("udp4", loopback, b.pionServerConfig())
	return &pionIdle{b: b, listener: listener}, err
}

func (p *pionIdle) open(n int) error {
	for range n {
		socket, err := net.DialUDP("udp4", nil, p.listener.Addr().(*net.UDPAddr))
		if err != nil {
			return err
		}
		p.sockets = append(p.sockets, &deaf{UDPConn: socket})
	}
	return nil
}

func (p *pionIdle) connect(ctx context.Context, i int) error {
	err := both(ctx, func(ctx context.Context) error {
		c, err := pion.ClientWithContext(ctx, p.sockets[i], p.b.pionClientConfig())
		if err == nil {
			p.clients = append(p.clients, c)
		}
		return err
	}, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { p.listener.Close() })() // nothing else ends Accept
		s, err := p.listener.Accept()
		if err == nil {
			p.servers = append(p.servers, s)
		}
		return err
	})
	if err != nil {
		return err
	}
	client, server := p.clients[i], p.servers[i]
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		if _, err := way[0].Write([]byte("hello")); err != nil {
			return err
		}
		if _, err := way[1].Read(make([]byte, 5)); err != nil {
			return err
		}
	}
	return nil
}

// dropServers closes the servers without the clients' learning of it, which would
// make them end, too.
func (p *pionIdle) dropServers(context.Context) error {
	for _, socket := range p.sockets {
		socket.deaf.Store(true)
	}
	for _, s := range p.servers {
		_ = s.Close() // the peer may have been faster
	}
	p.servers = nil
	return p.listener.Close()
}

func (p *pionIdle) dropClients(context.Context) error {
	for _, c := range p.clients {
		_ = c.Close() // reports that nobody is left to take its close_notify
	}
	p.clients = nil
	return nil
}

func (p *pionIdle) close() {
	for _, socket := range p.sockets {
		socket.Close()
	}
	p.listener.Close()
}

// deaf is a socket that can stop to hear, so that what it is used by stays as it is.
type deaf struct {
	*net.UDPConn
	deaf atomic.Bool
}

func (d *deaf) Read(b []byte) (int, error) {
	for {
		n, err := d.UDPConn.Read(b)
		if err != nil && d.deaf.Load() && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
			continue // the other side is gone
		}
		if err != nil || !d.deaf.Load() {
			return n, err
		}
	}
}
