package wsserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// WebSocketServer hands out the connections of those whom its Authenticator lets in. It
// listens by itself, by Listen or ListenOn, or is mounted as an http.Handler; both may
// be done at once.
//
// Handlers of signals may run at the same time, and must not call Close, which waits
// for them.
type WebSocketServer struct {
	authenticator Authenticator
	config        Config // normal
	challenge     []string
	serverHeader  []string
	rate          *rateLimiter
	log           refusalLog
	signalIDs     signalIDs
	signals       serverSignals
	counts        counts

	pending chan *Connection // never full: there is a place for each reservation

	mu          sync.Mutex
	paused      bool
	closed      bool          // by Close; Listen opens it again
	closing     chan struct{} // closed by Close; a new one by Listen
	reserved    int           // places in pending that are taken or promised
	opening     int           // upgrades under way
	connections map[*Connection]struct{}
	listening   *listening // nil while not listening

	upgrading sync.WaitGroup // requests with a reservation that are not connections yet
	working   sync.WaitGroup // goroutines of connections
}

// NewWebSocketServer makes a server that lets in whom authenticator lets in; nil lets
// in nobody. It does not listen yet. An authenticator that tells of revocations refers to
// the server from then on.
func NewWebSocketServer(authenticator Authenticator, config Config) *WebSocketServer {
	config = config.normal()
	if authenticator == nil {
		authenticator = AuthenticatorFunc(func(*http.Request) (Identity, error) { return Identity{}, errNobodyAsks })
	}
	s := &WebSocketServer{
		authenticator: authenticator,
		config:        config,
		challenge:     challengeFor(config.ServerName),
		rate:          newRateLimiter(config.RequestsPerSecond, config.RequestBurst),
		log:           refusalLog{logger: config.Logger},
		pending:       make(chan *Connection, config.MaxPendingConnections),
		closing:       make(chan struct{}),
		connections:   map[*Connection]struct{}{},
	}
	if config.ServerName != "" {
		s.serverHeader = []string{config.ServerName}
	}
	if r, ok := authenticator.(revoker); ok {
		r.ConnectRevoked(s.closeLogin)
	}
	return s
}

// closeLogin ends the connections of a login that was revoked.
func (s *WebSocketServer) closeLogin(loginID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // Close ends all
	}
	for c := range s.connections {
		if c.Identity().LoginID == loginID {
			s.working.Go(func() { c.closeFor(ErrRevokedToken, StatusLoginEnded, "login has ended") })
		}
	}
}

// challengeFor is what WWW-Authenticate says.
func challengeFor(realm string) []string {
	if realm == "" {
		realm = "gdtls"
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)
	return []string{`Bearer realm="` + quoted + `"`}
}

// ServerName is that of the configuration.
func (s *WebSocketServer) ServerName() string { return s.config.ServerName }

// SupportedSubprotocols are those of the configuration.
func (s *WebSocketServer) SupportedSubprotocols() []string {
	return slices.Clone(s.config.Subprotocols)
}

// MaxPendingConnections is that of the configuration.
func (s *WebSocketServer) MaxPendingConnections() int { return s.config.MaxPendingConnections }

// MaxOpenConnections is that of the configuration.
func (s *WebSocketServer) MaxOpenConnections() int { return s.config.MaxOpenConnections }

// PauseAccepting refuses all requests with status 503 from now on. Connections that are
// open or pending stay.
func (s *WebSocketServer) PauseAccepting() { s.setPaused(true) }

// ResumeAccepting ends what PauseAccepting began.
func (s *WebSocketServer) ResumeAccepting() { s.setPaused(false) }

func (s *WebSocketServer) setPaused(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

// ServeHTTP upgrades a request, or refuses it. It returns at once; the connection waits
// for Accept.
func (s *WebSocketServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.serverHeader != nil {
		w.Header()["Server"] = s.serverHeader
	}
	address := s.config.ClientAddress(r)
	identity, status, reason := s.judge(address, r)
	if reason == nil {
		if status, reason = http.StatusServiceUnavailable, s.reserve(); reason == nil {
			s.upgrade(w, r, address, identity)
			return
		}
	}
	s.refuse(address, r, status, reason)
	writeRefusal(w, status, s.challenge)
}

// judge tells who makes a request, or why and by which status it is refused. What costs
// least is asked first.
func (s *WebSocketServer) judge(address netip.Addr, r *http.Request) (Identity, int, error) {
	switch {
	case !s.rate.allow(address, time.Now()):
		return Identity{}, http.StatusTooManyRequests, errTooMany
	case !isUpgrade(r):
		return Identity{}, http.StatusUpgradeRequired, errNotUpgrade
	}
	if reason := s.accepting(); reason != nil {
		return Identity{}, http.StatusServiceUnavailable, reason
	}
	if !s.allowsOrigin(r) {
		return Identity{}, http.StatusForbidden, errOrigin
	}
	identity, err := s.authenticator.Validate(r)
	if err != nil {
		return Identity{}, statusOf(err), err
	}
	return identity, 0, nil
}

func isUpgrade(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	return r.Method == http.MethodGet && len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket")
}

func (s *WebSocketServer) allowsOrigin(r *http.Request) bool {
	a := CorsAuthenticator{origin: r.Header.Get("Origin"), allowed: provenanceOf(r, s.config.Origins) != otherPage}
	if !s.signals.originAuthenticationRequired.IsConnected() {
		return a.allowed
	}
	asked := a // only this one is on the heap
	for call := range s.signals.originAuthenticationRequired.Calls() {
		call(&asked)
	}
	return asked.allowed
}

func (s *WebSocketServer) accepting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.paused:
		return errPaused
	}
	return nil
}

// reserve takes a place for a connection, or tells why there is none.
func (s *WebSocketServer) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.reserved >= s.config.MaxPendingConnections:
		return errMaxPending
	case len(s.connections)+s.opening >= s.config.MaxOpenConnections:
		return errMaxOpen
	}
	s.reserved++
	s.opening++
	s.upgrading.Add(1)
	return nil
}

// refuse tells of a refusal.
func (s *WebSocketServer) refuse(address netip.Addr, r *http.Request, status int, reason error) {
	s.counts.refused.Add(1)
	refusal := Refusal{Address: address, Origin: r.Header.Get("Origin"), Status: status, Reason: reason}
	s.log.tell(refusal, time.Now())
	if !s.signals.refused.IsConnected() {
		return
	}
	for call := range s.signals.refused.Calls() {
		call(refusal)
	}
}

// upgrade makes the connection for which there is a reservation, and offers it to the
// application.
func (s *WebSocketServer) upgrade(w http.ResponseWriter, r *http.Request, address netip.Addr, identity Identity) {
	defer s.upgrading.Done()
	c := newConnection(s, address, identity)
	socket, err := websocket.Accept(&capture{ResponseWriter: w, connection: c}, r, &websocket.AcceptOptions{
		Subprotocols:       s.config.Subprotocols,
		InsecureSkipVerify: true, // the origin has been judged
	})
	if err != nil {
		s.mu.Lock()
		s.reserved--
		s.opening--
		s.mu.Unlock()
		// It has been answered.
		s.refuse(address, r, http.StatusBadRequest, fmt.Errorf("handshake of %q: %w", clip(identity.Name), err))
		return
	}
	socket.SetReadLimit(s.config.MaxMessageSize)
	c.socket = socket

	s.mu.Lock()
	s.opening--
	s.connections[c] = struct{}{}
	s.mu.Unlock()
	s.counts.accepted.Add(1)
	c.begin()
	if !c.stillValid() {
		// Revoked after Validate has looked, so that closeLogin may have missed it.
		c.abort()
	}
	s.pending <- c
	for call := range s.signals.newConnection.Calls() {
		call()
	}
}

// fail tells of trouble.
func (s *WebSocketServer) fail(err error) {
	if s.config.Logger != nil {
		s.config.Logger.Warn("WebSocket server", "error", err)
	}
	for call := range s.signals.serverError.Calls() {
		call(err)
	}
}

// HasPendingConnections tells whether NextPendingConnection would give one.
func (s *WebSocketServer) HasPendingConnections() bool { return len(s.pending) > 0 }

// NextPendingConnection gives a connection that was not given yet, nil if there is none.
func (s *WebSocketServer) NextPendingConnection() *Connection {
	for {
		select {
		case c := <-s.pending:
			if s.take(c) {
				return c
			}
		default:
			return nil
		}
	}
}

// Accept waits for a connection that was not given yet. After Close its error is
// net.ErrClosed; when ctx ends, that of ctx.
func (s *WebSocketServer) Accept(ctx context.Context) (*Connection, error) {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	for {
		select {
		case c := <-s.pending:
			if s.take(c) {
				return c, nil
			}
		case <-closing:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take tells whether a pending connection is still open, and gives its place free.
func (s *WebSocketServer) take(c *Connection) bool {
	s.mu.Lock()
	s.reserved--
	s.mu.Unlock()
	return c.take()
}

// Connections are those that are open, pending ones included, in no order.
func (s *WebSocketServer) Connections() []*Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*Connection, 0, len(s.connections))
	for c := range s.connections {
		open = append(open, c)
	}
	return open
}

// forget is called once when a connection has ended.
func (s *WebSocketServer) forget(c *Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// Close stops listening, and tells all clients by the close code StatusGoingAway that
// the server goes away. It waits for their answers, at most until ctx ends, when it
// cuts them off and returns the error of ctx. A server that is mounted as a handler
// refuses everything from then on.
func (s *WebSocketServer) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	now := s.listening
	s.mu.Unlock()

	var closing sync.WaitGroup
	if now != nil {
		closing.Go(func() { now.shutdown(ctx) })
	}
	s.upgrading.Wait() // so that all connections are there to be told
	for _, c := range s.Connections() {
		closing.Go(func() { _ = c.Close(ctx, StatusGoingAway, "server stops") })
	}
	closing.Wait()
	s.working.Wait()
	for s.NextPendingConnection() != nil {
		// Closed like all others; their places are free again.
	}
	return ctx.Err()
}
