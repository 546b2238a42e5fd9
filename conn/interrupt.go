package conn

import (
	"context"
	"slices"
	"sync"
	"time"
)

// interrupt holds the context of a direction's blocking calls. It is kept from
// call to call, so that calls with the same context allocate nothing. The caller of
// its methods holds claims.mu.
type interrupt struct {
	ctx *callContext // nil: none
}

// with gives a context that ends with ctx, or when the side is closed.
func (i *interrupt) with(ctx context.Context) context.Context {
	if i.ctx == nil || i.ctx.caller.Done() != ctx.Done() || i.ctx.Err() != nil {
		i.forget()
		i.ctx = newCallContext(ctx)
	}
	return i.ctx
}

// stop ends what uses the context.
func (i *interrupt) stop() {
	if i.ctx != nil {
		i.ctx.end(context.Canceled)
		i.forget()
	}
}

// forget lets go of a context that nothing uses any more.
func (i *interrupt) forget() {
	if i.ctx != nil && i.ctx.leave != nil {
		i.ctx.leave()
	}
	i.ctx = nil
}

// callContext is the context of calls of the base. It ends with the caller's, or by
// its own method end. When the calls are over it can be left without being ended:
// whoever has to cancel a context of package context for that starts a goroutine for
// each that still watches it, such as a socket for its next call.
type callContext struct {
	caller context.Context
	leave  func() bool // ends the watch of the caller's; nil if that never ends
	done   chan struct{}
	err    error // valid when done is closed

	mu       sync.Mutex
	watchers []*func() // guarded by mu; called when the context ends
}

var _ context.Context = (*callContext)(nil)

func newCallContext(caller context.Context) *callContext {
	c := &callContext{caller: caller, done: make(chan struct{})}
	if caller.Done() != nil {
		c.leave = context.AfterFunc(caller, func() { c.end(caller.Err()) })
	}
	return c
}

func (c *callContext) Deadline() (time.Time, bool) { return c.caller.Deadline() }
func (c *callContext) Value(key any) any           { return c.caller.Value(key) }
func (c *callContext) Done() <-chan struct{}       { return c.done }

func (c *callContext) Err() error {
	if c.hasEnded() {
		return c.err
	}
	return nil
}

func (c *callContext) hasEnded() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// AfterFunc spares package context a goroutine that waits for Done.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hasEnded() {
		go f()
		return func() bool { return false }
	}
	c.watchers = append(c.watchers, &f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.watchers, &f)
		if i < 0 {
			return false
		}
		c.watchers = slices.Delete(c.watchers, i, i+1)
		return true
	}
}

// end makes the context done, once.
func (c *callContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hasEnded() {
		return
	}
	c.err = err
	close(c.done)
	for _, f := range c.watchers {
		go (*f)()
	}
	c.watchers = nil
}
