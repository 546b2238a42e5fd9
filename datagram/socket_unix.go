//go:build unix

package datagram

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// system drives a socket of the operating system through its raw conn. Calls
// that do not block go past the runtime's poller (Control) and so never meet a
// deadline or a waiting call. Calls that block wait in the poller (Read and
// Write), one in each direction.
//
// What a call needs in memory comes from pools, so that an idle socket holds
// none of it.
type system struct {
	raw     syscall.RawConn
	socket  socketInfo
	owner   *Socket
	offload offload
	read    side
	write   side
}

// socketInfo is what does not change about a socket.
type socketInfo struct {
	family int // AF_INET, AF_INET6 or AF_UNIX
	kind   int // SOCK_DGRAM or SOCK_SEQPACKET
}

// side is one direction of a socket, for calls that block.
type side struct {
	turnstile
	interrupt
}

func newSide(setDeadline func(time.Time) error) side {
	return side{make(turnstile, 1), interrupt{setDeadline: setDeadline, early: true}}
}

// patience is how long a call may wait in the poller. The zero value is none.
type patience struct {
	side     *side
	ctx      context.Context
	deadline time.Time // zero: none
	ended    bool      // ctx was done when the wait began
}

// begin prepares the wait that an attempt in vain needs, and reports whether there
// may be one. A call that need not wait does not pay for this. What may have come
// between the attempt and begin without a word to the poller is to be looked at again.
func (p *patience) begin() bool {
	p.side.arm(p.ctx, p.deadline)
	p.ended = p.ctx.Err() != nil
	return !p.ended
}

// batch is one call's messages on their way through the kernel.
type batch[M InputMessage | OutputMessage] struct {
	call     sysCall
	patience patience // of a call that blocks
	move     func(*sysCall, uintptr, []M, MsgFlags) (int, error)
	messages []M
	flags    MsgFlags
	need     int // how many are waited for
	n        int // how many were moved
	err      error
	attempt  func(fd uintptr) bool // run, as the raw conn wants it
	once     func(fd uintptr)
}

var (
	receives = sync.Pool{New: func() any { return newBatch((*sysCall).receive) }}
	sends    = sync.Pool{New: func() any { return newBatch((*sysCall).send) }}
	glances  = sync.Pool{New: func() any { return newGlance() }}
)

func newBatch[M InputMessage | OutputMessage](move func(*sysCall, uintptr, []M, MsgFlags) (int, error)) *batch[M] {
	b := &batch[M]{move: move}
	b.attempt = func(fd uintptr) bool {
		// What another call has taken from the kernel meanwhile woke nobody before begin.
		return b.run(fd) || !b.patience.begin() || b.call.offload.pending() && b.run(fd)
	}
	b.once = func(fd uintptr) { b.run(fd) }
	return b
}

// errEndOfStream is what a move returns when the peer of a connected socket has
// closed (G015).
var errEndOfStream = errors.New("end of stream")

func systemDriver(s *Socket, without Capability) driver {
	var raw syscall.RawConn
	var err error
	// Only these very types: one that embeds a UDPConn may do more in its
	// methods than the socket below does.
	switch c := s.conn.(type) {
	case *net.UDPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	d := &system{
		raw:   raw,
		owner: s,
		read:  newSide(s.conn.SetReadDeadline),
		write: newSide(s.conn.SetWriteDeadline),
	}
	ok := false
	err = raw.Control(func(fd uintptr) {
		if d.socket, ok = inspect(int(fd)); ok {
			d.offload.setUp(int(fd), d.socket, without)
		}
	})
	if err == nil && !ok {
		return refused{err: NewError(CodeNotSupported, "the socket is neither a datagram nor a packet socket")}
	}
	return d
}

// inspect looks at a socket, and reports whether it moves messages.
func inspect(fd int) (info socketInfo, ok bool) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return info, false
	}
	info.kind = kind
	name, err := unix.Getsockname(fd)
	if err != nil {
		return info, false
	}
	switch name.(type) {
	case *unix.SockaddrInet4:
		info.family = unix.AF_INET
	case *unix.SockaddrInet6:
		info.family = unix.AF_INET6
	default:
		info.family = unix.AF_UNIX
	}
	return info, kind == unix.SOCK_DGRAM || kind == unix.SOCK_SEQPACKET
}

// begin loads the batch with a call's messages.
func (b *batch[M]) begin(d *system, messages []M, flags MsgFlags, need int) {
	b.call.socket, b.call.offload, b.call.calls = d.socket, &d.offload, 0
	b.messages, b.flags, b.need, b.n, b.err = messages, flags&^MsgWaitForOne, need, 0, nil
}

// run moves what can be moved now, and reports whether the call is at its end.
func (b *batch[M]) run(fd uintptr) bool {
	for b.n < len(b.messages) {
		n, err := b.move(&b.call, fd, b.messages[b.n:], b.flags)
		b.n += n
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return b.n >= b.need
		default:
			b.err = err
			return true
		}
	}
	return true
}

// finish unloads the batch and returns the call's result, given the raw conn's.
func (b *batch[M]) finish(err error, doing string) (int, error) {
	n := b.n
	if err == nil {
		err = b.err
	}
	b.messages, b.err, b.call.offload, b.patience = nil, nil, nil, patience{}
	switch {
	case n > 0 || err == errEndOfStream:
		return n, nil
	case err == nil:
		return 0, ErrWouldBlock
	}
	return 0, ErrorFromSystem(err, doing)
}

func tooManyVectors(n int) error {
	return NewError(CodeInvalidArgument, "a message has %d vectors, the most allowed is %d", n, MaxVectors)
}

func wrongFamily(a Address) error {
	return NewError(CodeInvalidArgument, "the socket cannot send to the address %v: it is of another family", a)
}

const (
	receiving = "error receiving message"
	sending   = "error sending message"
	watching  = "error waiting for the socket"
)

func (d *system) receive(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (n int, err error) {
	b := receives.Get().(*batch[InputMessage])
	defer receives.Put(b)
	b.begin(d, messages, flags, needed(len(messages), flags, timeout))
	if timeout == 0 {
		n, err = b.finish(d.raw.Control(b.once), receiving)
		if d.offload.pending() {
			// What the kernel has given is no reason for it to wake others.
			d.read.nudge()
		}
	} else {
		b.patience = patience{side: &d.read, ctx: ctx, deadline: deadlineOf(timeout)}
		n, err = b.finish(b.patience.block(d.raw.Read, b.attempt), receiving)
	}
	d.owner.stats.receiveCalls.Add(uint64(b.call.calls))
	return n, err
}

func (d *system) send(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (n int, err error) {
	b := sends.Get().(*batch[OutputMessage])
	defer sends.Put(b)
	b.begin(d, messages, flags, len(messages))
	if timeout == 0 {
		n, err = b.finish(d.raw.Control(b.once), sending)
	} else {
		b.patience = patience{side: &d.write, ctx: ctx, deadline: deadlineOf(timeout)}
		n, err = b.finish(b.patience.block(d.raw.Write, b.attempt), sending)
	}
	d.owner.stats.sendCalls.Add(uint64(b.call.calls))
	if err != nil && errors.Is(err, ErrMessageTooLarge) {
		err = d.tooLarge(&messages[n], err)
	}
	return n, err
}

// tooLarge adds to the error of a message that is too large what would have
// fit.
func (d *system) tooLarge(m *OutputMessage, err error) error {
	most, length := d.maximumMessageSize(m.Address), size(m.Vectors)
	if most == 0 || length <= most {
		return err // the limit is another one
	}
	cause := errors.Unwrap(err)
	return NewError(CodeMessageTooLarge, "%s: the message has %d bytes, the most that this socket can send there as one datagram is %d: %w", sending, length, most, cause)
}

// block takes its turn and runs attempt in the raw conn's Read or Write, which in is,
// until it returns true, the deadline comes or ctx is done. Attempt calls begin before
// it returns false.
func (p *patience) block(in func(func(uintptr) bool) error, attempt func(uintptr) bool) error {
	if err := p.side.enter(p.ctx, p.deadline); err != nil {
		return err
	}
	defer p.side.leave()
	for {
		err := in(attempt)
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			if err = woken(p.ctx, p.deadline); err == nil && p.begin() {
				continue
			}
		}
		if p.ended {
			return ErrorFromContext(p.ctx)
		}
		return err
	}
}

// nudge makes a call that waits in the poller look again.
func (s *side) nudge() {
	if len(s.turnstile) > 0 {
		s.interrupt.wake()
	}
}

// glance is one look at a socket's condition.
type glance struct {
	fds      [1]unix.PollFd
	patience patience // of a wait
	offload  *offload
	asked    IOCondition
	now      IOCondition
	attempt  func(fd uintptr) bool
	once     func(fd uintptr)
}

func newGlance() *glance {
	g := new(glance)
	g.attempt = func(fd uintptr) bool {
		return g.look(fd) || !g.patience.begin() || g.offload.pending() && g.look(fd)
	}
	g.once = func(fd uintptr) { g.look(fd) }
	return g
}

func (g *glance) release() {
	g.offload, g.patience = nil, patience{}
	glances.Put(g)
}

// look polls the socket without waiting, and reports whether anything is true.
func (g *glance) look(fd uintptr) bool {
	g.fds[0] = unix.PollFd{Fd: int32(fd)}
	for _, m := range pollBits {
		if g.asked&m.condition != 0 {
			g.fds[0].Events |= m.bit
		}
	}
	for {
		_, err := unix.Poll(g.fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			g.now = Err
			return true
		}
		break
	}
	g.now = 0
	for _, m := range pollBits {
		if g.fds[0].Revents&m.bit != 0 {
			g.now |= m.condition
		}
	}
	if g.now&Nval != 0 {
		g.now = Hup
	} else if g.now&Hup != 0 {
		// The peer has closed: that is In (G032), and Hup a local close (G034).
		g.now = g.now&^Hup | g.asked&In
	}
	if g.offload.pending() {
		g.now |= g.asked & In
	}
	return g.now != 0
}

// pollBits relates conditions to poll's bits.
var pollBits = [...]struct {
	condition IOCondition
	bit       int16
}{
	{In, unix.POLLIN}, {Pri, unix.POLLPRI}, {Out, unix.POLLOUT},
	{Err, unix.POLLERR}, {Hup, unix.POLLHUP}, {Nval, unix.POLLNVAL},
}

func (d *system) check(condition IOCondition) IOCondition {
	g := glances.Get().(*glance)
	defer g.release()
	g.asked, g.offload = condition, &d.offload
	if err := d.raw.Control(g.once); err != nil {
		return Hup // the conn was closed behind the Socket's back
	}
	return g.now
}

func (d *system) wait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	deadline := deadlineOf(timeout)
	if condition&Out == 0 {
		return d.read.watch(ctx, &d.offload, d.raw.Read, condition, deadline)
	}
	if condition&(In|Pri) == 0 {
		return d.write.watch(ctx, &d.offload, d.raw.Write, condition, deadline)
	}
	// The poller waits for one direction a call, so here it takes two. The one
	// that ends first ends the other.
	both, cancel := context.WithCancel(ctx)
	result := make(chan error, 2)
	watchOne := func(watch func() error) {
		result <- watch()
		cancel()
	}
	go watchOne(func() error { return d.write.watch(both, &d.offload, d.raw.Write, condition, deadline) })
	watchOne(func() error { return d.read.watch(both, &d.offload, d.raw.Read, condition, deadline) })
	first, second := <-result, <-result
	if first != nil && second == nil {
		return nil
	}
	return first
}

// watch waits in the poller until something of the condition is true.
func (s *side) watch(ctx context.Context, o *offload, in func(func(uintptr) bool) error, condition IOCondition, deadline time.Time) error {
	g := glances.Get().(*glance)
	defer g.release()
	g.asked, g.offload, g.patience = condition, o, patience{side: s, ctx: ctx, deadline: deadline}
	err := g.patience.block(in, g.attempt)
	if errors.Is(err, net.ErrClosed) {
		return nil // Hup is true
	}
	return ErrorFromSystem(err, watching)
}

func (d *system) capabilities() Capability { return d.offload.capabilities() }

func (d *system) kernelDropped() (dropped uint64) {
	// An error means that the socket is closed; then the Socket knows the count.
	_ = d.raw.Control(func(fd uintptr) { dropped = kernelDrops(int(fd)) })
	return dropped
}

func (d *system) maximumMessageSize(to Address) int {
	var most int
	_ = d.raw.Control(func(fd uintptr) { most = d.offload.maximum(int(fd), d.socket, d.owner.remote, to) })
	return most
}

func (d *system) close() {
	d.offload.close()
	d.read.interrupt.close()
	d.write.interrupt.close()
}

// refused is the driver of a socket that cannot move messages (G039, G041).
type refused struct {
	plain
	err error
}

func (r refused) receive(context.Context, []InputMessage, MsgFlags, time.Duration) (int, error) {
	return 0, r.err
}
func (r refused) send(context.Context, []OutputMessage, MsgFlags, time.Duration) (int, error) {
	return 0, r.err
}
func (r refused) check(IOCondition) IOCondition                          { return Err }
func (r refused) wait(context.Context, IOCondition, time.Duration) error { return nil }
func (r refused) close()                                                 {}
