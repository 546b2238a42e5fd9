package conn

import (
	"context"
	"errors"
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
	result, base, _ := c.look(condition)
	if base != 0 {
		result |= c.base.ConditionCheck(base) & (base | datagram.Err)
	}
	return result
}

// look gives the conditions that hold whatever the base says, those that the base
// has to tell, and a channel for those that wait for an operation's end.
func (c *DtlsConnection) look(condition datagram.IOCondition) (now, base datagram.IOCondition, changed <-chan struct{}) {
	const in, out = datagram.In, datagram.Out
	cl := &c.claims
	cl.mu.Lock()
	defer cl.mu.Unlock()
	condition &= in | out
	if cl.readClosed {
		condition &^= in
	}
	if cl.writeClosed {
		condition &^= out
	}
	switch {
	case cl.readClosed && cl.writeClosed:
		return datagram.Hup, 0, nil
	case cl.active&opHandshake != 0:
		return 0, 0, cl.watch()
	case cl.phase != phaseEstablished:
		return condition, 0, nil
	}
	if condition&in != 0 && c.rx.ready.Load() {
		return in, condition &^ in, nil
	}
	return 0, condition, nil
}

// ConditionWait waits until ConditionCheck would give something
// (g_datagram_based_condition_wait, G036, G037, G205): its error is TIMED_OUT or
// CANCELLED. Closing the connection ends the wait.
func (c *DtlsConnection) ConditionWait(ctx context.Context, condition datagram.IOCondition, timeout time.Duration) error {
	deadline := deadlineOf(timeout)
	for {
		if ctx.Err() != nil {
			return datagram.ErrorFromContext(ctx)
		}
		now, base, changed := c.look(condition)
		if now != 0 {
			return nil
		}
		if timeout == 0 {
			if base != 0 && c.base.ConditionCheck(base) != 0 {
				return nil
			}
			return datagram.ErrTimedOut
		}
		if base == 0 {
			c.claims.mu.Lock()
			if changed == nil {
				changed = c.claims.watch()
			}
			c.claims.mu.Unlock()
			if err := waitFor(ctx, changed, deadline); err != nil {
				return err
			}
			continue
		}
		err := c.waitBase(ctx, base, deadline)
		if err == nil || !errors.Is(err, errStateChanged) {
			return err
		}
	}
}

var errStateChanged = errors.New("connection changed")

// waitBase waits for the base, until the connection's own state changes.
func (c *DtlsConnection) waitBase(ctx context.Context, condition datagram.IOCondition, deadline time.Time) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.claims.mu.Lock()
	changed := c.claims.watch()
	c.claims.mu.Unlock()
	done := make(chan struct{})
	go func() {
		select {
		case <-changed:
			cancel(errStateChanged)
		case <-done:
		}
	}()
	err := c.base.ConditionWait(inner, condition, remaining(deadline))
	close(done)
	if err != nil && ctx.Err() == nil && context.Cause(inner) == errStateChanged {
		return errStateChanged
	}
	return err
}
