package datagram

import (
	"context"
	"sync/atomic"
	"time"
)

// Pipe is one of two ends in memory: what one sends, the other receives, in
// order and whole. It behaves as a connected datagram socket does, except that
// it loses nothing: when the other end does not receive, sending waits, or
// returns WOULD_BLOCK.
//
// After an end is closed, the other receives what is still queued and then 0
// messages without an error (G015), and its sends fail with
// CONNECTION_REFUSED, as those of a UDP socket do whose peer is gone.
//
// Messages have no sender's address, and the destination of a sent one is
// ignored. Of the flags a Pipe knows MsgPeek, MsgDontRoute and MsgWaitForOne.
//
// All methods may be called at the same time from any number of goroutines; the
// messages of concurrent sends may lie between one another. A Pipe uses
// channels, mutexes and timers only, so it works in a testing/synctest bubble.
// It allocates nothing per datagram.
type Pipe struct {
	in, out *queue
	most    int
	closed  atomic.Bool
}

var _ DatagramBased = (*Pipe)(nil)

// PipeOption changes what NewPipe makes.
type PipeOption func(*pipeConfig)

type pipeConfig struct{ queue, most int }

// WithQueue sets how many datagrams wait in each direction before sending
// blocks: 256 if not given or less than 1.
func WithQueue(datagrams int) PipeOption {
	return func(c *pipeConfig) { c.queue = datagrams }
}

// WithMaxDatagram sets the longest datagram in bytes that a Pipe takes; a
// longer one fails with MESSAGE_TOO_LARGE. It is MaxDatagram if not given, or
// not from 1 to MaxDatagram.
func WithMaxDatagram(bytes int) PipeOption {
	return func(c *pipeConfig) { c.most = bytes }
}

// NewPipe returns two ends that are connected to each other.
func NewPipe(options ...PipeOption) (a, b *Pipe) {
	var c pipeConfig
	for _, option := range options {
		option(&c)
	}
	if c.queue < 1 {
		c.queue = 256
	}
	if c.most < 1 || c.most > MaxDatagram {
		c.most = MaxDatagram
	}
	ab, ba := &queue{limit: c.queue}, &queue{limit: c.queue}
	return &Pipe{in: ba, out: ab, most: c.most}, &Pipe{in: ab, out: ba, most: c.most}
}

// ReceiveMessages receives what the other end sent.
func (p *Pipe) ReceiveMessages(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := p.check(ctx, flags); err != nil || len(messages) == 0 {
		return 0, err
	}
	return p.in.receive(ctx, messages, flags, timeout)
}

// SendMessages queues messages for the other end.
func (p *Pipe) SendMessages(ctx context.Context, messages []OutputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	if err := p.check(ctx, flags); err != nil || len(messages) == 0 {
		return 0, err
	}
	return p.out.send(ctx, messages, timeout, p.most)
}

// check makes the checks that come before any work, in Gio's order (G040).
func (p *Pipe) check(ctx context.Context, flags MsgFlags) error {
	switch {
	case p.closed.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return ErrorFromContext(ctx)
	}
	return checkFlags(flags)
}

// checkFlags refuses the flags that only a socket can honour.
func checkFlags(flags MsgFlags) error {
	if unknown := flags &^ (MsgPeek | MsgDontRoute | MsgWaitForOne); unknown != 0 {
		return NewError(CodeNotSupported, "message flags %#x are not supported here", int(unknown))
	}
	return nil
}

// CreateSource returns a source that watches the condition.
func (p *Pipe) CreateSource(ctx context.Context, condition IOCondition) *Source {
	return NewSource(p, ctx, condition)
}

// MaximumMessageSize returns how many bytes a message may have.
func (p *Pipe) MaximumMessageSize() int { return p.most }

// ConditionCheck returns which of the conditions are true. Out is also true
// when the other end is closed: sending fails then and does not block.
func (p *Pipe) ConditionCheck(condition IOCondition) IOCondition {
	if p.closed.Load() {
		return Hup
	}
	var now IOCondition
	if condition&In != 0 {
		if ok, _ := p.in.readable(); ok {
			now |= In
		}
	}
	if condition&Out != 0 && p.out.writable() {
		now |= Out
	}
	return now
}

// ConditionWait waits until one of the conditions is true.
func (p *Pipe) ConditionWait(ctx context.Context, condition IOCondition, timeout time.Duration) error {
	in, out := p.watched(condition)
	return watch(ctx, in, out, timeout, func() IOCondition { return p.ConditionCheck(condition) })
}

// ConditionNotify calls wake when one of the conditions may have become true.
func (p *Pipe) ConditionNotify(condition IOCondition, wake func(error)) (stop func()) {
	return (&waiter{call: wake}).enlist(p.watched(condition))
}

// watched gives the queues on which a condition depends. The receiving one is always
// there: Close wakes it.
func (p *Pipe) watched(condition IOCondition) (in, out *queue) {
	if condition&Out == 0 {
		return p.in, nil
	}
	return p.in, p.out
}

// Close closes this end. Calls that wait on it return. It never fails, and a
// second call does nothing.
func (p *Pipe) Close() error {
	if !p.closed.Swap(true) {
		p.out.end()
		p.in.abandon()
	}
	return nil
}
