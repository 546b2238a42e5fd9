package jwtproto

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// The defaults of a Config.
const (
	DefaultLeeway           = 5 * time.Second
	DefaultChecksPerSecond  = 500
	DefaultRepliesPerSecond = 100
	DefaultMaxPeers         = 10000

	// maxMaxRequest is the most that a UDP datagram carries, in bytes.
	maxMaxRequest = 65507
)

// Config says how a Server works. It must not be changed once it is given to one. The
// zero value of everything but Lab is useful.
type Config struct {
	// Lab has the groups, their keys and the secret.
	Lab *Lab
	// States is the number of states, MinStates to MaxStates; 0: DefaultStates.
	States int
	// MaxRequest is how many bytes a request may have; 0: MaxRequest.
	MaxRequest int
	// Leeway is how far the time of issue of a request may be ahead of the clock, in
	// whole seconds; 0: DefaultLeeway, negative: not at all.
	Leeway time.Duration
	// Strict refuses requests that are older than the restart of their group, as Rules
	// says: a walk that was recorded cannot be played again then, even if its requests
	// have no jti.
	Strict bool
	// Store keeps the states of the groups; nil: NewMemory. The server does not close it.
	Store Store
	// Workers is how many signatures are checked at once; 0: as many as there are
	// processors.
	Workers int
	// ChecksPerSecond is how many public-key checks a host (an IPv4 address, or the /64
	// of an IPv6 address) gets, with twice as many in a burst. What is beyond is not
	// answered, and counted. 0: DefaultChecksPerSecond; negative: no limit.
	ChecksPerSecond int
	// RepliesPerSecond is how many error replies over bare UDP may be longer than what
	// they answer, for each host, with twice as many in a burst: they could be meant for
	// somebody whose address was forged. 0: DefaultRepliesPerSecond; negative: no limit.
	RepliesPerSecond int
	// Certificate is shown over DTLS; nil: pre-shared keys of the groups only.
	Certificate *conn.TlsCertificate
	// MaxPeers is how many DTLS peers may be connected to each socket; 0:
	// DefaultMaxPeers.
	MaxPeers int
	// Logs are the original's log files; nil: none.
	Logs *Logs
	// Observe is told of every answered request, by several goroutines at once, before
	// the answer is sent. It must not block. nil: nobody is.
	Observe func(Event)
	// Peers is told of DTLS peers, and may let more of them in.
	Peers PeerHandler
	// Faults spoils replies, for classes; nil: none are.
	Faults *Faults
	// Logger takes what else there is to tell; nil: nobody does.
	Logger *slog.Logger
}

// A PeerHandler is told of the DTLS peers of a Server. For one peer its functions are
// called one at a time, for several at the same time; they must not block. Those that are
// nil are not called.
type PeerHandler struct {
	// Key gives the pre-shared key of an identity that is no group's, or nil. Who has it
	// speaks for no group in particular, as a peer that has shown nothing. It is asked
	// again when groups and keys have changed: without a key the peer is closed then.
	Key func(identity []byte) []byte
	// Began is told of a peer whose address is known to be true, Connected when its
	// handshake is complete, and Gone when it is over, and why: io.EOF if the peer has
	// closed it. The connection may be closed, but not read or written.
	Began, Connected func(*serverconn.DtlsServerConnection)
	Gone             func(*serverconn.DtlsServerConnection, error)
}

func (h PeerHandler) key(identity []byte) []byte {
	if h.Key == nil {
		return nil
	}
	return h.Key(identity)
}

func (h PeerHandler) began(c *serverconn.DtlsServerConnection) {
	if h.Began != nil {
		h.Began(c)
	}
}

func (h PeerHandler) connected(c *serverconn.DtlsServerConnection) {
	if h.Connected != nil {
		h.Connected(c)
	}
}

func (h PeerHandler) gone(c *serverconn.DtlsServerConnection, reason error) {
	if h.Gone != nil {
		h.Gone(c, reason)
	}
}

// normal gives the Config with its defaults, or says what is wrong with it.
func (c Config) normal() (Config, Machine, error) {
	machine, ok := NewMachine(c.States)
	switch {
	case c.Lab == nil:
		return c, machine, fmt.Errorf("jwtproto: a server needs a Lab, such as OpenLab reads")
	case !ok:
		return c, machine, fmt.Errorf("jwtproto: a machine has %d to %d states, not %d", MinStates, MaxStates, c.States)
	case c.MaxRequest < 0 || c.MaxRequest > maxMaxRequest:
		return c, machine, fmt.Errorf("jwtproto: requests have at most 1 to %d bytes, not %d", maxMaxRequest, c.MaxRequest)
	}
	or := func(n *int, otherwise int) {
		if *n == 0 {
			*n = otherwise
		}
	}
	or(&c.MaxRequest, MaxRequest)
	or(&c.ChecksPerSecond, DefaultChecksPerSecond)
	or(&c.RepliesPerSecond, DefaultRepliesPerSecond)
	or(&c.MaxPeers, DefaultMaxPeers)
	if c.Store == nil {
		c.Store = NewMemory()
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = DefaultLeeway
	case c.Leeway < 0:
		c.Leeway = 0
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, machine, nil
}

// An Event is a request that was answered.
type Event struct {
	Time time.Time
	Peer datagram.Address
	DTLS bool
	// Group is empty if the request was refused before it was known.
	Group string
	// Why it was refused; empty if it was acknowledged, and then the Row tells how.
	Why Refusal
	Row Row
}
