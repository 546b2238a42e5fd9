package conn

import (
	"context"
	"time"

	"gdtls/datagram"
)

// ConditionCheck tells without blocking which of the conditions hold
// (g_datagram_based_condition_check, G031-G035, G204). IN means that a message, an
// end or an error can be had, or at least that the base has something to look at;
// OUT that the base would take a datagram. Before the handshake both hold, since a
// read or write begins it; while it goes on neither does. HUP is set once both
// sides are closed.
func (c *DtlsConnection) ConditionCheck(condition datagram.IOCondition) datagram.IOCondition {
	result, base, _ := c.look(condition, false)
	if base != 0 {
		result |= c.base.ConditionCheck(base) & (base | datagram.Err)
	}
	return result
}

// look gives the conditions that hold whatever the base says, those that the base
// has to tell, and, to who wants to wait, a channel that tells when to look again.
func (c *DtlsConnection) look(condition datagram.IOCondition, watch bool) (now, base datagram.IOCondition, changed <-chan struct{}) {
	const in, out = datagram.In, datagram.Out
	cl := &c.claims
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if watch {
		changed = cl.watch()
	}
	condition &= in | out
	if cl.readClosed {
		condition &^= in
	}
	if cl.writeClosed {
		condition &^= out
	}
	switch {
	case cl.readClosed && cl.writeClosed:
		return datagram.Hup, 0, changed
	case cl.active&opHandshake != 0:
		return 0, 0, changed
	case cl.phase != phaseEstablished:
		return condition, 0, changed
	}
	if condition&in != 0 && c.rx.ready.Load() {
		return in, condition &^ in, changed
	}
	return 0, condition, changed
}

// ConditionWait waits until ConditionCheck would give something
// (g_datagram_based_condition_wait, G036, G037, G205): its error is TIMED_OUT or
// CANCELLED. Closing the connection ends the wait.
func (c *DtlsConnection) ConditionWait(ctx context.Context, condition datagram.IOCondition, timeout time.Duration) error {
	switch {
	case ctx.Err() != nil:
		return datagram.ErrorFromContext(ctx)
	case c.ConditionCheck(condition) != 0:
		return nil
	case timeout == 0:
		return datagram.ErrTimedOut
	}
	deadline := deadlineOf(timeout)
	for {
		now, base, changed := c.look(condition, true)
		var err error
		switch {
		case now != 0:
			return nil
		case base == 0:
			err = waitFor(ctx, changed, deadline)
		default:
			var state bool
			if state, err = c.waitBase(ctx, base, changed, deadline); !state && err == nil {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// waitBase waits for the base, or until the connection's own state changes, which
// it tells.
func (c *DtlsConnection) waitBase(ctx context.Context, condition datagram.IOCondition, changed <-chan struct{}, deadline time.Time) (state bool, err error) {
	wait := remaining(deadline)
	if wait == 0 {
		return false, datagram.ErrTimedOut
	}
	inner, cancel := context.WithCancel(ctx)
	watching := make(chan bool)
	go func() {
		select {
		case <-changed:
			cancel()
			watching <- true
		case <-inner.Done():
			watching <- false
		}
	}()
	err = c.base.ConditionWait(inner, condition, wait)
	cancel()
	if state = <-watching; state && ctx.Err() == nil {
		err = nil
	}
	return state, err
}

// ConditionNotify implements [datagram.ConditionNotifier]: a source of a connection
// costs no more than one of its base.
func (c *DtlsConnection) ConditionNotify(condition datagram.IOCondition, wake func(error)) (stop func()) {
	c.claims.subscribe(&wake)
	_, base, _ := c.look(condition, false)
	if base == 0 { // a change of our own tells what comes next
		return func() { c.claims.unsubscribe(&wake) }
	}
	stopBase := datagram.ConditionNotify(c.base, base, wake)
	return func() {
		stopBase()
		c.claims.unsubscribe(&wake)
	}
}
