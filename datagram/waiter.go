package datagram

import (
	"context"
	"time"
)

// waiter is one call that waits for a state guarded by a mutex to change. It is
// kept by a waitSet and used again, so that waiting allocates nothing.
type waiter struct {
	woken chan struct{} // holds one wake-up
	call  func(error)   // in its place, of who does not wait but wants to be told
	timer *time.Timer   // made when first needed
}

// wait returns nil when the waiter is woken, TIMED_OUT at the deadline (zero
// for none) and CANCELLED when ctx is done. The mutex must not be held.
func (w *waiter) wait(ctx context.Context, deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return ErrTimedOut
		}
		if w.timer == nil {
			w.timer = time.NewTimer(left)
		} else {
			w.timer.Reset(left)
		}
		defer w.timer.Stop()
		expired = w.timer.C
	}
	select {
	case <-w.woken:
		return nil
	case <-ctx.Done():
		return ErrorFromContext(ctx)
	case <-expired:
		return ErrTimedOut
	}
}

// waitSet is the calls that wait for one kind of change. The mutex of the state
// guards it.
type waitSet struct {
	waiting []*waiter
	spare   []*waiter
}

// join adds a waiter and returns it.
func (s *waitSet) join() *waiter {
	var w *waiter
	if last := len(s.spare) - 1; last >= 0 {
		w = s.spare[last]
		s.spare = s.spare[:last]
		select {
		case <-w.woken: // what is left of its last use
		default:
		}
	} else {
		w = &waiter{woken: make(chan struct{}, 1)}
	}
	s.waiting = append(s.waiting, w)
	return w
}

// leave removes a waiter that join returned.
func (s *waitSet) leave(w *waiter) {
	s.remove(w)
	s.spare = append(s.spare, w)
}

func (s *waitSet) remove(w *waiter) {
	for i, other := range s.waiting {
		if other == w {
			last := len(s.waiting) - 1
			s.waiting[i], s.waiting[last] = s.waiting[last], nil
			s.waiting = s.waiting[:last]
			return
		}
	}
}

// wake wakes all. Each looks at the state anew.
func (s *waitSet) wake() {
	for _, w := range s.waiting {
		if w.call != nil {
			w.call(nil)
			continue
		}
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}
