package jwtproto

import (
	"context"
	"errors"
	"io"
	"sync"
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
	peerBatch    = 8 // of a DTLS peer, each with a buffer for as long as it is connected
	// maxWaiting is how many bare datagrams wait for their turn beside DTLS.
	maxWaiting = 1024
	// farewell is how long the last words to DTLS peers may take.
	farewell = 2 * time.Second
)

// Serve answers what comes over base, until ctx ends, which is no error, or base does. It
// returns when what had come is answered. base must not be connected and tell the
// addresses of senders, as a datagram.Socket does; nobody else may read from it. It stays
// open. Several sockets may be served at once.
func (s *Server) Serve(ctx context.Context, base datagram.DatagramBased, over Transport) error {
	out := &outlet{to: base}
	defer s.settle(out)
	var err error
	switch over {
	case UDP:
		err = s.serveUDP(ctx, base, out)
	case DTLS:
		err = s.serveDTLS(ctx, base)
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

// settle waits until all answers through an outlet are sent, or the server is closed.
func (s *Server) settle(out *outlet) {
	settled := make(chan struct{})
	go func() {
		out.pending.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-s.done:
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
		if len(queue) == cap(queue) { // one reader only: there stays room
			s.counters.requests.Add(1)
			s.counters.overflowed.Add(1)
			return
		}
		data = data[:min(len(data), s.config.MaxRequest+1)]
		w := buffers.Get().(*waiting)
		w.data, w.from = append(w.data[:0], data...), from
		queue <- w
	}})
}

// serveDTLS answers DTLS peers.
func (s *Server) serveDTLS(ctx context.Context, base datagram.DatagramBased) error {
	listener, err := serverconn.NewDtlsListener(base, s.configure,
		serverconn.WithMaxPeers(s.config.MaxPeers),
		serverconn.WithHandshakeFailed(func(c *serverconn.DtlsServerConnection, err error) {
			s.config.Logger.Info("a handshake failed", "peer", c.PeerAddress(), "error", err)
		}))
	if err != nil {
		return err
	}
	var peers sync.WaitGroup
	for {
		var c *serverconn.DtlsServerConnection
		if c, err = listener.Accept(ctx); err != nil {
			break
		}
		peers.Go(func() { s.converse(ctx, c) })
	}
	peers.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if shutdown := listener.Shutdown(closing); shutdown != nil {
		s.config.Logger.Warn("not all peers could be told that the server stops", "error", shutdown)
	}
	return err
}

// configure prepares the connection of a peer whose address is known to be true.
func (s *Server) configure(c *serverconn.DtlsServerConnection) error {
	directory := s.config.Lab.current.Load()
	c.SetCertificate(s.config.Certificate)
	c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		if g := directory.groups[string(a.Identity())]; g != nil && g.psk != nil {
			a.SetPreSharedKey(g.psk)
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

// converse takes the requests of one peer until it, the server or ctx ends the connection.
func (s *Server) converse(ctx context.Context, c *serverconn.DtlsServerConnection) {
	out := &outlet{to: c}
	from := c.PeerAddress()
	log := s.config.Logger.With("peer", from)
	log.Info("connected", "ciphersuite", c.CiphersuiteName(), "psk_identity", string(c.PskIdentity()))
	messages := s.newMessages(peerBatch)
	var known *directory // that only and ok are of
	var only string
	var ok bool
	var err error
	for err == nil {
		var n int
		n, err = c.ReceiveMessages(ctx, messages, datagram.MsgWaitForOne, -1)
		if err == nil && n == 0 {
			err = io.EOF
		}
		for i := range messages[:n] {
			if now := s.config.Lab.current.Load(); now != known {
				known = now
				only, ok = now.bound(c)
			}
			if !ok {
				err = errors.New("what it showed is bound to no group any more")
				break
			}
			m := &messages[i]
			s.take(m.Vectors[0][:m.BytesReceived], peer{outlet: out, from: from, only: only, dtls: true})
		}
	}
	log.Info("closing", "reason", err)
	s.settle(out)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := c.Close(closing); err != nil {
		log.Debug("closed without a close_notify", "error", err)
	}
}
