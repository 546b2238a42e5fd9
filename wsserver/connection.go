package wsserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// MessageType tells text from binary messages.
type MessageType = websocket.MessageType

// The types of messages.
const (
	TextMessage   = websocket.MessageText // UTF-8
	BinaryMessage = websocket.MessageBinary
)

// StatusCode is why a connection is closed (RFC 6455 7.4).
type StatusCode = websocket.StatusCode

// The close codes that the server uses, or an application may want.
const (
	StatusNormalClosure   = websocket.StatusNormalClosure
	StatusGoingAway       = websocket.StatusGoingAway // the server stops
	StatusPolicyViolation = websocket.StatusPolicyViolation
	StatusMessageTooBig   = websocket.StatusMessageTooBig
	StatusInternalError   = websocket.StatusInternalError
	StatusTryAgainLater   = websocket.StatusTryAgainLater // the application did not accept it

	// StatusLoginEnded says that the login has expired or was revoked: the client has
	// to log in again before it comes back.
	StatusLoginEnded StatusCode = 4401
)

// Causes for which the server ends a connection, besides those of its login.
var (
	errNotAccepted = errors.New("the application did not accept the connection in time")
	errNoAnswer    = errors.New("the client does not answer pings, or nobody reads its answers")
)

// closeTime is how long the goodbye of a connection may take that the server closes by
// itself.
const closeTime = 5 * time.Second

// Connection is a WebSocket connection of somebody whom the Authenticator knows. It
// ends when the login does, unless Renew is called before.
//
// One goroutine must be in Read at all times from when the application has accepted
// it, since Read answers pings and sees that the client has gone: without it the
// connection is given up after a while. Messages may be written by several goroutines.
type Connection struct {
	// Constant after the upgrade.
	server  *WebSocketServer
	address netip.Addr
	socket  *websocket.Conn
	wire    net.Conn // below socket

	done chan struct{} // closed by end

	mu       sync.Mutex // guards what follows
	identity Identity
	ended    bool        // the wire is closed
	cause    error       // why the server ends it; nil if it does not
	waiting  *time.Timer // until the application takes it; nil before begin and then
	expiry   *time.Timer // nil if the login does not end, or before begin
}

func newConnection(s *WebSocketServer, address netip.Addr, identity Identity) *Connection {
	return &Connection{server: s, address: address, identity: identity, done: make(chan struct{})}
}

// capture is the ResponseWriter of an upgrade: it keeps the connection that is
// hijacked, and sees when it is closed.
type capture struct {
	http.ResponseWriter
	connection *Connection
}

// Hijack takes the connection over.
func (h *capture) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	wire, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	validated(wire)
	h.connection.wire = &watched{Conn: wire, closed: sync.OnceFunc(h.connection.end)}
	return h.connection.wire, buffered, nil
}

// watched is a net.Conn that tells when it is closed.
type watched struct {
	net.Conn
	closed func()
}

// Close closes it and tells so.
func (w *watched) Close() error {
	err := w.Conn.Close()
	w.closed()
	return err
}

// begin starts the clocks of a connection that is offered to the application.
func (c *Connection) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.waiting = time.AfterFunc(c.server.config.PendingTimeout, func() {
		c.closeFor(errNotAccepted, StatusTryAgainLater, "server is busy")
	})
	c.setExpiry()
}

// setExpiry sets the clock to the end of the login. c.mu is held.
func (c *Connection) setExpiry() {
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	if expires := c.identity.Expires; !expires.IsZero() {
		c.expiry = time.AfterFunc(time.Until(expires), func() {
			c.closeFor(ErrExpiredToken, StatusLoginEnded, "login has expired")
		})
	}
}

// take gives the connection to the application, unless it has ended.
func (c *Connection) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.waiting == nil || !c.waiting.Stop() {
		return false
	}
	c.waiting = nil
	c.server.working.Go(c.keepAlive)
	return true
}

// end is called once, when the wire is closed.
func (c *Connection) end() {
	c.mu.Lock()
	c.ended = true
	for _, timer := range []*time.Timer{c.waiting, c.expiry} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.mu.Unlock()
	c.server.forget(c)
	close(c.done)
}

// abort ends the connection without a goodbye.
func (c *Connection) abort() {
	_ = c.wire.Close()
	_ = c.socket.CloseNow()
}

// closeFor ends the connection with a short goodbye, for a cause that is the server's.
func (c *Connection) closeFor(cause error, code StatusCode, reason string) {
	c.setCause(cause)
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = c.Close(ctx, code, reason)
}

// setCause notes why the connection ends, unless that is known.
func (c *Connection) setCause(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil && !c.ended {
		c.cause = cause
	}
}

// explain gives the error of Read or Write: why the server has ended the connection, if
// it has, else what went wrong.
func (c *Connection) explain(ctx context.Context, what string, err error) error {
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause == nil && ctx.Err() != nil {
		cause = ctx.Err()
	}
	if cause == nil {
		cause = err
	}
	return fmt.Errorf("wsserver: %s: %w", what, cause)
}

// keepAlive asks the client from time to time whether it is there, and the
// Authenticator whether it may be.
func (c *Connection) keepAlive() {
	every := c.server.config.PingInterval
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if !c.stillValid() {
			c.closeFor(ErrRevokedToken, StatusLoginEnded, "login has ended")
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), every)
		err := c.socket.Ping(ctx)
		if ctx.Err() != nil {
			c.setCause(errNoAnswer)
		}
		cancel()
		if err != nil {
			c.abort()
			return
		}
	}
}

// stillValid asks whether the login was revoked.
func (c *Connection) stillValid() bool {
	v, ok := c.server.authenticator.(validator)
	return !ok || v.StillValid(c.Identity()) == nil
}

// Identity tells who the client is. Renew changes it.
func (c *Connection) Identity() Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity
}

// Address is the client's, as the server's configuration tells it; zero if unknown.
func (c *Connection) Address() netip.Addr { return c.address }

// Subprotocol is the one that was agreed upon, empty if none was.
func (c *Connection) Subprotocol() string { return c.socket.Subprotocol() }

// Done gives a channel that is closed when the connection has ended.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Read waits for a message. When the client has closed the connection, the error is a
// websocket.CloseError; see CloseStatus. When the login has ended, it is ErrExpiredToken
// or ErrRevokedToken. An error, that of ctx too, ends the connection. Only one goroutine
// may read at a time.
func (c *Connection) Read(ctx context.Context) (MessageType, []byte, error) {
	t, message, err := c.socket.Read(ctx)
	if err != nil {
		err = c.explain(ctx, "read", err)
		c.abort()
		return 0, nil, err
	}
	return t, message, nil
}

// Write sends a message. It returns when the operating system has all of it, at most
// after the server's WriteTimeout. An error, that of ctx too, ends the connection.
func (c *Connection) Write(ctx context.Context, t MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.server.config.WriteTimeout)
	defer cancel()
	if err := c.socket.Write(ctx, t, message); err != nil {
		err = c.explain(ctx, "write", err)
		c.abort()
		return err
	}
	return nil
}

// CloseStatus is the code by which the client closed the connection, from the error of
// Read; -1 if it did not.
func CloseStatus(err error) StatusCode { return websocket.CloseStatus(err) }

// Renew makes the connection last as long as a further token of the same person, which
// the client has sent over it, in whatever message the application defines for that. An
// error leaves the connection as it is; it is net.ErrClosed if that has ended.
func (c *Connection) Renew(token string) error {
	r, ok := c.server.authenticator.(renewer)
	if !ok {
		return errors.New("wsserver: the server's Authenticator cannot renew logins")
	}
	identity, err := r.Renewed(c.Identity(), token)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.cause != nil {
		return net.ErrClosed
	}
	c.identity = identity
	c.setExpiry()
	return nil
}

// Close ends the connection with a code and a reason of at most 123 bytes. It waits for
// the client's answer, some seconds at most, or until ctx ends; the connection is closed
// then in any case. A further call does nothing.
func (c *Connection) Close(ctx context.Context, code StatusCode, reason string) error {
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() })
	defer stop()
	err := c.socket.Close(code, reason)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
