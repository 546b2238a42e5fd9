package serverconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"gdtls/conn"
	"gdtls/datagram"
)

// DtlsServer answers any number of peers, as the server of Qt's DTLS example does: it
// tells of all that happens by signals, and answers each datagram with one. It stands
// on a [DtlsListener].
//
// All methods may be called at the same time. Handlers of signals about one peer run
// one at a time, those about different peers at the same time; they must not call
// Close, which waits for them.
type DtlsServer struct {
	configure func(*DtlsServerConnection) error
	options   []ListenerOption

	signalIDs signalIDs
	signals   serverSignals

	mu      sync.Mutex
	reply   ReplyFunc
	serving *serving // nil while not listening
}

// serving is what a server has while it is listening. It is not changed.
type serving struct {
	listener *DtlsListener
	own      io.Closer     // the base, if Listen made it
	done     chan struct{} // closed when nobody is served any more, and own is closed
}

// serverSignals are the signals of a server.
type serverSignals struct {
	errorMessage, warningMessage, infoMessage signal[func(string)]

	datagramReceived signal[DatagramHandler]
	pskRequired      signal[func(*conn.PreSharedKeyAuthenticator)]
	authorize        signal[AuthorizeHandler]

	encrypted       signal[func(*DtlsServerConnection)]
	handshakeFailed signal[func(*DtlsServerConnection, error)]
	closed          signal[func(*DtlsServerConnection, error)]
}

// DatagramHandler is told of a message: cipherText is the datagram as it came, which
// may hold other records too, or nil if it came before the end of the handshake or in
// one datagram with others; plainText is the message in it. Both are valid during the
// call.
type DatagramHandler func(peer datagram.Address, cipherText, plainText []byte)

// ReplyFunc gives the answer to a message, nil for none. It may be the message itself.
type ReplyFunc func(c *DtlsServerConnection, plainText []byte) []byte

// NewDtlsServer makes a server. configure sets up the connection of each peer whose
// address is known to be true, as for [NewDtlsListener]; nil is for a server that has
// only handlers of pskRequired.
func NewDtlsServer(configure func(*DtlsServerConnection) error, options ...ListenerOption) *DtlsServer {
	return &DtlsServer{configure: configure, options: options, reply: Acknowledge}
}

// Acknowledge is what a DtlsServer answers if nothing else is set: "to ADDRESS:PORT: ACK".
func Acknowledge(c *DtlsServerConnection, _ []byte) []byte {
	return fmt.Appendf(nil, "to %v: ACK", c.PeerAddress())
}

// Echo answers a message with itself.
func Echo(_ *DtlsServerConnection, plainText []byte) []byte { return plainText }

// SetReply sets how messages are answered; nil is for no answer. The default is
// Acknowledge.
func (s *DtlsServer) SetReply(reply ReplyFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = reply
}

// ConnectErrorMessage connects a handler to texts about what went wrong.
func (s *DtlsServer) ConnectErrorMessage(call func(text string)) conn.SignalHandlerID {
	return s.signals.errorMessage.Connect(&s.signalIDs, call)
}

// ConnectWarningMessage connects a handler to texts about what looks odd.
func (s *DtlsServer) ConnectWarningMessage(call func(text string)) conn.SignalHandlerID {
	return s.signals.warningMessage.Connect(&s.signalIDs, call)
}

// ConnectInfoMessage connects a handler to texts about what goes on.
func (s *DtlsServer) ConnectInfoMessage(call func(text string)) conn.SignalHandlerID {
	return s.signals.infoMessage.Connect(&s.signalIDs, call)
}

// ConnectDatagramReceived connects a handler to all messages. An empty one is warned of
// besides: a peer hardly ever means it.
func (s *DtlsServer) ConnectDatagramReceived(call DatagramHandler) conn.SignalHandlerID {
	return s.signals.datagramReceived.Connect(&s.signalIDs, call)
}

// ConnectPskRequired connects a handler that knows pre-shared keys, by the identity of
// the authenticator (Q029). Peers that come before the first is connected cannot use
// any.
func (s *DtlsServer) ConnectPskRequired(call func(*conn.PreSharedKeyAuthenticator)) conn.SignalHandlerID {
	return s.signals.pskRequired.Connect(&s.signalIDs, call)
}

// ConnectAuthorize connects a handler that may refuse a client before it costs
// anything, as that of a [DtlsListener].
func (s *DtlsServer) ConnectAuthorize(call AuthorizeHandler) conn.SignalHandlerID {
	return s.signals.authorize.Connect(&s.signalIDs, call)
}

// ConnectEncrypted connects a handler to handshakes that have succeeded.
func (s *DtlsServer) ConnectEncrypted(call func(c *DtlsServerConnection)) conn.SignalHandlerID {
	return s.signals.encrypted.Connect(&s.signalIDs, call)
}

// ConnectHandshakeFailed connects a handler to handshakes that have not.
func (s *DtlsServer) ConnectHandshakeFailed(call func(c *DtlsServerConnection, reason error)) conn.SignalHandlerID {
	return s.signals.handshakeFailed.Connect(&s.signalIDs, call)
}

// ConnectClosed connects a handler to the end of connections: reason is io.EOF if the
// peer has closed it, IO error CLOSED if the server did.
func (s *DtlsServer) ConnectClosed(call func(c *DtlsServerConnection, reason error)) conn.SignalHandlerID {
	return s.signals.closed.Connect(&s.signalIDs, call)
}

// Disconnect removes a handler. One that is running is not waited for.
func (s *DtlsServer) Disconnect(id conn.SignalHandlerID) {
	g, ids := &s.signals, &s.signalIDs
	g.errorMessage.Disconnect(ids, id)
	g.warningMessage.Disconnect(ids, id)
	g.infoMessage.Disconnect(ids, id)
	g.datagramReceived.Disconnect(ids, id)
	g.pskRequired.Disconnect(ids, id)
	g.authorize.Disconnect(ids, id)
	g.encrypted.Disconnect(ids, id)
	g.handshakeFailed.Disconnect(ids, id)
	g.closed.Disconnect(ids, id)
}

// Listen serves peers that come to a UDP address, such as "127.0.0.1:4433"; port 0
// takes a free one.
func (s *DtlsServer) Listen(ctx context.Context, address string) error {
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		s.tell(&s.signals.errorMessage, "cannot listen: %v", err)
		return fmt.Errorf("cannot listen: %w", err)
	}
	base := datagram.New(packets)
	if err := s.listen(base, base); err != nil {
		_ = base.Close()
		return err
	}
	return nil
}

// ListenOn serves peers that come to a datagram object, as [NewDtlsListener] wants it.
// The base stays open.
func (s *DtlsServer) ListenOn(base datagram.DatagramBased) error { return s.listen(base, nil) }

func (s *DtlsServer) listen(base datagram.DatagramBased, own io.Closer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving != nil {
		return datagram.NewError(datagram.CodeFailed, "server is listening already: close it first")
	}
	listener, err := NewDtlsListener(base, s.configured, append(s.options[:len(s.options):len(s.options)], WithHandshakeFailed(s.failed))...)
	if err != nil {
		return err
	}
	listener.ConnectAuthorize(s.authorize)
	now := &serving{listener: listener, own: own, done: make(chan struct{})}
	s.serving = now
	go s.serve(now)
	return nil
}

// serve serves until the listener is closed, by Close or since its base has failed.
func (s *DtlsServer) serve(now *serving) {
	defer close(now.done)
	err := now.listener.Serve(context.Background(), Handler{
		Accepted: s.accepted,
		exposed:  s.answer,
		Closed:   s.ended,
	})
	if err != errListenerClosed {
		s.tell(&s.signals.errorMessage, "server cannot go on: %v", err)
	}
	_ = now.listener.Shutdown(context.Background()) // waits for what is left
	if now.own != nil {
		_ = now.own.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = nil
}

// IsListening tells whether the server takes peers.
func (s *DtlsServer) IsListening() bool { return s.now() != nil }

func (s *DtlsServer) now() *serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving
}

// LocalAddress is where the server listens, zero if it does not.
func (s *DtlsServer) LocalAddress() datagram.Address {
	if now := s.now(); now != nil {
		return now.listener.LocalAddress()
	}
	return datagram.Address{}
}

// Stats counts since Listen; zero if the server is not listening.
func (s *DtlsServer) Stats() ListenerStats {
	if now := s.now(); now != nil {
		return now.listener.Stats()
	}
	return ListenerStats{}
}

// Done gives a channel that is closed when the server has stopped, closed already if
// it is not listening.
func (s *DtlsServer) Done() <-chan struct{} {
	if now := s.now(); now != nil {
		return now.done
	}
	done := make(chan struct{})
	close(done)
	return done
}

// Close tells all peers goodbye by close_notify and stops listening. It waits for
// that, or until ctx is done, which is IO error CANCELLED; a further call goes on with
// it. A server that is not listening is closed already.
func (s *DtlsServer) Close(ctx context.Context) error {
	now := s.now()
	if now == nil {
		return nil
	}
	if err := now.listener.Shutdown(ctx); err != nil {
		return err
	}
	select {
	case <-now.done:
		return nil
	case <-ctx.Done():
		return datagram.ErrorFromContext(ctx)
	}
}

// tell emits one of the signals with a text.
func (s *DtlsServer) tell(to *signal[func(string)], format string, args ...any) {
	if !to.IsConnected() {
		return
	}
	text := fmt.Sprintf(format, args...)
	for call := range to.Calls() {
		call(text)
	}
}

func (s *DtlsServer) authorize(hello *ClientHello) error {
	for call := range s.signals.authorize.Calls() {
		if err := call(hello); err != nil {
			s.tell(&s.signals.warningMessage, "%v is not authorized: %v", hello.Address(), err)
			return err
		}
	}
	return nil
}

// configured sets up a peer's connection.
func (s *DtlsServer) configured(c *DtlsServerConnection) error {
	s.tell(&s.signals.infoMessage, "%v has shown its address, the handshake begins", c.PeerAddress())
	if s.signals.pskRequired.IsConnected() {
		c.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			for call := range s.signals.pskRequired.Calls() {
				if call(a); len(a.PreSharedKey()) > 0 {
					return
				}
			}
			s.tell(&s.signals.warningMessage, "%v has no key that is known: identity %q", c.PeerAddress(), a.Identity())
		})
	}
	if s.configure != nil {
		return s.configure(c)
	}
	return nil
}

func (s *DtlsServer) failed(c *DtlsServerConnection, reason error) {
	s.tell(&s.signals.errorMessage, "handshake with %v has failed: %v", c.PeerAddress(), reason)
	for call := range s.signals.handshakeFailed.Calls() {
		call(c, reason)
	}
}

func (s *DtlsServer) accepted(c *DtlsServerConnection) {
	s.tell(&s.signals.infoMessage, "connection with %v is encrypted by %s", c.PeerAddress(), c.CiphersuiteName())
	for call := range s.signals.encrypted.Calls() {
		call(c)
	}
}

// answer tells of a message and gives the reply.
func (s *DtlsServer) answer(c *DtlsServerConnection, cipherText, plainText []byte) []byte {
	if len(plainText) == 0 {
		s.tell(&s.signals.warningMessage, "%v has sent a message of 0 bytes; does it try to connect again?", c.PeerAddress())
	}
	for call := range s.signals.datagramReceived.Calls() {
		call(c.PeerAddress(), cipherText, plainText)
	}
	s.mu.Lock()
	reply := s.reply
	s.mu.Unlock()
	if reply == nil {
		return nil
	}
	answer := reply(c, plainText)
	if most := c.MaximumMessageSize(); len(answer) > most {
		s.tell(&s.signals.warningMessage, "the answer to %v was not sent: it has %d bytes, %d are possible", c.PeerAddress(), len(answer), most)
		return nil
	}
	return answer
}

func (s *DtlsServer) ended(c *DtlsServerConnection, reason error) {
	switch {
	case errors.Is(reason, io.EOF):
		s.tell(&s.signals.infoMessage, "%v has closed the connection", c.PeerAddress())
	case errors.Is(reason, datagram.ErrClosed):
		s.tell(&s.signals.infoMessage, "the connection with %v was closed", c.PeerAddress())
	default:
		s.tell(&s.signals.errorMessage, "the connection with %v is broken: %v", c.PeerAddress(), reason)
	}
	for call := range s.signals.closed.Calls() {
		call(c, reason)
	}
}
