package datagram

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Impaired wraps a DatagramBased and treats its datagrams as a bad network
// does: it drops, doubles, reorders, delays, truncates and corrupts them, in
// each direction on its own, by a seeded random source or by a filter that
// picks single datagrams. It counts what it did.
//
// Both directions keep the contract of DatagramBased. A dropped datagram counts
// as sent. A datagram that the base refuses, and that is sent again, counts as a
// new one. Those sent and held back go out when their time comes, by a timer;
// what the base does not take then without blocking is lost. Those received and
// held back are waited for by the calls that receive. Of the flags an Impaired
// knows MsgPeek, MsgDontRoute and MsgWaitForOne. It may report In for a datagram
// that it then drops (G005).
//
// All methods may be called at the same time; calls in one direction take
// turns. It works in a testing/synctest bubble if its base does.
type Impaired struct {
	base DatagramBased

	sender   turnstile
	receiver turnstile
	ready    queue    // what was received and decided about
	pulled   incoming // guarded by receiver

	mu       sync.Mutex
	out, in  lane
	flush    *time.Timer // sends what was held back; nil until needed
	closed   atomic.Bool
	life     context.Context // ends with Close
	endLife  context.CancelFunc
	outgoing outgoing // guarded by sender
	poller   poller
}

// incoming is the memory for a datagram received from the base.
type incoming struct {
	message [1]InputMessage
	vectors [1][]byte
}

// outgoing is the memory for a datagram sent to the base.
type outgoing struct {
	message [1]OutputMessage
	vectors [1][]byte
}

var _ DatagramBased = (*Impaired)(nil)

// NewImpaired returns an Impaired over base.
func NewImpaired(base DatagramBased, config Impairment) *Impaired {
	m := &Impaired{
		base:     base,
		sender:   make(turnstile, 1),
		receiver: make(turnstile, 1),
		ready:    queue{limit: 2*mostHeld + 2},
		out:      newLane(config.Send, config.Seed, 0),
		in:       newLane(config.Receive, config.Seed, 1),
	}
	m.life, m.endLife = context.WithCancel(context.Background())
	m.pulled.vectors[0] = make([]byte, MaxDatagram)
	m.pulled.message[0].Vectors = m.pulled.vectors[:]
	return m
}

// Stats returns what was done so far.
func (m *Impaired) Stats() ImpairmentStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return ImpairmentStats{Send: m.out.stats, Receive: m.in.stats}
}

// begin makes the checks that come before any work, in Gio's order (G040).
func (m *Impaired) begin(ctx context.Context, flags MsgFlags) error {
	switch {
	case m.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return ErrorFromContext(ctx)
	}
	return checkFlags(flags)
}

// SendMessages sends messages as the profile for sending has it.
func (m *Impaired) SendMessages(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := m.begin(ctx, flags); err != nil || len(messages) == 0 {
		return 0, err
	}
	messages = messages[:min(len(messages), MaxMessages)]
	deadline := deadlineOf(timeout)
	if err := m.sender.take(ctx, timeout, deadline); err != nil {
		return 0, err
	}
	defer m.sender.leave()
	for n := range messages {
		length := size(messages[n].Vectors)
		if length > MaxDatagram {
			return partial(n, NewError(CodeMessageTooLarge, "the message has %d bytes, the most that fits is %d", length, MaxDatagram))
		}
		buf := getBuffer(length)
		data := buf.b[:gather(buf.b, messages[n].Vectors)]
		err := m.sendOne(ctx, data, messages[n].Address, flags, timeout, deadline)
		buf.release()
		if err != nil {
			return partial(n, err)
		}
		messages[n].BytesSent = length
	}
	return len(messages), nil
}

// sendOne decides about one datagram and sends what is to be sent now.
func (m *Impaired) sendOne(ctx context.Context, data []byte, to Address, flags MsgFlags, timeout time.Duration, deadline time.Time) error {
	m.mu.Lock()
	f := m.out.decide(data)
	data = data[:f.length]
	if f.copies > 0 && f.delay > 0 {
		m.out.hold(data, to, time.Now(), f)
		m.schedule()
		f.copies = 0
	}
	m.mu.Unlock()
	if f.copies == 0 {
		return nil
	}
	for i := range f.copies {
		if left, err := remaining(timeout, deadline); i == 0 || err == nil {
			if err := m.write(ctx, data, to, flags, left); err != nil && i == 0 {
				return err
			}
		}
	}
	m.sendHeld(true)
	return nil
}

// remaining returns what is left of a call's timeout, and TIMED_OUT if nothing
// is.
func remaining(timeout time.Duration, deadline time.Time) (time.Duration, error) {
	if timeout <= 0 {
		return timeout, nil
	}
	if left := time.Until(deadline); left > 0 {
		return left, nil
	}
	return 0, ErrTimedOut
}

// write sends one datagram to the base. The sender's turn is held.
func (m *Impaired) write(ctx context.Context, data []byte, to Address, flags MsgFlags, timeout time.Duration) error {
	o := &m.outgoing
	o.vectors[0] = data
	o.message[0] = OutputMessage{Address: to, Vectors: o.vectors[:]}
	_, err := m.base.SendMessages(ctx, o.message[:], flags, timeout)
	o.vectors[0] = nil
	return err
}

// sendHeld sends the held datagrams whose time has come, and if overtaken those
// that waited to be overtaken. The sender's turn is held.
func (m *Impaired) sendHeld(overtaken bool) {
	for {
		m.mu.Lock()
		p, ok := m.out.free(time.Now(), overtaken)
		m.mu.Unlock()
		if !ok {
			return
		}
		err := m.write(m.life, p.buf.b[:p.n], p.from, MsgNone, 0)
		p.buf.release()
		if err != nil {
			m.mu.Lock()
			m.out.stats.Undelivered++
			m.mu.Unlock()
		}
	}
}

// schedule sets the timer to when the next held datagram is due. The mutex is
// held.
func (m *Impaired) schedule() {
	due, ok := m.out.due()
	if !ok || m.closed.Load() {
		return
	}
	if m.flush == nil {
		m.flush = time.AfterFunc(time.Until(due), m.timer)
	} else {
		m.flush.Reset(time.Until(due))
	}
}

// timer runs when a held datagram is due.
func (m *Impaired) timer() {
	if m.sender.enter(m.life, time.Time{}) != nil {
		return
	}
	defer m.sender.leave()
	m.sendHeld(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schedule()
}

// ReceiveMessages receives messages as the profile for receiving has it.
func (m *Impaired) ReceiveMessages(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := m.begin(ctx, flags); err != nil || len(messages) == 0 {
		return 0, err
	}
	messages = bound(messages, flags)
	need := needed(len(messages), flags, timeout)
	deadline := deadlineOf(timeout)
	if err := m.receiver.take(ctx, timeout, deadline); err != nil {
		return 0, err
	}
	defer m.receiver.leave()

	n := 0
	for pulls := 0; ; pulls++ {
		m.freeReceived(false)
		more, _ := m.takeReady(messages[n:], flags)
		n += more
		if n == len(messages) || n >= need && pulls >= MaxMessages {
			// Reading on and dropping all must end some time as well.
			return partial(n, ErrWouldBlock)
		}
		wait, err := m.patience(n < need, timeout, deadline)
		if err != nil {
			return partial(n, err)
		}
		got, err := m.base.ReceiveMessages(ctx, m.pulled.message[:], MsgNone, wait)
		switch {
		case err == nil && got > 0:
			m.received()
		case err == nil:
			// The peer has closed, and nothing overtakes what is held.
			if m.freeReceived(true) == 0 {
				return n, nil
			}
		case errors.Is(err, ErrTimedOut):
			// A held datagram may be due; if not, patience ends the call.
		default:
			// WOULD_BLOCK too: what was held and due is out of the ready queue.
			return partial(n, err)
		}
	}
}

// patience returns how long the base may block: not at all if the call has what
// it needs, else until its own end or a held datagram is due.
func (m *Impaired) patience(needs bool, timeout time.Duration, deadline time.Time) (time.Duration, error) {
	if !needs {
		return 0, nil
	}
	wait, err := remaining(timeout, deadline)
	if err != nil {
		return 0, err
	}
	return m.untilDue(wait), nil
}

// untilDue shortens a wait to the time at which a received and held datagram is
// due.
func (m *Impaired) untilDue(wait time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	due, ok := m.in.due()
	if !ok {
		return wait
	}
	// Not 0, which would be another kind of call.
	left := max(time.Until(due), 1)
	if wait < 0 || left < wait {
		return left
	}
	return wait
}

// received decides about the datagram pulled from the base.
func (m *Impaired) received() {
	p := &m.pulled.message[0]
	data := m.pulled.vectors[0][:p.BytesReceived]
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.in.decide(data)
	data = data[:f.length]
	switch {
	case f.copies == 0:
	case f.delay > 0:
		m.in.hold(data, p.Address, time.Now(), f)
	default:
		for range f.copies {
			m.makeReady(data, p.Address)
		}
		m.freeHeld(time.Now(), true)
	}
}

// freeReceived makes ready what was held and is due, or all of it, and returns
// how much that was.
func (m *Impaired) freeReceived(all bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if last := len(m.in.held) - 1; all && last >= 0 {
		now = m.in.held[last].due
	}
	return m.freeHeld(now, false)
}

// freeHeld is freeReceived with the mutex held.
func (m *Impaired) freeHeld(now time.Time, overtaken bool) (n int) {
	for {
		p, ok := m.in.free(now, overtaken)
		if !ok {
			return n
		}
		m.makeReady(p.buf.b[:p.n], p.from)
		p.buf.release()
		n++
	}
}

// makeReady queues a datagram for the calls that receive. The mutex is held.
func (m *Impaired) makeReady(data []byte, from Address) {
	if !m.ready.push(data, from) {
		m.in.stats.Overflowed++
	}
}

func (m *Impaired) takeReady(messages []InputMessage, flags MsgFlags) (int, bool) {
	m.ready.mu.Lock()
	defer m.ready.mu.Unlock()
	return m.ready.take(messages, flags)
}

// CreateSource returns a source that watches the condition.
func (m *Impaired) CreateSource(ctx context.Context, condition IOCondition) *Source {
	return NewSource(m, ctx, condition)
}

// MaximumMessageSize returns how many bytes a message may have, as the base tells
// by a method of this name, 0 if it has none.
func (m *Impaired) MaximumMessageSize() int {
	if base, ok := m.base.(interface{ MaximumMessageSize() int }); ok {
		return base.MaximumMessageSize()
	}
	return 0
}

// ConditionCheck returns what is true of the base, and In if a datagram that was
// held back is ready.
func (m *Impaired) ConditionCheck(condition IOCondition) IOCondition {
	if m.closed.Load() {
		return Hup
	}
	now := m.base.ConditionCheck(condition)
	if condition&In != 0 && now&Hup == 0 {
		m.freeReceived(false)
		if ok, _ := m.ready.readable(); ok {
			now |= In
		}
	}
	return now
}

// ConditionWait waits until one of the conditions is true.
func (m *Impaired) ConditionWait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	deadline := deadlineOf(timeout)
	for {
		if ctx.Err() != nil {
			return ErrorFromContext(ctx)
		}
		if m.ConditionCheck(condition) != 0 {
			return nil
		}
		wait, err := remaining(timeout, deadline)
		if err != nil || wait == 0 {
			return ErrTimedOut
		}
		if condition&In != 0 {
			wait = m.untilDue(wait)
		}
		if err := m.base.ConditionWait(ctx, condition, wait); err != nil && !errors.Is(err, ErrTimedOut) {
			return err
		}
	}
}

// ConditionNotify calls wake when one of the conditions may have become true. One
// goroutine waits for all who are registered.
func (m *Impaired) ConditionNotify(condition IOCondition, wake func(error)) (stop func()) {
	return m.poller.notify(m, condition, wake)
}

// Close drops what is held back, and closes the base if it is an io.Closer.
// Calls that wait return as those of the base do.
func (m *Impaired) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	m.endLife()
	m.mu.Lock()
	if m.flush != nil {
		m.flush.Stop()
	}
	m.out.drain()
	m.in.drain()
	m.mu.Unlock()
	m.ready.abandon()
	if c, ok := m.base.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
