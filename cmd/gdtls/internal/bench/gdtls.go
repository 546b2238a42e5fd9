package bench

import (
	"context"
	"errors"
	"net"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// newClient makes a client that is to verify the server.
func (b *Bench) newClient(base datagram.DatagramBased) (*clientconn.DtlsClientConnection, error) {
	client, err := clientconn.NewDtlsClientConnection(base, conn.NetworkAddress{Hostname: serverName})
	if err != nil {
		return nil, err
	}
	client.SetDatabase(b.database)
	client.SetSessionCache(nil)
	return client, client.SetCiphersuites(suite)
}

// newPair makes both sides over sockets that are connected with each other.
func (b *Bench) newPair(client, server datagram.DatagramBased) (*clientconn.DtlsClientConnection, *serverconn.DtlsServerConnection, error) {
	c, err := b.newClient(client)
	if err != nil {
		return nil, nil, err
	}
	s, err := serverconn.NewDtlsServerConnection(server, b.server)
	return c, s, err
}

// both runs the handshakes of both sides at the same time. When one fails, the other
// is given up.
func both(ctx context.Context, client, server func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	run := func(side func(context.Context) error) error {
		err := side(ctx)
		if err != nil {
			cancel()
		}
		return err
	}
	done := make(chan error, 1)
	go func() { done <- run(server) }()
	err := run(client)
	return errors.Join(err, <-done)
}

func (b *Bench) gdtlsMover(ctx context.Context, client, server *net.UDPConn, s Setting) (mover, error) {
	one, two := datagram.New(client), datagram.New(server)
	fail := func(err error) (mover, error) { return nil, errors.Join(err, one.Close(), two.Close()) }
	c, sv, err := b.newPair(one, two)
	if err != nil {
		return fail(err)
	}
	if err := both(ctx, c.Handshake, sv.Handshake); err != nil {
		return fail(err)
	}
	ends := [2]end{}
	for i, side := range []struct {
		*conn.DtlsConnection
		base *datagram.Socket
	}{{c.DtlsConnection, one}, {sv.DtlsConnection, two}} {
		if side.MaximumMessageSize() < s.Size { // loopback takes what UDP takes
			if err := side.SetMTU(s.Size + overhead); err != nil {
				return fail(err)
			}
		}
		ends[i] = newMessageEnd(side, s.Size, s.Batch, func() error {
			return errors.Join(side.Close(context.Background()), side.base.Close())
		})
	}
	return newFlow(ends[0], ends[1], s, !s.Echo), nil
}

// socketMover moves datagrams as long as the records of gdtls, by the same path.
func socketMover(client, server *net.UDPConn, s Setting) mover {
	one, two := datagram.New(client), datagram.New(server)
	return newFlow(newMessageEnd(one, s.Size+overhead, s.Batch, one.Close), newMessageEnd(two, s.Size+overhead, s.Batch, two.Close), s, !s.Echo)
}

// gdtlsSides makes handshakes of gdtls.
func (b *Bench) gdtlsSides(resumed bool) func(client, server *net.UDPConn) sides {
	var cache *conn.SessionCache
	var sessions *serverconn.Sessions
	if resumed {
		cache, sessions = conn.NewSessionCache(1), serverconn.NewSessions(nil)
	}
	return func(client, server *net.UDPConn) sides {
		one, two := datagram.New(client), datagram.New(server)
		var c *clientconn.DtlsClientConnection
		var s *serverconn.DtlsServerConnection
		return sides{
			client: func(ctx context.Context) (err error) {
				if c, err = b.newClient(one); err != nil {
					return err
				}
				c.SetSessionCache(cache)
				return c.Handshake(ctx)
			},
			server: func(ctx context.Context) (err error) {
				if s, err = serverconn.NewDtlsServerConnection(two, b.server); err != nil {
					return err
				}
				s.SetSessions(sessions)
				return s.Handshake(ctx)
			},
			resumed: func() bool { return c.IsResumed() && s.IsResumed() },
			close: func() { // without a word to the other side, which is closed, too
				one.Close()
				two.Close()
			},
		}
	}
}
