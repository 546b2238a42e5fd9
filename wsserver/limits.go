package wsserver

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
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
	DefaultConnectionsPerSecond = 50
	DefaultConnectionBurst      = 200
	DefaultMaxStrangers         = 1024
)

// Limits are those of a listener's TCP connections. Its zero value is useful.
type Limits struct {
	// ConnectionsPerSecond and ConnectionBurst are how many connections an address (an
	// IPv4 address, or the /64 of an IPv6 address) may open. Further ones are closed at
	// once. 0: DefaultConnectionsPerSecond and DefaultConnectionBurst;
	// ConnectionsPerSecond negative: no limit.
	ConnectionsPerSecond float64
	ConnectionBurst      int
	// MaxStrangers is how many connections may be open that have not become WebSocket
	// connections. Further ones are closed at once. 0: DefaultMaxStrangers.
	MaxStrangers int
}

// LimitListener gives a listener whose connections are limited, for an http.Server that
// a [WebSocketServer] is mounted on. It stands below TLS. A server that listens by
// itself has it already.
func LimitListener(l net.Listener, limits Limits) net.Listener {
	setDefaultRate(&limits.ConnectionsPerSecond, &limits.ConnectionBurst, DefaultConnectionsPerSecond, DefaultConnectionBurst)
	setDefault(&limits.MaxStrangers, DefaultMaxStrangers)
	return &limitedListener{
		Listener: l,
		rate:     newRateLimiter(limits.ConnectionsPerSecond, limits.ConnectionBurst),
		most:     int64(limits.MaxStrangers),
	}
}

type limitedListener struct {
	net.Listener
	rate      *rateLimiter
	most      int64
	strangers atomic.Int64
}

// Accept gives the next connection within the limits.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		s := &stranger{Conn: c, known: sync.OnceFunc(func() { l.strangers.Add(-1) })}
		if l.strangers.Add(1) <= l.most && l.rate.allow(address.Addr(), time.Now()) {
			return s, nil
		}
		_ = s.Close()
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
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		default:
			return
		}
	}
}
