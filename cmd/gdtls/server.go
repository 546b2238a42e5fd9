package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// How a server answers a message.
const (
	replyAck  = "ack" // "to ADDRESS:PORT: ACK"
	replyEcho = "echo"
	replyNone = "none"
)

// Which certificates with faults are accepted.
const (
	acceptAsk    = "ask"
	acceptAlways = "always"
	acceptNever  = "never"
	acceptFlags  = "flags" // those that have none
)

const (
	// maxMessage is the most that one record carries (RFC 5246 6.2.1), in bytes.
	maxMessage = 1 << 14
	// sendTime is how long a full socket may hold up a message.
	sendTime = 10 * time.Second
	// closingTime is how long the last messages to the peers may take.
	closingTime = 2 * time.Second
)

// server answers many peers over DTLS. It does not change while it runs.
type server struct {
	out         *output
	log         *slog.Logger
	certificate *conn.TlsCertificate // nil: pre-shared keys only
	database    conn.TlsDatabase
	mode        conn.TlsAuthenticationMode
	authorities [][]byte // told to clients that are asked for a certificate
	accept      string
	protocols   []string
	key         []byte // pre-shared key, nil for none
	identity    string // that it belongs to; empty: to any
	hint        string
	reply       string
	maxPeers    int
	trace       bool     // show what goes on in handshakes
	keylog      *os.File // nil: none
}

// serve serves peers that come over base until ctx ends, and then says goodbye to
// them.
func (s *server) serve(ctx context.Context, base *datagram.Socket) error {
	listener, err := serverconn.NewDtlsListener(base, s.configure,
		serverconn.WithMaxPeers(s.maxPeers),
		serverconn.WithHandshakeFailed(func(c *serverconn.DtlsServerConnection, err error) { s.handshakeFailed(ctx, c, err) }))
	if err != nil {
		return err
	}
	e := listening{Address: base.LocalAddress().String(), PSK: s.key != nil}
	if s.certificate != nil {
		e.Certificate = s.certificate.SubjectName()
	}
	s.out.emit(e)
	var peers sync.WaitGroup
	for {
		c, acceptErr := listener.Accept(ctx)
		if acceptErr != nil {
			err = acceptErr
			break
		}
		peers.Go(func() { s.converse(c) })
	}
	if ctx.Err() != nil {
		err = nil // as was asked for
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if shutdownErr := listener.Shutdown(closing); shutdownErr != nil {
		err = errors.Join(err, fmt.Errorf("not all peers could be told that the server stops: %w", shutdownErr))
	}
	peers.Wait()
	s.out.emit(note{"stopped"})
	s.log.Info("server stopped", "counts", listener.Stats())
	return err
}

// configure prepares the connection of a peer whose address is known to be true.
func (s *server) configure(c *serverconn.DtlsServerConnection) error {
	s.out.emit(peerVerified{c.PeerAddress().String()})
	if s.trace {
		traceTo(s.out, c.DtlsConnection)
	}
	if s.keylog != nil {
		c.SetKeyLogWriter(s.keylog)
	}
	c.SetCertificate(s.certificate)
	c.SetDatabase(s.database)
	c.SetAuthenticationMode(s.mode)
	c.SetAcceptedCAs(s.authorities)
	c.SetAdvertisedProtocols(s.protocols)
	c.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, flags conn.TlsCertificateFlags) bool {
		return s.accept == acceptAlways || s.accept == acceptFlags && flags == 0
	})
	if s.key != nil {
		c.SetPskIdentityHint([]byte(s.hint))
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			if s.identity == "" || s.identity == string(a.Identity()) {
				a.SetPreSharedKey(s.key)
			}
		})
	}
	return nil
}

// handshakeFailed tells of a peer that did not get in.
func (s *server) handshakeFailed(ctx context.Context, c *serverconn.DtlsServerConnection, err error) {
	peer := c.PeerAddress().String()
	if ctx.Err() != nil && errors.Is(err, datagram.ErrCancelled) {
		s.out.emit(closed{Peer: peer, Reason: "the server stops during the handshake"})
		return
	}
	s.out.emit(s.describe(c, false))
	s.out.emit(failure(peer, err))
}

// describe is describe, with the hint that the server gave.
func (s *server) describe(c *serverconn.DtlsServerConnection, ok bool) handshakeDone {
	e := describe(c.DtlsConnection, ok)
	if c.PskIdentity() != nil {
		e.PSKHint = s.hint
	}
	return e
}

// converse answers one peer until it or the server ends the connection.
func (s *server) converse(c *serverconn.DtlsServerConnection) {
	peer := c.PeerAddress().String()
	s.out.emit(s.describe(c, true))
	e := s.answer(c, peer)
	closing, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	_ = c.Close(closing) // the peer is gone, or told as far as it can be
	s.out.emit(e)
}

func (s *server) answer(c *serverconn.DtlsServerConnection, peer string) closed {
	ctx := context.Background() // the connection is closed when the server stops
	buf := make([]byte, maxMessage)
	for {
		n, _, err := datagram.ReceiveOne(ctx, c, buf, -1)
		if err == nil {
			s.out.emit(newReceived(peer, buf[:n]))
			if reply, ok := s.replyTo(peer, buf[:n]); ok {
				err = datagram.SendOne(ctx, c, reply, datagram.Address{}, sendTime)
			}
			if errors.Is(err, datagram.ErrMessageTooLarge) {
				s.out.emit(warning{peer, "the answer was not sent: " + err.Error()})
				err = nil
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return closed{peer, true, "the peer closed the connection"}
		case errors.Is(err, datagram.ErrClosed):
			return closed{peer, true, "the server stops"}
		default:
			s.out.emit(failure(peer, err))
			return closed{peer, false, err.Error()}
		}
	}
}

// replyTo gives the answer to a message.
func (s *server) replyTo(peer string, message []byte) ([]byte, bool) {
	switch s.reply {
	case replyAck:
		return []byte("to " + peer + ": ACK"), true
	case replyEcho:
		return message, true
	}
	return nil, false
}
