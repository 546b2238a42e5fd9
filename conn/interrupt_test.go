package conn

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// watched is a context of an interrupt whose end is counted, by itself, by a context
// that was derived from it and by one who asks it directly.
type watched struct {
	context.Context
	ended atomic.Int32
}

func watch(ctx context.Context) *watched {
	w := &watched{Context: ctx}
	count := func() { w.ended.Add(1) }
	context.AfterFunc(ctx, count)
	child, cancel := context.WithCancel(ctx)
	context.AfterFunc(child, count)
	context.AfterFunc(child, cancel)
	ctx.(*callContext).AfterFunc(count)
	return w
}

func (w *watched) expect(t *testing.T, ended int32, err error) {
	t.Helper()
	synctest.Wait()
	if n := w.ended.Load(); n != ended || w.Err() != err {
		t.Errorf("%d of 3 watchers were called, and the error is %v: want %d, %v", n, w.Err(), ended, err)
	}
}

func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		name   string
		caller func(*testing.T) (context.Context, context.CancelFunc)
	}{
		{"background", func(*testing.T) (context.Context, context.CancelFunc) { return context.Background(), nil }},
		{"cancellable", func(t *testing.T) (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }},
		{"nested", func(t *testing.T) (context.Context, context.CancelFunc) {
			outer, cancel := context.WithCancel(t.Context())
			return newCallContext(outer), cancel
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller, cancel := test.caller(t)
				var i interrupt
				first := watch(i.with(caller))
				if i.with(caller) != first.Context {
					t.Error("another context for the same caller")
				}
				first.expect(t, 0, nil)
				i.stop()
				first.expect(t, 3, context.Canceled)
				i.stop()

				second := watch(i.with(caller))
				i.forget()
				third := watch(i.with(caller))
				if cancel == nil {
					return
				}
				cancel()
				second.expect(t, 0, context.Canceled)
				select {
				case <-second.Done():
					t.Error("what was let go of has ended")
				default:
				}
				third.expect(t, 3, context.Canceled)
				late := watch(third.Context)
				late.expect(t, 3, context.Canceled)
				watch(i.with(caller)).expect(t, 3, context.Canceled)
			})
		})
	}
}

func TestInterruptStopsWatching(t *testing.T) {
	var i interrupt
	c := i.with(context.Background()).(*callContext)
	called := 0
	for range 3 {
		if stop := context.AfterFunc(c, func() { called++ }); !stop() || stop() {
			t.Error("a watcher cannot be stopped once")
		}
	}
	if len(c.watchers) != 0 {
		t.Errorf("%d watchers are kept", len(c.watchers))
	}
	i.stop()
	if stop := context.AfterFunc(c, func() {}); stop() {
		t.Error("who came too late could stop")
	}
}

func TestInterruptKeepsValues(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), 1<<40)
	defer cancel()
	var i interrupt
	c := i.with(ctx)
	defer i.forget()
	at, ok := c.Deadline()
	if want, _ := ctx.Deadline(); at != want || !ok || c.Value(key{}) != "v" {
		t.Errorf("deadline %v, value %v", at, c.Value(key{}))
	}
}
