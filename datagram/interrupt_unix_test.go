//go:build unix

package datagram

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A deadline is set only for a call that waits, and stays while it comes before those
// of the next calls.
func TestDeadlinesThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := 0
		s := newSide(func(time.Time) error { set++; return nil })
		start := time.Now()
		for _, step := range []struct {
			at, deadline time.Duration // since the start; a deadline of 0 is none
			want         int
		}{
			{0, 0, 0},
			{0, time.Second, 1},
			{100 * time.Millisecond, 2 * time.Second, 1}, // will be woken after a second
			{200 * time.Millisecond, 0, 1},
			{300 * time.Millisecond, 900 * time.Millisecond, 2}, // not late
			{900 * time.Millisecond, 2 * time.Second, 3},        // not at once
			{3 * time.Second, 0, 4},
			{3 * time.Second, 0, 4},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			deadline := start.Add(step.deadline)
			if step.deadline == 0 {
				deadline = time.Time{}
			}
			if s.arm(background, deadline); set != step.want {
				t.Errorf("at %v a deadline of %v: %d were set so far, want %d", step.at, step.deadline, set, step.want)
			}
		}
		s.wake()
		if s.arm(background, start.Add(time.Hour)); set != 6 {
			t.Errorf("after a wake %d were set so far, want 6", set)
		}
	})
}

// What an earlier call left of its deadline ends no later call, and hides no datagram
// from it.
func TestLeftDeadline(t *testing.T) {
	p := pairs["udp4 connected"](t)
	in := inputs(1, 10)
	receive := func(ctx context.Context, timeout time.Duration) error {
		_, err := p.b.ReceiveMessages(ctx, in, MsgNone, timeout)
		return err
	}
	send := func() {
		if _, err := p.a.SendMessages(background, outputs(1, 1), MsgNone, -1); err != nil {
			t.Error(err)
		}
	}
	const short, long = 100 * time.Millisecond, 200 * time.Millisecond
	after(t, short/10, send)
	if err := receive(background, short); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := receive(background, long); !errors.Is(err, ErrTimedOut) || time.Since(begun) < long {
		t.Errorf("%v after %v, not after %v", err, time.Since(begun), long)
	}
	send() // the deadline of the last call is over
	for _, timeout := range []time.Duration{-1, time.Minute} {
		if err := receive(background, timeout); err != nil {
			t.Error(err)
		}
		after(t, short, send)
	}
	if err := receive(background, -1); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(background)
	after(t, short, cancel)
	for range 2 {
		if err := receive(ctx, time.Minute); !errors.Is(err, ErrCancelled) {
			t.Error(err)
		}
	}
	begun = time.Now()
	if err := receive(background, short); !errors.Is(err, ErrTimedOut) || time.Since(begun) < short {
		t.Errorf("%v after %v, not after %v", err, time.Since(begun), short)
	}
}
