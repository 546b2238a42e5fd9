package serverconn

import "time"

// ListenerOption changes what NewDtlsListener makes.
type ListenerOption func(*listenerConfig)

// listenerConfig is constant once the listener is made.
type listenerConfig struct {
	maxPeers         int
	maxHandshakes    int
	backlog          int
	handshakeTimeout time.Duration
	idleTimeout      time.Duration // 0: none
	queueDatagrams   int32
	queueBytes       int32
	receiveMemory    int64
	helloRate        rate                               // zero: none
	handshakeRate    rate                               // zero: none
	sessions         *Sessions                          // nil: none
	failed           func(*DtlsServerConnection, error) // nil: nobody asks
}

func newListenerConfig(options []ListenerOption) listenerConfig {
	c := listenerConfig{
		maxPeers:         1 << 14,
		maxHandshakes:    1 << 10,
		backlog:          128,
		handshakeTimeout: 30 * time.Second,
		queueDatagrams:   256,
		queueBytes:       1 << 19,
		receiveMemory:    1 << 26,
		sessions:         NewSessions(nil),
	}
	for _, option := range options {
		option(&c)
	}
	return c
}

// setPositive leaves the default where a value says nothing.
func setPositive[T int | int32 | int64 | time.Duration](field *T, value T) {
	if value > 0 {
		*field = value
	}
}

// WithMaxPeers sets how many addresses may have a connection, those whose
// handshake is under way included. A hello of a further one is not answered, and
// counted as refused; the client repeats it. 0 and less mean the default, 16384.
func WithMaxPeers(n int) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.maxPeers, n) }
}

// WithMaxHandshakes sets how many handshakes may be under way at once, each of
// which has a goroutine; connections that wait for room in the backlog count. A
// hello beyond that is not answered, and counted as refused. 0 and less mean the
// default, 1024.
func WithMaxHandshakes(n int) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.maxHandshakes, n) }
}

// WithBacklog sets how many connections may wait for Accept. A further one waits
// for room until its handshake's time is over, and is closed then. 0 and less mean
// the default, 128.
func WithBacklog(n int) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.backlog, n) }
}

// WithHandshakeTimeout sets how long a peer has from its verified hello to the end
// of its handshake and its place in the backlog. 0 and less mean the default, 30 s.
func WithHandshakeTimeout(d time.Duration) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.handshakeTimeout, d) }
}

// WithIdleTimeout closes connections over which no application message has been
// sent or received for so long, or up to an eighth longer. Only what the
// application sent or got counts: nobody can keep a connection alive by what does
// not decrypt. 0 and less mean the default: none are closed.
func WithIdleTimeout(d time.Duration) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.idleTimeout, d) }
}

// WithReceiveQueue sets how many datagrams, and how many bytes of memory for them,
// wait at most for the reader of one connection. Further ones are dropped and
// counted. 0 and less mean the defaults, 256 datagrams and 512 KiB; a datagram of
// up to 2048 bytes takes 2 KiB, a longer one about 17.
func WithReceiveQueue(datagrams, bytes int) ListenerOption {
	return func(c *listenerConfig) {
		setPositive(&c.queueDatagrams, int32(min(max(datagrams, 0), 1<<30)))
		setPositive(&c.queueBytes, int32(min(max(bytes, 0), 1<<30)))
	}
}

// WithReceiveMemory sets how many bytes the receive queues of all peers may take
// together. When they do, only a peer whose queue is empty gets another datagram.
// 0 and less mean the default, 64 MiB.
func WithReceiveMemory(bytes int64) ListenerOption {
	return func(c *listenerConfig) { setPositive(&c.receiveMemory, bytes) }
}

// WithHelloRate limits how many hellos without the right cookie are answered for one
// IPv4 address or one IPv6 network of 64 bits: so many in a second, after burst at
// once. What is beyond that is dropped and counted as Limited. It keeps others from
// having the listener send to a victim, if only as much as they send themselves. 0
// and less mean the default: no limit.
func WithHelloRate(perSecond float64, burst int) ListenerOption {
	return func(c *listenerConfig) { c.helloRate = rate{perSecond, burst} }
}

// WithHandshakeRate limits how many handshakes one IPv4 address or one IPv6 network
// of 64 bits may begin: so many in a second, after burst at once. A hello beyond that
// is dropped and counted as Limited; the client repeats it. It keeps those who share
// no address with an attacker from sharing its limits. 0 and less mean the default:
// no limit.
func WithHandshakeRate(perSecond float64, burst int) ListenerOption {
	return func(c *listenerConfig) { c.handshakeRate = rate{perSecond, burst} }
}

// WithSessions sets what the listener remembers of its clients, so that they may
// resume a session; nil: nothing. The default is one of its own.
func WithSessions(sessions *Sessions) ListenerOption {
	return func(c *listenerConfig) { c.sessions = sessions }
}

// WithHandshakeFailed sets a function that is told of every handshake that was
// begun and did not lead to a connection: its configuration or the handshake
// failed, or nobody accepted it in time. It is called by the goroutine of that
// handshake, before the connection is closed.
func WithHandshakeFailed(failed func(c *DtlsServerConnection, err error)) ListenerOption {
	return func(c *listenerConfig) { c.failed = failed }
}
