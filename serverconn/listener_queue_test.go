package serverconn

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/datagram"
)

func newTestQueue(datagrams, bytes int32, memory int64) *queue {
	return &queue{limits: &queueLimits{datagrams: datagrams, bytes: bytes, memory: memory}}
}

// get receives one message without waiting.
func get(t *testing.T, q *queue, room int) (string, datagram.MsgFlags) {
	t.Helper()
	messages := []datagram.InputMessage{{Vectors: [][]byte{make([]byte, room/2), make([]byte, room-room/2)}}}
	if n, err := q.receive(t.Context(), messages, 0, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	m := messages[0]
	return string(bytes.Join(m.Vectors, nil)[:m.BytesReceived]), m.Flags
}

func TestQueueOrderAndVectors(t *testing.T) {
	q := newTestQueue(10, 1<<20, 1<<20)
	long := string(bytes.Repeat([]byte("x"), smallPacket+1))
	for _, s := range []string{"first", "", long, "cut off"} {
		if !q.push([]byte(s)) {
			t.Fatalf("%.10q is refused", s)
		}
	}
	for _, want := range []string{"first", "", long} {
		if got, flags := get(t, q, largePacket); got != want || flags != 0 {
			t.Errorf("got %.10q, flags %v; want %.10q", got, flags, want)
		}
	}
	if got, flags := get(t, q, 3); got != "cut" || flags != datagram.MsgTrunc {
		t.Errorf("got %q, flags %v", got, flags)
	}
	if _, err := q.receive(t.Context(), make([]datagram.InputMessage, 1), 0, 0); !errors.Is(err, datagram.ErrWouldBlock) {
		t.Errorf("empty: %v", err)
	}
	if used := q.limits.used.Load(); used != 0 || q.bytes != 0 || q.datagrams != 0 {
		t.Errorf("an empty queue takes %d and %d bytes, %d datagrams", used, q.bytes, q.datagrams)
	}
}

func TestQueueBounds(t *testing.T) {
	small, large := make([]byte, 10), make([]byte, smallPacket+1)
	fill := func(q *queue, data []byte) (n int) {
		for n < 1000 && q.push(data) {
			n++
		}
		return n
	}
	if n := fill(newTestQueue(7, 1<<20, 1<<20), small); n != 7 {
		t.Errorf("%d datagrams, at most 7 are allowed", n)
	}
	if n := fill(newTestQueue(1000, 5*smallPacket, 1<<20), small); n != 5 {
		t.Errorf("%d datagrams in memory for 5", n)
	}
	if n := fill(newTestQueue(1000, 2*largePacket, 1<<20), large); n != 2 {
		t.Errorf("%d long datagrams in memory for 2", n)
	}
	// What all queues take together is bounded, but each gets one.
	a := newTestQueue(1000, 1<<20, 4*smallPacket)
	b := &queue{limits: a.limits}
	if n := fill(a, small); n != 4 {
		t.Errorf("%d datagrams in memory for 4", n)
	}
	if n := fill(b, small); n != 1 {
		t.Errorf("another queue got %d datagrams, 1 is due", n)
	}
	get(t, a, 10)
	get(t, a, 10)
	if n := fill(b, small); n != 1 {
		t.Errorf("%d datagrams after two were taken elsewhere, one of which was too many", n)
	}
	a.abandon()
	b.abandon()
	if used := a.limits.used.Load(); used != 0 {
		t.Errorf("abandoned queues take %d bytes", used)
	}
	if a.push(small) {
		t.Error("an abandoned queue takes a datagram")
	}
}

func TestQueueEnds(t *testing.T) {
	messages := []datagram.InputMessage{{Vectors: [][]byte{make([]byte, 10)}}}
	q := newTestQueue(10, 1<<20, 1<<20)
	q.push([]byte("last"))
	q.end(nil)
	if got, _ := get(t, q, 10); got != "last" {
		t.Errorf("before the end: %q", got)
	}
	if n, err := q.receive(t.Context(), messages, 0, -1); n != 0 || err != nil {
		t.Errorf("the end: %d, %v", n, err)
	}
	q.end(datagram.ErrFailed)
	if n, err := q.receive(t.Context(), messages, 0, -1); n != 0 || err != nil {
		t.Errorf("a second end: %d, %v", n, err)
	}
	q.abandon()
	if _, err := q.receive(t.Context(), messages, 0, -1); !errors.Is(err, datagram.ErrClosed) {
		t.Errorf("abandoned: %v", err)
	}
}

// The three meanings of a timeout, cancellation, and what MsgWaitForOne changes.
func TestQueueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(10, 1<<20, 1<<20)
		messages := make([]datagram.InputMessage, 3)
		start := time.Now()
		if _, err := q.receive(t.Context(), messages, 0, time.Second); !errors.Is(err, datagram.ErrTimedOut) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := q.receive(ctx, messages, 0, -1); !errors.Is(err, datagram.ErrCancelled) {
			t.Error(err)
		}
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				q.push([]byte("x"))
			}
		}()
		start = time.Now()
		if n, err := q.receive(t.Context(), messages, datagram.MsgWaitForOne, -1); n != 1 || err != nil || time.Since(start) != time.Second {
			t.Errorf("waiting for one: %d, %v after %v", n, err, time.Since(start))
		}
		if n, err := q.receive(t.Context(), messages, 0, time.Minute); n != 2 || err != nil || time.Since(start) != time.Minute+time.Second {
			t.Errorf("waiting for all: %d, %v after %v", n, err, time.Since(start))
		}
		// Two readers: what comes wakes both, one gets it, the other at the end nothing.
		results := make(chan int, 2)
		for range 2 {
			go func() {
				n, _ := q.receive(context.Background(), make([]datagram.InputMessage, 1), 0, -1)
				results <- n
			}()
		}
		synctest.Wait()
		q.push([]byte("x"))
		synctest.Wait()
		q.end(nil)
		if a, b := <-results, <-results; a+b != 1 {
			t.Errorf("two readers got %d and %d", a, b)
		}
		if len(q.waiting) != 0 {
			t.Errorf("%d still wait", len(q.waiting))
		}
	})
}

// The conditions of a peer are those of its queue and of the listener's base.
func TestPeerConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const in, out = datagram.In, datagram.Out
		base, other := datagram.NewPipe(datagram.WithQueue(1))
		defer other.Close()
		p := &peer{listener: &DtlsListener{base: base}}
		p.queue.limits = newTestQueue(10, 1<<20, 1<<20).limits
		want := func(asked, want datagram.IOCondition) {
			t.Helper()
			if got := p.ConditionCheck(asked); got != want {
				t.Errorf("asked for %v: %v, want %v", asked, got, want)
			}
		}
		want(in|out, out)
		want(in, 0)
		if err := p.ConditionWait(t.Context(), in, time.Second); !errors.Is(err, datagram.ErrTimedOut) {
			t.Error(err)
		}
		if err := p.ConditionWait(t.Context(), in|out, 0); err != nil {
			t.Error(err)
		}
		fill := []datagram.OutputMessage{{Vectors: [][]byte{{1}}}}
		if n, err := p.SendMessages(t.Context(), fill, 0, 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		want(in|out, 0)
		if _, err := p.SendMessages(t.Context(), fill, 0, 0); !errors.Is(err, datagram.ErrWouldBlock) {
			t.Errorf("the base is full: %v", err)
		}
		if _, err := p.SendMessages(t.Context(), fill, 0, time.Second); !errors.Is(err, datagram.ErrTimedOut) {
			t.Errorf("the base stays full: %v", err)
		}
		waits := func(asked datagram.IOCondition, cause func()) {
			t.Helper()
			start := time.Now()
			go func() {
				time.Sleep(time.Second)
				cause()
			}()
			if err := p.ConditionWait(t.Context(), asked, time.Minute); err != nil || time.Since(start) != time.Second {
				t.Errorf("waited %v for %v: %v", time.Since(start), asked, err)
			}
		}
		drain := func() { _, _, _ = datagram.ReceiveOne(t.Context(), other, make([]byte, 10), 0) }
		waits(in|out, drain)
		want(in|out, out)
		_, _ = p.SendMessages(t.Context(), fill, 0, 0)
		waits(out, drain)
		_, _ = p.SendMessages(t.Context(), fill, 0, 0)
		waits(in|out, func() { p.queue.push([]byte("x")) })
		want(in|out, in)
		go func() {
			time.Sleep(time.Second)
			drain()
		}()
		if n, err := p.SendMessages(t.Context(), []datagram.OutputMessage{fill[0], fill[0]}, 0, time.Second+1); n != 1 || err != nil {
			t.Errorf("room for one of two: %d, %v", n, err)
		}
		p.supersede()
		if _, err := p.SendMessages(t.Context(), fill, 0, -1); !errors.Is(err, datagram.ErrConnectionClosed) {
			t.Errorf("superseded: %v", err)
		}
		base.Close()
		want(in|out, datagram.Hup)
	})
}
