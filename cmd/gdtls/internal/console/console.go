package console

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/wsserver"
)

const (
	// linkOwner is the name under which one-time links log in.
	linkOwner = "console"
	// linkInterval is how often somebody who is not logged in may ask for one.
	linkInterval = 30 * time.Second
	// subprotocol is that of the page's WebSocket.
	subprotocol = "gdtls.console"
	// DefaultMaxViewers is how many pages may watch at once.
	DefaultMaxViewers = 2048
	// pendingViewers is how many may wait for the goroutine that takes them.
	pendingViewers = 256
	// farewellTime is how long telling all viewers that the server stops may take.
	farewellTime = 2 * time.Second
)

// ErrPlain refuses to send logins in clear over a network.
var ErrPlain = errors.New("without TLS, whoever is on the way can read names, passwords and tokens")

// Config says how a Console works.
type Config struct {
	// Title tells what is watched.
	Title string
	// Source gives what is not an event.
	Source Source
	// Events is where events are published; nil: a hub of its own.
	Events *Hub
	// Accounts know the passwords; nil: only one-time links let in.
	Accounts wsserver.Accounts
	// NewLink is told of a one-time link that somebody wants at the login page, and shows
	// it to whom the server belongs. It is called twice a minute at most. nil: there are
	// no such links.
	NewLink func(url string)
	// Keys sign the tokens; nil: a random one, so that all logins end with the program.
	Keys *wsserver.Keys
	// Revocations keep who has logged out; nil: they are forgotten with the program.
	Revocations wsserver.Revocations
	// TLS is for HTTPS; nil: plain HTTP, on loopback addresses only.
	TLS *tls.Config
	// Plain allows plain HTTP on other addresses, too.
	Plain bool
	// MaxViewers is how many pages may watch at once; 0: DefaultMaxViewers.
	MaxViewers int
	// Logger is told of logins, refusals and troubles; nil: nobody is.
	Logger *slog.Logger
}

// Console serves the page. Its methods may be called at the same time.
type Console struct {
	// Constant.
	config   Config
	hub      *Hub
	started  time.Time
	listener net.Listener // with TLS, if there is
	bearer   *wsserver.BearerAuthenticator
	login    *wsserver.Login
	sockets  *wsserver.WebSocketServer
	pages    *pages

	state atomic.Pointer[state]

	mu     sync.Mutex // serializes changes of state
	linked time.Time  // guarded by mu: when a link was last asked for
}

// Listen opens the console at an address such as "127.0.0.1:0"; nobody is served before
// Serve. It gives ErrPlain for an address beyond loopback without TLS, unless
// config.Plain.
func Listen(ctx context.Context, address string, config Config) (*Console, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := newConsole(ctx, l, config, wsserver.Config{}, wsserver.Limits{})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return c, nil
}

// newConsole is Listen on a listener, with limits of the WebSocket server.
func newConsole(ctx context.Context, l net.Listener, config Config, limits wsserver.Config, strangers wsserver.Limits) (*Console, error) {
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	if config.TLS == nil && !config.Plain && !at.Addr().IsLoopback() {
		return nil, ErrPlain
	}
	if config.Events == nil {
		config.Events = NewHub(0, 0)
	}
	if config.Keys == nil {
		if config.Keys, err = wsserver.NewKeys(wsserver.GenerateKey()); err != nil {
			return nil, err
		}
	}
	if config.MaxViewers <= 0 {
		config.MaxViewers = DefaultMaxViewers
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	l = wsserver.LimitListener(l, strangers)
	if config.TLS != nil {
		l = tls.NewListener(l, config.TLS)
	}
	c := &Console{config: config, hub: config.Events, started: time.Now(), listener: l, pages: newPages(config.Accounts != nil)}
	c.state.Store(&state{})
	c.bearer, err = wsserver.NewBearerAuthenticator(ctx, wsserver.BearerConfig{
		Keys: config.Keys, Revocations: config.Revocations,
		// Browsers send cookies to all ports of a host.
		CookieName: fmt.Sprintf("%s_%d", wsserver.DefaultCookieName, at.Port()),
	})
	if err != nil {
		return nil, err
	}
	c.login = wsserver.NewLogin(c.bearer, wsserver.LoginConfig{Accounts: config.Accounts, Logger: config.Logger})
	limits.ServerName = "gdtls"
	limits.Subprotocols = []string{subprotocol}
	limits.MaxOpenConnections = config.MaxViewers
	limits.MaxPendingConnections = pendingViewers
	limits.MaxMessageSize = maxCommand
	limits.WriteTimeout = writeTime
	limits.Logger = config.Logger
	c.sockets = wsserver.NewWebSocketServer(c.bearer, limits)
	return c, nil
}

// Events is where to publish what happens.
func (c *Console) Events() *Hub { return c.hub }

// Bearer knows the tokens of those who have logged in, and the pre-shared keys that
// belong to them.
func (c *Console) Bearer() *wsserver.BearerAuthenticator { return c.bearer }

// URL is the page's address.
func (c *Console) URL() string {
	scheme := "http"
	if c.config.TLS != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(c.listener.Addr().String())
	if err != nil {
		return ""
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

// LoginURL is a link that logs in, once, as somebody named console; it is good for ten
// minutes.
func (c *Console) LoginURL() (string, error) {
	ticket, err := c.login.NewTicket(linkOwner)
	if err != nil {
		return "", err
	}
	return c.URL() + "login#ticket=" + ticket, nil
}

// Serve serves the page until ctx is done, which is no error.
func (c *Console) Serve(ctx context.Context) error {
	server := wsserver.NewHTTPServer(c.handler(), c.config.Logger)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() { c.hub.run(work, c.gatherGroups) })
	working.Go(func() { c.sampling(work) })
	working.Go(func() { c.acceptViewers(work, &working) })
	failed := make(chan error, 1)
	working.Go(func() { failed <- server.Serve(c.listener) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	// Who does not answer in time is cut off.
	_ = c.sockets.Close(closing)
	_ = server.Close()
	return err
}

// acceptViewers takes the viewers until ctx is done.
func (c *Console) acceptViewers(ctx context.Context, working *sync.WaitGroup) {
	for {
		connection, err := c.sockets.Accept(ctx)
		if err != nil {
			return
		}
		working.Go(func() {
			name := connection.Identity().Name
			if err := c.watch(ctx, name, socket{connection}); err != nil {
				c.config.Logger.Debug("a viewer did not begin", "name", name, "reason", err)
			}
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
			defer cancel()
			_ = connection.Close(closing, wsserver.StatusNormalClosure, "")
		})
	}
}

// socket is a stream of text messages.
type socket struct{ *wsserver.Connection }

func (s socket) Read(ctx context.Context) ([]byte, error) {
	_, message, err := s.Connection.Read(ctx)
	return message, err
}

func (s socket) Write(ctx context.Context, message []byte) error {
	return s.Connection.Write(ctx, wsserver.TextMessage, message)
}

// handler serves all that the console has.
func (c *Console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", document(c.pages.index))
	mux.HandleFunc("GET /login", document(c.pages.login))
	mux.HandleFunc("GET "+c.pages.prefix+"/{name}", c.pages.serveAsset)
	mux.HandleFunc("POST /login", c.login.ServeLogin)
	mux.HandleFunc("POST /login/once", c.login.ServeOnce)
	mux.HandleFunc("POST /login/link", c.serveLink)
	mux.HandleFunc("POST /logout", c.login.ServeLogout)
	mux.HandleFunc("POST /renew", c.login.ServeRenew)
	mux.HandleFunc("POST /session", c.serveSession)
	mux.Handle("GET /ws", c.sockets)
	return secured(mux)
}

// serveSession tells a page as whom it has logged in, and until when, in ms since 1970.
func (c *Console) serveSession(w http.ResponseWriter, r *http.Request) {
	who, err := c.bearer.Validate(r)
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Name    string `json:"name"`
		Expires int64  `json:"expires"`
		Now     int64  `json:"now"`
	}{who.Name, who.Expires.UnixMilli(), time.Now().UnixMilli()})
}

// serveLink has a one-time link shown to whom the server belongs: who asks does not get it.
func (c *Console) serveLink(w http.ResponseWriter, r *http.Request) {
	if c.config.NewLink == nil || c.config.Accounts != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Header.Get("Content-Type") != "application/json" { // which other sites' pages cannot send
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	c.mu.Lock()
	now := time.Now()
	early := !c.linked.IsZero() && now.Sub(c.linked) < linkInterval
	if !early {
		c.linked = now
	}
	c.mu.Unlock()
	if early {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	link, err := c.LoginURL()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.config.NewLink(link)
	w.WriteHeader(http.StatusNoContent)
}
