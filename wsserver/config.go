package wsserver

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// The defaults of a Config.
const (
	DefaultMaxOpenConnections    = 4096
	DefaultMaxPendingConnections = 30 // as in QWebSocketServer
	DefaultMaxMessageSize        = 64 << 10
	DefaultWriteTimeout          = 10 * time.Second
	DefaultPingInterval          = 20 * time.Second
	DefaultPendingTimeout        = 10 * time.Second
	DefaultRequestsPerSecond     = 20
	DefaultRequestBurst          = 100
)

// Config says how a [WebSocketServer] works. Its zero value is useful.
type Config struct {
	// ServerName is sent in the header Server, if not empty, and is the realm that a
	// refused client is told; without it that is "gdtls".
	ServerName string
	// Subprotocols are those that the server speaks, the best first.
	Subprotocols []string
	// Origins are further origins whose pages may connect, such as
	// "https://console.example", besides the server's own. A handler of
	// ConnectOriginAuthenticationRequired may decide otherwise.
	Origins []string
	// TLS is for Listen and ListenOn; nil: plain HTTP. A handler that is mounted
	// elsewhere has what its http.Server has.
	TLS *tls.Config

	// MaxOpenConnections is how many connections may be open, pending ones included.
	// A further request is refused with status 503. 0: DefaultMaxOpenConnections.
	MaxOpenConnections int
	// MaxPendingConnections is how many connections may wait for the application to
	// accept them. A further request is refused with status 503. 0:
	// DefaultMaxPendingConnections.
	MaxPendingConnections int
	// PendingTimeout is how long a connection waits for the application before it is
	// closed. 0: DefaultPendingTimeout.
	PendingTimeout time.Duration
	// MaxMessageSize is how many bytes a message of a client may have. A longer one
	// ends its connection. 0: DefaultMaxMessageSize.
	MaxMessageSize int64
	// WriteTimeout is how long a message to a client may take before its connection
	// is given up. 0: DefaultWriteTimeout.
	WriteTimeout time.Duration
	// PingInterval is how often a client is asked whether it is still there; one that
	// does not answer within the interval is given up. 0: DefaultPingInterval.
	PingInterval time.Duration
	// RequestsPerSecond and RequestBurst are how many upgrades an address (an IPv4
	// address, or the /64 of an IPv6 address) may ask for, before anything is looked
	// at. Further ones are refused with status 429. 0: DefaultRequestsPerSecond and
	// DefaultRequestBurst; RequestsPerSecond negative: no limit.
	RequestsPerSecond float64
	RequestBurst      int
	// Limits are those of the TCP connections, for Listen and ListenOn.
	Limits Limits

	// ClientAddress tells the address of a client, for servers behind a proxy that
	// can be trusted to tell it. nil: the address that the TCP connection comes from.
	ClientAddress func(*http.Request) netip.Addr
	// Logger is told of refusals and troubles; nil: nobody is.
	Logger *slog.Logger
}

func (c Config) normal() Config {
	setDefault(&c.MaxOpenConnections, DefaultMaxOpenConnections)
	setDefault(&c.MaxPendingConnections, DefaultMaxPendingConnections)
	setDefault(&c.PendingTimeout, DefaultPendingTimeout)
	setDefault(&c.MaxMessageSize, DefaultMaxMessageSize)
	setDefault(&c.WriteTimeout, DefaultWriteTimeout)
	setDefault(&c.PingInterval, DefaultPingInterval)
	setDefaultRate(&c.RequestsPerSecond, &c.RequestBurst, DefaultRequestsPerSecond, DefaultRequestBurst)
	if c.ClientAddress == nil {
		c.ClientAddress = remoteAddress
	}
	c.Subprotocols, c.Origins = slices.Clone(c.Subprotocols), slices.Clone(c.Origins)
	return c
}

// setDefault replaces what says nothing.
func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func setDefaultRate(perSecond *float64, burst *int, defaultPerSecond float64, defaultBurst int) {
	if *perSecond == 0 {
		*perSecond = defaultPerSecond
	}
	setDefault(burst, defaultBurst)
}

// remoteAddress is where a request's TCP connection comes from, zero if it comes from
// no IP address.
func remoteAddress(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr()
}
