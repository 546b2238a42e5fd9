package datagram

import (
	"context"
	"sync"
	"time"
)

// past is a deadline that makes a blocked call return at once.
var past = time.Unix(1, 0)

// interrupt ends blocked calls of one direction of a net.PacketConn, by its
// deadline: for a timeout, and for a context that is done.
//
// The registration with a context stays from call to call while the same Done
// channel comes, so that a loop over one context allocates nothing. It may fire
// after its call has ended. The rule that makes this harmless: a call arms
// first and looks at its context afterwards, and at whatever else it may be woken
// for; and when it is woken by a deadline without its own reason, it arms and waits
// again.
type interrupt struct {
	setDeadline func(time.Time) error
	// early says that a deadline of an earlier call may stay if it comes before that
	// of the next: to be woken once too soon costs less than to set it for each call.
	early bool

	mu    sync.Mutex
	until time.Time       // the conn's deadline, zero for none
	done  <-chan struct{} // what is registered, nil for nothing
	stop  func() bool     // ends the registration
	turn  int             // counts registrations, so that an old one knows
}

// arm prepares for a call that ends at the deadline (zero for none) or with
// ctx, whichever comes first.
func (i *interrupt) arm(ctx context.Context, deadline time.Time) {
	done := ctx.Done()
	i.mu.Lock()
	defer i.mu.Unlock()
	if done != nil && done != i.done {
		i.forget()
		turn := i.turn
		i.done = done
		i.stop = whenDone(ctx, func() { i.fire(turn) })
	}
	if i.until.IsZero() && deadline.IsZero() || i.stays(deadline) {
		return
	}
	// An error means that the conn is closed or knows no deadlines; the call
	// itself then says so, or has to do without.
	_ = i.setDeadline(deadline)
	i.until = deadline
}

// whenDone is context.AfterFunc, without what that needs around a context that can do
// the same by itself, as that of a DTLS connection's calls.
func whenDone(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// stays reports whether the deadline that the conn has will do for a call that ends
// at another. The mutex is held.
func (i *interrupt) stays(deadline time.Time) bool {
	return i.early && !i.until.IsZero() && (deadline.IsZero() || !deadline.Before(i.until)) && time.Now().Before(i.until)
}

// fire wakes the blocked call.
func (i *interrupt) fire(turn int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if turn == i.turn {
		i.expire()
	}
}

// wake wakes the blocked call, which finds no reason to end and tries again.
func (i *interrupt) wake() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expire()
}

// expire ends the blocked call's patience. The mutex is held.
func (i *interrupt) expire() {
	_ = i.setDeadline(past)
	i.until = past
}

// forget ends the registration. The mutex is held.
func (i *interrupt) forget() {
	if i.stop != nil {
		i.stop()
	}
	i.turn++
	i.done, i.stop = nil, nil
}

// close ends the registration for good.
func (i *interrupt) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forget()
}

// woken returns why a call that was woken by a deadline ends, nil if it was
// woken for another's sake and is to wait again.
func woken(ctx context.Context, deadline time.Time) error {
	switch {
	case ctx.Err() != nil:
		return ErrorFromContext(ctx)
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return ErrTimedOut
	}
	return nil
}

// turnstile lets one call at a time wait in one direction.
type turnstile chan struct{}

// enter waits for the caller's turn, no longer than to the deadline (zero for
// none) or until ctx is done.
func (t turnstile) enter(ctx context.Context, deadline time.Time) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ErrorFromContext(ctx)
	case <-expired:
		return ErrTimedOut
	}
}

// take is enter for a call with a timeout, which when that is 0 does not wait.
func (t turnstile) take(ctx context.Context, timeout time.Duration, deadline time.Time) error {
	if timeout != 0 {
		return t.enter(ctx, deadline)
	}
	select {
	case t <- struct{}{}:
		return nil
	default:
		return ErrWouldBlock
	}
}

func (t turnstile) leave() { <-t }
