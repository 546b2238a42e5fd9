package datagram

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// opaqueQueue is how many datagrams are read ahead.
const opaqueQueue = 256

// opaquePatience is how long a send with timeout 0 may take: a write deadline
// in the past would refuse it without a try.
const opaquePatience = time.Millisecond

// opaque drives a conn that only has the methods of net.PacketConn. One
// goroutine, the pump, reads ahead, so that a receive can be cancelled, can
// have a timeout of 0, and can be waited for.
type opaque struct {
	plain
	socket *Socket
	in     queue
	pump   sync.Once

	writer turnstile
	interrupt
	// Guarded by the turnstile.
	scratch []byte
	to      Address // the last destination, as to and as toNet
	toNet   net.Addr
}

func newOpaque(s *Socket) *opaque {
	return &opaque{
		socket:    s,
		in:        queue{limit: opaqueQueue},
		writer:    make(turnstile, 1),
		interrupt: interrupt{setDeadline: s.conn.SetWriteDeadline},
	}
}

func (o *opaque) start() { o.pump.Do(func() { go o.readAhead() }) }

// readAhead is the pump.
func (o *opaque) readAhead() {
	read := o.socket.conn.ReadFrom
	buf := make([]byte, MaxDatagram)
	for failures := 0; !o.in.closed(); {
		n, from, err := read(buf)
		switch {
		case err == nil:
			failures = 0
			if !o.in.push(buf[:max(0, min(n, len(buf)))], AddressFromNet(from)) {
				o.socket.stats.dropped.Add(1)
			}
			continue
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
			o.in.abandon()
			return
		case errors.Is(err, io.EOF):
			o.in.end()
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Somebody set a deadline on the conn. It is the Socket's to set; if
			// that fails, so will the next read.
			_ = o.socket.conn.SetReadDeadline(time.Time{})
		default:
			o.in.fail(ErrorFromSystem(err, "error receiving message"))
		}
		// An error that lasts must not keep a processor busy.
		time.Sleep(time.Millisecond << min(failures, 6) >> 1)
		failures++
	}
}

func (o *opaque) receive(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := checkFlags(flags); err != nil {
		return 0, err
	}
	o.start()
	return o.in.receive(ctx, messages, flags, timeout)
}

func (o *opaque) send(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := checkFlags(flags); err != nil {
		return 0, err
	}
	patience := timeout
	if timeout == 0 {
		patience = opaquePatience
	}
	deadline := deadlineOf(patience)
	err := o.writer.enter(ctx, deadline)
	if err == nil {
		defer o.writer.leave()
		for n := range messages {
			if err = o.sendOne(ctx, deadline, &messages[n]); err != nil {
				return partial(n, inTime(err, timeout))
			}
		}
	}
	if err != nil {
		return 0, inTime(err, timeout)
	}
	return len(messages), nil
}

// inTime turns the end of a polling call's patience into WOULD_BLOCK.
func inTime(err error, timeout time.Duration) error {
	if timeout == 0 && errors.Is(err, ErrTimedOut) {
		return ErrWouldBlock
	}
	return err
}

// sendOne sends one message.
func (o *opaque) sendOne(ctx context.Context, deadline time.Time, m *OutputMessage) error {
	data := o.flatten(m.Vectors)
	for {
		o.arm(ctx, deadline)
		if ctx.Err() != nil {
			return ErrorFromContext(ctx)
		}
		n, err := o.write(data, m.Address)
		if err == nil {
			m.BytesSent = n
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrorFromSystem(err, "error sending message")
		}
		if err = woken(ctx, deadline); err != nil {
			return err
		}
	}
}

// flatten returns the bytes of the vectors as one slice.
func (o *opaque) flatten(vectors [][]byte) []byte {
	switch len(vectors) {
	case 0:
		return nil
	case 1:
		return vectors[0]
	}
	if n := size(vectors); n > len(o.scratch) {
		o.scratch = make([]byte, n)
	}
	return o.scratch[:gather(o.scratch, vectors)]
}

// write writes one datagram by the method of the conn that fits.
func (o *opaque) write(data []byte, to Address) (int, error) {
	remote := o.socket.remote
	if !to.IsValid() || to == remote {
		if w, ok := o.socket.conn.(io.Writer); ok && remote.IsValid() {
			return w.Write(data)
		}
		if !to.IsValid() {
			return 0, NewError(CodeNotConnected, "the message has no address and the socket is not connected: set one or connect it")
		}
	}
	// Only a UDPConn itself: one that wraps it may do more in its WriteTo.
	if udp, ok := o.socket.conn.(*net.UDPConn); ok && to.AddrPort() != (netip.AddrPort{}) {
		return udp.WriteToUDPAddrPort(data, to.AddrPort())
	}
	if o.toNet == nil || o.to != to {
		o.to, o.toNet = to, to.NetAddr()
	}
	return o.socket.conn.WriteTo(data, o.toNet)
}

func (o *opaque) check(condition IOCondition) IOCondition {
	now := condition & Out
	if condition&In != 0 {
		o.start()
	}
	ok, failed := o.in.readable()
	if ok {
		now |= In
	}
	if failed {
		now |= Err
	}
	if o.in.closed() {
		return Hup
	}
	return now
}

func (o *opaque) wait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	return watch(ctx, &o.in, nil, timeout, func() IOCondition { return o.socket.ConditionCheck(condition) })
}

func (o *opaque) close() {
	o.interrupt.close()
	o.in.abandon()
}
