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
type system struct {
	raw    syscall.RawConn
	socket socketInfo

	read  side[InputMessage]
	write side[OutputMessage]
	probe struct { // for check
		mu sync.Mutex
		glance
	}
}

// socketInfo is what does not change about a socket.
type socketInfo struct {
	family int // AF_INET, AF_INET6 or AF_UNIX
	kind   int // SOCK_DGRAM or SOCK_SEQPACKET
}

// side is one direction of a socket.
type side[M InputMessage | OutputMessage] struct {
	turnstile
	interrupt
	// Guarded by the turnstile.
	blocking batch[M]
	waiting  glance
	// Calls with timeout 0 have a batch of their own, so that they do not wait
	// for those that block.
	polled struct {
		sync.Mutex
		batch[M]
	}
}

// batch is one call's messages on their way through the kernel. It is made
// once and used for many calls.
type batch[M InputMessage | OutputMessage] struct {
	call     sysCall
	move     func(*sysCall, uintptr, *M, MsgFlags) error
	messages []M
	flags    MsgFlags
	need     int // how many are waited for
	n        int // how many were moved
	err      error
	attempt  func(fd uintptr) bool // run, as the raw conn wants it
	once     func(fd uintptr)
}

// errEndOfStream is what a move returns when the peer of a connected socket has
// closed (G015).
var errEndOfStream = errors.New("end of stream")

func systemDriver(s *Socket) driver {
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
	d := &system{raw: raw}
	ok := false
	err = raw.Control(func(fd uintptr) { d.socket, ok = inspect(int(fd)) })
	if err == nil && !ok {
		return refused{NewError(CodeNotSupported, "the socket is neither a datagram nor a packet socket")}
	}
	d.read.prepare(d.socket, (*sysCall).receive, s.conn.SetReadDeadline)
	d.write.prepare(d.socket, (*sysCall).send, s.conn.SetWriteDeadline)
	d.probe.prepare()
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

func (s *side[M]) prepare(socket socketInfo, move func(*sysCall, uintptr, *M, MsgFlags) error, setDeadline func(time.Time) error) {
	s.turnstile = make(turnstile, 1)
	s.setDeadline = setDeadline
	s.waiting.prepare()
	for _, b := range []*batch[M]{&s.blocking, &s.polled.batch} {
		b.call.socket = socket
		b.move = move
		b.attempt = b.run
		b.once = func(fd uintptr) { b.run(fd) }
	}
}

// begin loads the batch with a call's messages.
func (b *batch[M]) begin(messages []M, flags MsgFlags, need int) {
	b.messages, b.flags, b.need, b.n, b.err = messages, flags&^MsgWaitForOne, need, 0, nil
}

// run moves what can be moved now, and reports whether the call is at its end.
func (b *batch[M]) run(fd uintptr) bool {
	for b.n < len(b.messages) {
		switch err := b.move(&b.call, fd, &b.messages[b.n], b.flags); err {
		case nil:
			b.n++
		case unix.EINTR:
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
	b.messages, b.err = nil, nil
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

func (d *system) receive(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	need := needed(len(messages), flags, timeout)
	if timeout == 0 {
		return d.read.poll(d.raw, messages, flags, receiving)
	}
	return d.read.block(ctx, d.raw.Read, messages, flags, need, timeout, receiving)
}

func (d *system) send(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if timeout == 0 {
		return d.write.poll(d.raw, messages, flags, sending)
	}
	return d.write.block(ctx, d.raw.Write, messages, flags, len(messages), timeout, sending)
}

// poll moves what can be moved now.
func (s *side[M]) poll(raw syscall.RawConn, messages []M, flags MsgFlags, doing string) (int, error) {
	s.polled.Lock()
	defer s.polled.Unlock()
	s.polled.begin(messages, flags, 0)
	return s.polled.finish(raw.Control(s.polled.once), doing)
}

// block moves messages until need of them are moved. in is the raw conn's Read
// or Write.
func (s *side[M]) block(ctx context.Context, in func(func(uintptr) bool) error, messages []M, flags MsgFlags, need int, timeout time.Duration, doing string) (int, error) {
	deadline := deadlineOf(timeout)
	if err := s.enter(ctx, deadline); err != nil {
		return 0, err
	}
	defer s.leave()
	s.blocking.begin(messages, flags, need)
	return s.blocking.finish(s.until(ctx, deadline, in, s.blocking.attempt), doing)
}

// until runs attempt in the raw conn's Read or Write until it returns true, the
// deadline comes or ctx is done.
func (s *side[M]) until(ctx context.Context, deadline time.Time, in func(func(uintptr) bool) error, attempt func(uintptr) bool) error {
	for {
		s.arm(ctx, deadline)
		if ctx.Err() != nil {
			return ErrorFromContext(ctx)
		}
		err := in(attempt)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err = woken(ctx, deadline); err != nil {
			return err
		}
	}
}

// glance is one look at a socket's condition, made once and used for many.
type glance struct {
	fds     [1]unix.PollFd
	asked   IOCondition
	now     IOCondition
	attempt func(fd uintptr) bool
	once    func(fd uintptr)
}

func (w *glance) prepare() {
	w.attempt = w.look
	w.once = func(fd uintptr) { w.look(fd) }
}

// look polls the socket without waiting, and reports whether anything is true.
func (w *glance) look(fd uintptr) bool {
	w.fds[0] = unix.PollFd{Fd: int32(fd)}
	for _, m := range pollBits {
		if w.asked&m.condition != 0 {
			w.fds[0].Events |= m.bit
		}
	}
	for {
		_, err := unix.Poll(w.fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			w.now = Err
			return true
		}
		break
	}
	w.now = 0
	for _, m := range pollBits {
		if w.fds[0].Revents&m.bit != 0 {
			w.now |= m.condition
		}
	}
	if w.now&(Hup|Nval) != 0 {
		w.now = Hup
	}
	return w.now != 0
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
	d.probe.mu.Lock()
	defer d.probe.mu.Unlock()
	d.probe.asked = condition
	if err := d.raw.Control(d.probe.once); err != nil {
		return Hup // the conn was closed behind the Socket's back
	}
	return d.probe.now
}

func (d *system) wait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	deadline := deadlineOf(timeout)
	if condition&Out == 0 {
		return d.read.watch(ctx, d.raw.Read, condition, deadline)
	}
	if condition&(In|Pri) == 0 {
		return d.write.watch(ctx, d.raw.Write, condition, deadline)
	}
	// The poller waits for one direction a call, so here it takes two. The one
	// that ends first ends the other.
	both, cancel := context.WithCancel(ctx)
	result := make(chan error, 2)
	watchOne := func(watch func() error) {
		result <- watch()
		cancel()
	}
	go watchOne(func() error { return d.write.watch(both, d.raw.Write, condition, deadline) })
	watchOne(func() error { return d.read.watch(both, d.raw.Read, condition, deadline) })
	first, second := <-result, <-result
	if first != nil && second == nil {
		return nil
	}
	return first
}

// watch waits in the poller until something of the condition is true.
func (s *side[M]) watch(ctx context.Context, in func(func(uintptr) bool) error, condition IOCondition, deadline time.Time) error {
	if err := s.enter(ctx, deadline); err != nil {
		return err
	}
	defer s.leave()
	s.waiting.asked = condition
	err := ErrorFromSystem(s.until(ctx, deadline, in, s.waiting.attempt), watching)
	if errors.Is(err, ErrClosed) {
		return nil // Hup is true
	}
	return err
}

func (d *system) close() {
	d.read.interrupt.close()
	d.write.interrupt.close()
}

// refused is the driver of a socket that cannot move messages (G039, G041).
type refused struct{ err error }

func (r refused) receive(context.Context, []InputMessage, MsgFlags, time.Duration) (int, error) {
	return 0, r.err
}
func (r refused) send(context.Context, []OutputMessage, MsgFlags, time.Duration) (int, error) {
	return 0, r.err
}
func (r refused) check(IOCondition) IOCondition                          { return Err }
func (r refused) wait(context.Context, IOCondition, time.Duration) error { return nil }
func (r refused) close()                                                 {}
