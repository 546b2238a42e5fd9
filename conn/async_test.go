package conn

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/datagram"
)

// ready is what an [AsyncReadyCallback] was called with.
type ready struct {
	source any
	result *AsyncResult
}

func TestAsyncResult(t *testing.T) {
	called := make(chan ready, 1)
	r := startAsync(t.Context(), "object", "op", 0, func(source any, result *AsyncResult) { called <- ready{source, result} },
		func() (int, error) { return 7, context.Canceled })
	for range 2 { // as often as it is asked
		if n, err := finishAsync[int](r, "op"); n != 7 || err != context.Canceled {
			t.Errorf("outcome is %d, %v", n, err)
		}
	}
	<-r.Done()
	if got := <-called; got.source != "object" || got.result != r || r.Source() != "object" {
		t.Errorf("callback was given %v", got)
	}
	if _, err := finishAsync[int](r, "another"); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Errorf("finished by another function: %v", err)
	}
	if _, err := finishAsync[int](nil, "op"); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Errorf("no result: %v", err)
	}
	if n, err := finishAsync[int](startAsync(t.Context(), nil, "op", 0, nil, func() (int, error) { return 8, nil }), "op"); n != 8 || err != nil {
		t.Errorf("without callback: %d, %v", n, err)
	}
}

// Ten calls begin at once; the others in the order of their priority, then of their
// call, when one ends or has had its time.
func TestAsyncPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q asyncQueue
		var mu sync.Mutex
		var began []string
		add := func(name string, priority int, ctx context.Context, end <-chan struct{}) {
			q.begin(ctx, &asyncCall{priority: priority, run: func() {
				mu.Lock()
				began = append(began, name)
				mu.Unlock()
				if end != nil && ctx.Err() == nil {
					<-end
				}
			}, then: func() {}})
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(began, want) {
				t.Errorf("began %v, want %v", began, want)
			}
			began = nil
		}
		background := context.Background()
		end, slow := make(chan struct{}), make(chan struct{})
		for range asyncSlots {
			add("first", PriorityLow, background, end)
		}
		expect(slices.Repeat([]string{"first"}, asyncSlots)...)
		ctx, cancel := context.WithCancel(background)
		add("low", PriorityLow, background, slow)
		add("default", PriorityDefault, background, slow)
		add("cancelled", PriorityHigh, ctx, slow)
		add("high", PriorityHigh, background, slow)
		add("default again", PriorityDefault, background, slow)
		expect()
		cancel()
		expect("cancelled")
		end <- struct{}{}
		expect("high")
		end <- struct{}{}
		expect("default")
		time.Sleep(asyncGrace) // the rest of the first have had their time, and count no more
		synctest.Wait()
		mu.Lock()
		slices.Sort(began) // began at once
		mu.Unlock()
		expect("default again", "low")
		close(end)
		close(slow)
		synctest.Wait()
		if q.busy != 0 || len(q.waiting) != 0 {
			t.Errorf("at the end %d count, %d wait", q.busy, len(q.waiting))
		}
	})
}
