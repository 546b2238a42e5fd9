package datagram

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Socket is a DatagramBased over a net.PacketConn, as GSocket is one over a
// socket of the system.
//
// On Unix, a *net.UDPConn or *net.UnixConn is driven by system calls that never
// block, so a timeout of 0 is exact, vectors are scattered and gathered by the
// kernel, and the steady state allocates nothing per datagram. A UnixConn must
// be of type unixgram or unixpacket; calls on a stream fail with NOT_SUPPORTED
// (G039). Other flags than those named here go to the system as they are. The
// system does not wake a unixgram sender that is not connected when others fill
// its destination's queue, so give such a send a timeout.
//
// Any other net.PacketConn, also one that wraps a UDPConn, is used by its
// ReadFrom and WriteTo alone. Its first receive, or first wait for In, starts
// one goroutine that reads ahead into a queue of 256 datagrams, so a first poll
// finds nothing yet; when the queue is full, further ones are dropped and
// counted, as in a full socket buffer. The goroutine ends when the Socket or the
// PacketConn is closed. A send with timeout 0 may take up to a millisecond there,
// and MsgPeek, MsgDontRoute and MsgWaitForOne are the flags known.
//
// On Linux, a UDP socket moves many datagrams in one system call, as Capability
// tells. A receive of several then may take more from the kernel than it
// returns: at most half a megabyte stays with the Socket, for the next
// receives, and shows in the conditions. It is gone with Close.
//
// A connected conn sends to its peer when a message has no address; on one that
// is not connected that fails with NOT_CONNECTED. What an address given on a
// connected conn does is the system's affair: Linux sends there.
//
// A network error that a datagram sent earlier provoked, such as
// CONNECTION_REFUSED, is returned by a later call, once; the Socket stays
// usable.
//
// All methods may be called at the same time. Receiving calls that block wait
// for one another, and so do sending ones; waiting for the turn counts in the
// timeout. While a Socket is in use, the read and write deadlines of its
// PacketConn belong to it. The context of the last call that could block stays
// referenced until one with another comes, or Close.
type Socket struct {
	conn   net.PacketConn
	driver driver
	remote Address
	closed atomic.Bool
	stats  socketCounters
	poller poller
}

// driver moves the datagrams of one kind of conn. Socket has made Gio's checks
// (closed, cancelled, no messages) before it calls one.
type driver interface {
	receive(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error)
	send(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error)
	// check returns what is true of the condition, Err included, and Hup if the
	// conn is closed.
	check(condition IOCondition) IOCondition
	// wait waits until check returns something.
	wait(ctx context.Context, condition IOCondition, timeout time.Duration) error
	// capabilities returns those in use.
	capabilities() Capability
	// maximumMessageSize returns how long a message to the address, or to the
	// peer without one, may be; 0 if that is not known.
	maximumMessageSize(to Address) int
	// kernelDropped returns how many datagrams the system has dropped.
	kernelDropped() uint64
	// close is called after the conn was closed.
	close()
}

// plain is the part of a driver that has no use of the system's capabilities.
type plain struct{}

func (plain) capabilities() Capability       { return 0 }
func (plain) maximumMessageSize(Address) int { return 0 }
func (plain) kernelDropped() uint64          { return 0 }

var _ DatagramBased = (*Socket)(nil)

// SocketStats counts what went through a Socket since it was made.
type SocketStats struct {
	Received uint64 // datagrams received
	Sent     uint64 // datagrams sent
	Dropped  uint64 // datagrams dropped since the read-ahead queue was full

	// KernelDropped counts the datagrams that the system dropped since the
	// socket's buffer was full or their checksum was wrong. Linux only.
	KernelDropped uint64

	// ReceiveCalls and SendCalls count the system calls, those in vain
	// included. On Unix only.
	ReceiveCalls, SendCalls uint64
}

type socketCounters struct {
	received, sent, dropped, kernelDropped atomic.Uint64
	receiveCalls, sendCalls                atomic.Uint64
}

// New returns a Socket over conn, which it owns from then on: nobody else may
// read from it or set its deadlines. Closing the Socket closes conn. On Linux it
// sets options of the system's socket, as Capability tells; with GRO, reads of
// conn's own would find several datagrams in one.
func New(conn net.PacketConn, options ...SocketOption) *Socket {
	var o socketOptions
	for _, option := range options {
		option(&o)
	}
	s := &Socket{conn: conn}
	if c, ok := conn.(interface{ RemoteAddr() net.Addr }); ok {
		if remote := c.RemoteAddr(); remote != nil {
			s.remote = AddressFromNet(remote)
		}
	}
	if s.driver = systemDriver(s, o.without|disabledByEnvironment()); s.driver == nil {
		s.driver = newOpaque(s)
	}
	return s
}

// ReceiveMessages receives datagrams.
func (s *Socket) ReceiveMessages(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := s.begin(ctx); err != nil || len(messages) == 0 {
		return 0, err
	}
	n, err := s.driver.receive(ctx, bound(messages, flags), flags, timeout)
	s.stats.received.Add(uint64(n))
	return n, err
}

// SendMessages sends datagrams.
func (s *Socket) SendMessages(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := s.begin(ctx); err != nil || len(messages) == 0 {
		return 0, err
	}
	n, err := s.driver.send(ctx, messages[:min(len(messages), MaxMessages)], flags, timeout)
	s.stats.sent.Add(uint64(n))
	return n, err
}

// begin makes the checks that come before any work, in Gio's order (G040).
func (s *Socket) begin(ctx context.Context) error {
	switch {
	case s.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return ErrorFromContext(ctx)
	}
	return nil
}

// CreateSource returns a source that watches the condition.
func (s *Socket) CreateSource(ctx context.Context, condition IOCondition) *Source {
	return NewSource(s, ctx, condition)
}

// ConditionCheck returns which of the conditions are true, by a look at the
// socket that does not wait.
func (s *Socket) ConditionCheck(condition IOCondition) IOCondition {
	if s.closed.Load() {
		return Hup
	}
	now := s.driver.check(condition)
	if now&Hup != 0 {
		return Hup // excludes In and Out (G035)
	}
	return now & (condition | always)
}

// ConditionWait waits until one of the conditions is true.
func (s *Socket) ConditionWait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	switch {
	case ctx.Err() != nil:
		return ErrorFromContext(ctx)
	case s.ConditionCheck(condition) != 0:
		return nil
	case timeout == 0:
		return ErrTimedOut
	}
	return s.driver.wait(ctx, condition, timeout)
}

// ConditionNotify calls wake when one of the conditions may have become true. One
// goroutine waits for all who are registered.
func (s *Socket) ConditionNotify(condition IOCondition, wake func(error)) (stop func()) {
	return s.poller.notify(s, condition, wake)
}

// Close closes the Socket and its PacketConn. Calls that wait return CLOSED, and
// so does every later call; ConditionCheck returns Hup. A second call does
// nothing and returns nil.
func (s *Socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stats.kernelDropped.Store(s.driver.kernelDropped())
	err := s.conn.Close()
	s.driver.close()
	return ErrorFromSystem(err, "closing the socket")
}

// PacketConn returns the conn that the Socket was made of.
func (s *Socket) PacketConn() net.PacketConn { return s.conn }

// LocalAddress returns the address that the conn is bound to.
func (s *Socket) LocalAddress() Address { return AddressFromNet(s.conn.LocalAddr()) }

// RemoteAddress returns the address that the conn is connected to, the zero
// Address if it is not connected.
func (s *Socket) RemoteAddress() Address { return s.remote }

// Capabilities returns what of the operating system's the Socket makes use of.
// One that the system refuses on the way is given up and no longer returned.
func (s *Socket) Capabilities() Capability { return s.driver.capabilities() }

// MaximumMessageSize returns how many bytes a message without an address may
// have, 0 if that is not known. On Linux, for a UDP conn that is connected, it is
// what the kernel's present estimate of the path's MTU leaves, at the cost of a
// system call; for one that is not, what UDP itself allows. Longer messages fail
// with MESSAGE_TOO_LARGE. The estimate changes with routes and with what routers
// report.
func (s *Socket) MaximumMessageSize() int { return s.driver.maximumMessageSize(Address{}) }

// MaximumMessageSizeTo is MaximumMessageSize for messages to the address. For
// one that the socket is not connected to it costs four system calls.
func (s *Socket) MaximumMessageSizeTo(to Address) int { return s.driver.maximumMessageSize(to) }

// Stats returns the counts so far.
func (s *Socket) Stats() SocketStats {
	stats := SocketStats{
		Received:      s.stats.received.Load(),
		Sent:          s.stats.sent.Load(),
		Dropped:       s.stats.dropped.Load(),
		KernelDropped: s.stats.kernelDropped.Load(),
		ReceiveCalls:  s.stats.receiveCalls.Load(),
		SendCalls:     s.stats.sendCalls.Load(),
	}
	if !s.closed.Load() {
		stats.KernelDropped = max(stats.KernelDropped, s.driver.kernelDropped())
	}
	return stats
}
