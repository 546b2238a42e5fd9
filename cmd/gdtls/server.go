package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
	"gdtls/wsserver"
)

// How a server answers a message.
const (
	replyAck  = "ack" // "to ADDRESS:PORT: ACK"
	replyEcho = "echo"
	replyNone = "none"
)

var replies = map[string]serverconn.ReplyFunc{
	replyAck:  serverconn.Acknowledge,
	replyEcho: serverconn.Echo,
	replyNone: nil,
}

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
	limits      []serverconn.ListenerOption // besides
	trace       bool                        // show what goes on in handshakes
	keylog      *os.File                    // nil: none
	metrics     *metrics                    // nil: none
	watch       *watch                      // for a console; nil: none
	watched     *watchedPeers
	tokens      *wsserver.BearerAuthenticator // whose tokens open DTLS, too; nil: nobody's
}

// serve serves peers that come over base until ctx ends, and then says goodbye to
// them.
func (s *server) serve(ctx context.Context, base *datagram.Socket) error {
	srv := serverconn.NewDtlsServer(s.configure, append(s.limits, serverconn.WithMaxPeers(s.maxPeers))...)
	srv.SetReply(replies[s.reply])
	srv.ConnectWarningMessage(func(text string) { s.out.emit(warning{Message: text}) })
	srv.ConnectInfoMessage(func(text string) { s.log.Debug(text) })
	srv.ConnectErrorMessage(func(text string) { s.log.Debug(text) }) // told as an event, too
	srv.ConnectHandshakeFailed(func(c *serverconn.DtlsServerConnection, err error) { s.handshakeFailed(ctx, c, err) })
	srv.ConnectEncrypted(func(c *serverconn.DtlsServerConnection) {
		e := s.describe(c, true)
		s.watched.connected(c, e)
		s.out.emit(e)
	})
	srv.ConnectDatagramReceived(func(peer datagram.Address, _, plainText []byte) {
		s.out.emit(newReceived(peer.String(), plainText))
	})
	srv.ConnectClosed(func(c *serverconn.DtlsServerConnection, reason error) {
		s.watched.gone(c)
		s.ended(ctx, c, reason)
	})
	if s.tokens != nil {
		srv.ConnectPskRequired(s.keyOfToken) // first: --psk may be for any identity
		defer s.watched.closeRevoked(s.tokens)()
	}
	if s.key != nil {
		srv.ConnectPskRequired(func(a *conn.PreSharedKeyAuthenticator) {
			if s.identity == "" || s.identity == string(a.Identity()) {
				a.SetPreSharedKey(s.key)
			}
		})
	}
	if err := srv.ListenOn(base); err != nil {
		return err
	}
	s.watched.watches(srv)
	e := listening{Address: base.LocalAddress().String(), PSK: s.key != nil}
	if s.metrics != nil {
		s.metrics.watch(srv)
		e.Metrics = s.metrics.url()
	}
	if s.certificate != nil {
		e.Certificate = s.certificate.SubjectName()
	}
	s.out.emit(e)
	var err error
	select {
	case <-ctx.Done():
	case <-srv.Done():
		err = errors.New("the server cannot go on: its socket has failed")
	}
	counts := srv.Stats()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if closeErr := srv.Close(closing); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("not all peers could be told that the server stops: %w", closeErr))
	}
	s.out.emit(note{"stopped"})
	s.log.Info("server stopped", "counts", counts)
	return err
}

// configure prepares the connection of a peer whose address is known to be true.
func (s *server) configure(c *serverconn.DtlsServerConnection) error {
	s.watched.began(c)
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
	}
	return nil
}

// keyOfToken gives the key that belongs to the token of somebody who has logged in at
// the console, and nobody else one.
func (s *server) keyOfToken(a *conn.PreSharedKeyAuthenticator) {
	key, _, err := s.tokens.PSK(a.Identity())
	if err != nil {
		s.log.Debug("a peer's identity is that of no token", "error", err)
		return
	}
	a.SetPreSharedKey(key)
}

// handshakeFailed tells of a peer that did not get in.
func (s *server) handshakeFailed(ctx context.Context, c *serverconn.DtlsServerConnection, err error) {
	s.watched.gone(c)
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

// ended tells why a peer is gone.
func (s *server) ended(ctx context.Context, c *serverconn.DtlsServerConnection, reason error) {
	for _, e := range endOf(c.PeerAddress().String(), reason, ctx.Err() != nil) {
		s.out.emit(e)
	}
}

// endOf is what there is to tell about the end of a connection; stops: the server ends.
func endOf(peer string, reason error, stops bool) []event {
	switch {
	case errors.Is(reason, io.EOF):
		return []event{closed{peer, true, "the peer closed the connection"}}
	case errors.Is(reason, datagram.ErrClosed) && !stops:
		return []event{closed{peer, true, "the server closed the connection"}}
	case errors.Is(reason, datagram.ErrClosed):
		return []event{closed{peer, true, "the server stops"}}
	}
	return []event{failure(peer, reason), closed{peer, false, reason.Error()}}
}
