package wsserver

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/internal/ratelimit"
)

// What a stranger may cost before it is known who it is.
const (
	// MaxHeaderBytes is how many bytes the header of a request may have on a server of
	// NewHTTPServer. A longer one is answered with status 431.
	MaxHeaderBytes = 8 << 10
	// HeaderTimeout is how long a client may take for its TLS handshake, and then for
	// the header of its request.
	HeaderTimeout = 5 * time.Second

	requestTimeout = 15 * time.Second // for the header and the body
	answerTimeout  = 60 * time.Second // for slow readers of large pages
	idleTimeout    = 30 * time.Second // between requests
)

// NewHTTPServer makes an http.Server with short deadlines and a small limit of headers,
// to serve a [WebSocketServer] and other pages. It speaks HTTP/1.1, from which
// WebSockets are upgraded. logger is told of troubles with single clients, at level
// debug; nil: nobody is.
func NewHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		MaxHeaderBytes:    MaxHeaderBytes - 4096, // net/http allows so many more
		ReadHeaderTimeout: HeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// The defaults of Limits.
const (
	DefaultConnectionsPerSecond   = 50
	DefaultConnectionBurst        = 200
	DefaultMaxStrangers           = 1024
	DefaultMaxStrangersPerAddress = 256
)

// Limits are those of a listener's TCP connections. An address is an IPv4 address, or the
// /64 of an IPv6 address. A stranger is a connection that has not become a WebSocket
// connection. What is beyond a limit is closed at once, and counted. Clients without an IP
// address, such as those of a Unix socket, count as one address. The zero value is useful.
type Limits struct {
	// ConnectionsPerSecond and ConnectionBurst are how many connections an address may
	// open. 0: DefaultConnectionsPerSecond and DefaultConnectionBurst;
	// ConnectionsPerSecond negative: no limit.
	ConnectionsPerSecond float64
	ConnectionBurst      int
	// MaxStrangers is how many strangers there may be; 0: DefaultMaxStrangers.
	MaxStrangers int
	// MaxStrangersPerAddress is how many of them may be of one address; 0:
	// DefaultMaxStrangersPerAddress, negative: no limit but MaxStrangers.
	MaxStrangersPerAddress int
}

// LimitedListener is a listener whose connections are limited.
type LimitedListener struct {
	net.Listener
	limits  Limits // with their defaults
	rate    *rateLimiter
	dropped atomic.Uint64

	mu        sync.Mutex
	strangers int
	of        map[netip.Addr]int // how many of an address
}

// LimitListener limits the connections of a listener, for an http.Server that a
// [WebSocketServer] is mounted on. It stands below TLS. A server that listens by itself
// does it by itself.
func LimitListener(l net.Listener, limits Limits) *LimitedListener {
	setDefaultRate(&limits.ConnectionsPerSecond, &limits.ConnectionBurst, DefaultConnectionsPerSecond, DefaultConnectionBurst)
	setDefault(&limits.MaxStrangers, DefaultMaxStrangers)
	switch {
	case limits.MaxStrangersPerAddress == 0:
		limits.MaxStrangersPerAddress = DefaultMaxStrangersPerAddress
	case limits.MaxStrangersPerAddress < 0:
		limits.MaxStrangersPerAddress = limits.MaxStrangers
	}
	return &LimitedListener{
		Listener: l,
		limits:   limits,
		rate:     newRateLimiter(limits.ConnectionsPerSecond, limits.ConnectionBurst),
		of:       map[netip.Addr]int{},
	}
}

// Dropped is how many connections were closed since they were beyond a limit.
func (l *LimitedListener) Dropped() uint64 { return l.dropped.Load() }

// Accept gives the next connection within the limits.
func (l *LimitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		remote, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		address := ratelimit.Network(remote.Addr())
		if l.rate.allow(address, time.Now()) && l.enter(address) {
			return &stranger{Conn: c, known: sync.OnceFunc(func() { l.leave(address) })}, nil
		}
		l.dropped.Add(1)
		_ = c.Close()
	}
}

// enter takes a place for a stranger, if there is one.
func (l *LimitedListener) enter(address netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.strangers >= l.limits.MaxStrangers || l.of[address] >= l.limits.MaxStrangersPerAddress {
		return false
	}
	l.strangers++
	l.of[address]++
	return true
}

// leave gives a place free.
func (l *LimitedListener) leave(address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strangers--
	if l.of[address]--; l.of[address] == 0 {
		delete(l.of, address)
	}
}

// stranger is a connection of which nothing is known yet.
type stranger struct {
	net.Conn
	known func() // gives its place free; may be called again
}

// Close closes it.
func (s *stranger) Close() error {
	s.known()
	return s.Conn.Close()
}

// validated marks a connection as no stranger's any more.
func validated(c net.Conn) {
	for {
		switch under := c.(type) {
		case *stranger:
			under.known()
			return
		case interface{ NetConn() net.Conn }: // as *tls.Conn has it
			c = under.NetConn()
		default:
			return
		}
	}
}
