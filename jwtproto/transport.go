package jwtproto

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// Transport is how requests come over a datagram object.
type Transport int

// The transports.
const (
	UDP  Transport    = 1 << iota // bare datagrams
	DTLS                          // inside of DTLS connections
	Both = UDP | DTLS             // told apart by the first two bytes
)

const (
	receiveBatch = 64
	// maxWaiting is how many bare datagrams wait for their turn beside DTLS.
	maxWaiting = 1024
	// farewell is how long the last words to DTLS peers may take.
	farewell = 2 * time.Second
	// settleInterval is how often the end looks whether all answers are sent.
	settleInterval = time.Millisecond
)

// Serve answers what comes over base, until ctx ends, which is no error, or base does. It
// returns when what had come is answered. base must not be connected and tell the
// addresses of senders, as a datagram.Socket does; nobody else may read from it. It stays
// open. Several sockets may be served at once.
func (s *Server) Serve(ctx context.Context, base datagram.DatagramBased, over Transport) error {
	pending := new(atomic.Int64)
	out := &outlet{to: base, pending: pending}
	defer s.settle(pending)
	var err error
	switch over {
	case UDP:
		err = s.serveUDP(ctx, base, out)
	case DTLS:
		err = s.serveDTLS(ctx, base, pending)
	case Both:
		err = s.serveBoth(ctx, base, out)
	default:
		return datagram.NewError(datagram.CodeInvalidArgument, "jwtproto: %d is no transport; there are UDP, DTLS and Both", over)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// settle waits until all answers are sent, or the server is closed.
func (s *Server) settle(pending *atomic.Int64) {
	for pending.Load() > 0 {
		select {
		case <-s.done:
			return
		case <-time.After(settleInterval):
		}
	}
}

// plainPeer is the sender of a bare datagram.
func plainPeer(out *outlet, from datagram.Address) peer {
	return peer{outlet: out, address: from, from: from}
}

// serveUDP takes bare datagrams.
func (s *Server) serveUDP(ctx context.Context, base datagram.DatagramBased, out *outlet) error {
	messages := s.newMessages(receiveBatch)
	for {
		n, err := base.ReceiveMessages(ctx, messages, datagram.MsgWaitForOne, -1)
		switch {
		case err != nil && passing(err):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		}
		for i := range messages[:n] {
			m := &messages[i]
			s.take(m.Vectors[0][:m.BytesReceived], plainPeer(out, m.Address))
		}
	}
}

// newMessages makes room for requests: a byte more than they may have, so that longer
// ones show.
func (s *Server) newMessages(n int) []datagram.InputMessage {
	messages := make([]datagram.InputMessage, n)
	for i := range messages {
		messages[i].Vectors = [][]byte{make([]byte, s.config.MaxRequest+1)}
	}
	return messages
}

// passing reports whether an error concerns a datagram that was sent earlier, and not
// the socket.
func passing(err error) bool {
	for _, e := range []error{datagram.ErrConnectionRefused, datagram.ErrHostUnreachable, datagram.ErrNetworkUnreachable, datagram.ErrMessageTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// waiting is a bare datagram on its way from the reader of DTLS.
type waiting struct {
	data []byte
	from datagram.Address
}

// serveBoth has the listener read and takes what it has no use for. Decoding it has a
// goroutine of its own, so that a flood of bare datagrams does not keep DTLS waiting.
func (s *Server) serveBoth(ctx context.Context, base datagram.DatagramBased, out *outlet) error {
	queue := make(chan *waiting, maxWaiting)
	buffers := sync.Pool{New: func() any { return new(waiting) }}
	take := func(w *waiting) {
		s.take(w.data, plainPeer(out, w.from))
		buffers.Put(w)
	}
	stop := make(chan struct{})
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			select {
			case w := <-queue:
				take(w)
			case <-stop:
				for len(queue) > 0 {
					take(<-queue)
				}
				return
			}
		}
	})
	defer taking.Wait()
	defer close(stop)
	return s.serveDTLS(ctx, &demux{base, func(data []byte, from datagram.Address) {
		if ctx.Err() != nil {
			return // what comes now would only put off the end
		}
		if len(queue) == cap(queue) { // one reader only: there stays room
			s.counters.requests.Add(1)
			s.counters.overflowed.Add(1)
			return
		}
		data = data[:min(len(data), s.config.MaxRequest+1)]
		w := buffers.Get().(*waiting)
		w.data, w.from = append(w.data[:0], data...), from
		queue <- w
	}}, out.pending)
}

// serveDTLS answers DTLS peers. One that says nothing costs no goroutine.
func (s *Server) serveDTLS(ctx context.Context, base datagram.DatagramBased, pending *atomic.Int64) error {
	sessions := serverconn.NewSessions(nil)
	listener, err := serverconn.NewDtlsListener(base, s.configure,
		serverconn.WithSessions(sessions),
		serverconn.WithMaxPeers(s.config.MaxPeers),
		serverconn.WithHandshakeFailed(func(c *serverconn.DtlsServerConnection, err error) {
			s.config.Logger.Info("a handshake failed", "peer", c.PeerAddress(), "error", err)
			s.config.Peers.gone(c, err)
		}))
	if err != nil {
		return err
	}
	s.keys.add(listener, sessions)
	defer s.keys.remove(listener)
	var peers sync.Map // of *dtlsPeer, by connection
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		s.settle(pending) // the answers go before the connections do
		stop()
	})()
	err = listener.Serve(serving, serverconn.Handler{
		Workers: s.config.Workers,
		Accepted: func(c *serverconn.DtlsServerConnection) {
			p := &dtlsPeer{connection: c, peer: peer{outlet: &outlet{c, pending}, from: c.PeerAddress(), dtls: true}}
			peers.Store(c, p)
			s.config.Logger.Info("connected", "peer", p.peer.from, "ciphersuite", c.CiphersuiteName(), "psk_identity", string(c.PskIdentity()))
			s.config.Peers.connected(c)
		},
		Messages: func(c *serverconn.DtlsServerConnection, messages, _ [][]byte) [][]byte {
			if p, ok := peers.Load(c); ok && ctx.Err() == nil {
				s.takeAll(p.(*dtlsPeer), messages)
			}
			return nil // the answers come later
		},
		Closed: func(c *serverconn.DtlsServerConnection, reason error) {
			peers.Delete(c)
			s.config.Logger.Info("closed", "peer", c.PeerAddress(), "reason", reason)
			s.config.Peers.gone(c, reason)
		},
	})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if shutdown := listener.Shutdown(closing); shutdown != nil {
		s.config.Logger.Warn("not all peers could be told that the server stops", "error", shutdown)
	}
	return err
}

// dtlsPeer is a connected peer. One goroutine at a time uses it.
type dtlsPeer struct {
	connection *serverconn.DtlsServerConnection
	peer       peer
	known      *directory // that peer.only is of
}

// takeAll takes the requests of a DTLS peer. It ends the connection if what the peer has
// shown is bound to no group any more.
func (s *Server) takeAll(p *dtlsPeer, messages [][]byte) {
	if now := s.config.Lab.current.Load(); now != p.known {
		only, ok := now.bound(p.connection)
		if !ok && s.config.Peers.key(p.connection.PskIdentity()) != nil {
			only, ok = "", true
		}
		if !ok {
			s.config.Logger.Info("what the peer showed is bound to no group any more", "peer", p.peer.from)
			closing, cancel := context.WithTimeout(context.Background(), farewell)
			defer cancel()
			_ = p.connection.Close(closing) // it is gone, told or not
			return
		}
		p.known, p.peer.only = now, only
	}
	for _, message := range messages {
		s.take(message, p.peer)
	}
}

// configure prepares the connection of a peer whose address is known to be true.
func (s *Server) configure(c *serverconn.DtlsServerConnection) error {
	s.config.Peers.began(c)
	directory := s.config.Lab.current.Load()
	c.SetCertificate(s.config.Certificate)
	c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		if g := directory.groups[string(a.Identity())]; g != nil && g.psk != nil {
			a.SetPreSharedKey(g.psk)
		} else if key := s.config.Peers.key(a.Identity()); key != nil {
			a.SetPreSharedKey(key)
		}
	})
	if s.config.Certificate == nil {
		return nil
	}
	c.SetAuthenticationMode(conn.AuthenticationRequested)
	// What counts is the key, which is that of a group and which the client has shown to
	// have; who signed the certificate does not.
	c.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, shown *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		return directory.owner(shown) != nil
	})
	return nil
}

// owner finds the group whose key a certificate is for.
func (d *directory) owner(certificate *conn.TlsCertificate) *group {
	id, err := newKeyID(certificate.X509().PublicKey)
	if err != nil {
		return nil
	}
	return d.byKey[id]
}

// bound finds the group that a connection speaks for, empty if it showed nothing. ok is
// false if what it showed is bound to no group any more.
func (d *directory) bound(c *serverconn.DtlsServerConnection) (group string, ok bool) {
	if shown := c.PeerCertificate(); shown != nil {
		g := d.owner(shown)
		if g == nil {
			return "", false
		}
		return g.name, true
	}
	if identity := string(c.PskIdentity()); identity != "" {
		g := d.groups[identity]
		return identity, g != nil && g.psk != nil
	}
	return "", true
}
