package conn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
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
	if i.ctx != nil {
		i.ctx.leave()
		i.ctx = nil
	}
}

// callContext is the context of calls of the base. It ends with the caller's, or by
// its own method end. When the calls are over it can be left without being ended:
// whoever has to cancel a context of package context for that starts a goroutine for
// each that still watches it, such as a socket for its next call. It watches the
// caller's only once it is watched itself, which a call that need not wait never does.
type callContext struct {
	caller context.Context
	ended  atomic.Bool
	err    error // valid when it has ended

	mu       sync.Mutex
	done     chan struct{} // guarded by mu; nil until it is asked for
	watchers []*func()     // guarded by mu; called when the context ends
	unwatch  func() bool   // guarded by mu; ends the watch of the caller's; nil: there is none
}

var _ context.Context = (*callContext)(nil)

func newCallContext(caller context.Context) *callContext { return &callContext{caller: caller} }

func (c *callContext) Deadline() (time.Time, bool) { return c.caller.Deadline() }
func (c *callContext) Value(key any) any           { return c.caller.Value(key) }

func (c *callContext) Err() error {
	if c.ended.Load() {
		return c.err
	}
	return c.caller.Err()
}

func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.ended.Load() {
			close(c.done)
		}
		c.watch()
	}
	return c.done
}

// AfterFunc spares package context a goroutine that waits for Done.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() {
		go f()
		return func() bool { return false }
	}
	c.watchers = append(c.watchers, &f)
	c.watch()
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

// watch makes the context end with the caller's. The mutex is held.
func (c *callContext) watch() {
	if c.unwatch == nil && c.caller.Done() != nil && !c.ended.Load() {
		c.unwatch = context.AfterFunc(c.caller, func() { c.end(c.caller.Err()) })
	}
}

// leave ends the watch of the caller's context.
func (c *callContext) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwatch != nil {
		c.unwatch()
	}
}

// end makes the context done, once.
func (c *callContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() {
		return
	}
	c.err = err
	c.ended.Store(true)
	if c.done != nil {
		close(c.done)
	}
	for _, f := range c.watchers {
		go (*f)()
	}
	c.watchers = nil
}
