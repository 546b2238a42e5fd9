package datagram

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// The vectors of a message are gathered into one datagram and scattered from
// it, in order (G008, G042-G045).
func TestVectors(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		out := []OutputMessage{
			{Address: p.toB, Vectors: [][]byte{[]byte("ab"), nil, []byte("cde"), {}, []byte("f")}},
			{Address: p.toB, Vectors: [][]byte{[]byte("second")}},
		}
		if n, err := p.a.SendMessages(t.Context(), out, MsgNone, -1); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if out[0].BytesSent != 6 || out[1].BytesSent != 6 {
			t.Errorf("bytes sent %d and %d", out[0].BytesSent, out[1].BytesSent)
		}
		in := inputs(2, 100)
		in[0].Vectors = [][]byte{make([]byte, 1), {}, make([]byte, 4), nil, make([]byte, 100)}
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 5*time.Second); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if text(in[0]) != "abcdef" || text(in[1]) != "second" || in[0].Flags&MsgTrunc != 0 {
			t.Errorf("got %q and %q, flags %#x", text(in[0]), text(in[1]), in[0].Flags)
		}
		if in[0].Address.IsValid() != p.from {
			t.Errorf("sender %v", in[0].Address)
		}
	})
}

// The sender's address is one to answer to (G043).
func TestAnswer(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		p.send(t, "question")
		buf := make([]byte, 100)
		_, from, err := ReceiveOne(t.Context(), p.b, buf, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if !p.toA.IsValid() {
			from = Address{}
		} else if from != p.toA {
			t.Errorf("the sender is %v, it should be %v", from, p.toA)
		}
		if err := SendOne(t.Context(), p.b, []byte("answer"), from, time.Second); err != nil {
			t.Fatal(err)
		}
		if n, _, err := ReceiveOne(t.Context(), p.a, buf, 5*time.Second); err != nil || string(buf[:n]) != "answer" {
			t.Error(string(buf[:n]), err)
		}
	})
}

// An empty datagram is a message, from no vectors as from empty ones.
func TestEmptyDatagram(t *testing.T) {
	for name, makePair := range pairs {
		if name == "unixpacket" {
			continue // there it cannot be told from the end
		}
		t.Run(name, func(t *testing.T) {
			p := makePair(t)
			out := []OutputMessage{{Address: p.toB}, {Address: p.toB, Vectors: [][]byte{{}}}, {Address: p.toB, Vectors: [][]byte{[]byte("x")}}}
			if n, err := p.a.SendMessages(t.Context(), out, MsgNone, -1); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			in := inputs(3, 10)
			in[0].BytesReceived = 7
			if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 5*time.Second); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			if in[0].BytesReceived != 0 || in[1].BytesReceived != 0 || text(in[2]) != "x" {
				t.Errorf("got %d, %d, %q", in[0].BytesReceived, in[1].BytesReceived, text(in[2]))
			}
		})
	}
}

// A datagram longer than the vectors fills them and is marked; the next one is
// not touched by it (G043).
func TestTruncation(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		p.send(t, "0123456789", "abc", "none")
		in := inputs(3, 4)
		in[2].Vectors = nil
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 5*time.Second); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		for i, want := range []struct {
			text string
			cut  bool
		}{{"0123", true}, {"abc", false}, {"", true}} {
			if cut := in[i].Flags&MsgTrunc != 0; text(in[i]) != want.text || cut != want.cut {
				t.Errorf("message %d is %q, cut %v", i, text(in[i]), cut)
			}
		}
	})
}

// Large datagrams arrive whole.
func TestLargeDatagram(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		want := bytes.Repeat([]byte("large "), 9000)
		if err := SendOne(t.Context(), p.a, want, p.toB, -1); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, MaxDatagram)
		n, _, err := ReceiveOne(t.Context(), p.b, buf, 5*time.Second)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%d bytes of %d, %v", n, len(want), err)
		}
	})
}

// With timeout 0 a call takes what is there and never waits (G003, G011, G022).
func TestPolling(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		in := inputs(5, 10)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
			t.Fatal(n, err)
		}
		p.send(t, "1", "2", "3")
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		out := []OutputMessage{{Address: p.toB, Vectors: [][]byte{[]byte("4")}}}
		if n, err := p.a.SendMessages(t.Context(), out, MsgNone, 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(p.settle)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 1 || text(in[0]) != "4" || err != nil {
			t.Fatal(n, err)
		}
	})
}

// A positive timeout is for the whole call; when it runs out, what has come is
// returned, and TIMED_OUT only if nothing has (G004, G012, G039). A later call
// is not touched by it.
func TestTimeout(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		const limit = 60 * time.Millisecond
		in := inputs(3, 10)
		start := time.Now()
		n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, limit)
		if n != 0 || !errors.Is(err, ErrTimedOut) {
			t.Fatal(n, err)
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
			t.Errorf("%v is no net.Error of a timeout", err)
		}
		if took := time.Since(start); took < limit || took > 20*limit {
			t.Errorf("%v took %v", limit, took)
		}
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
			t.Error("a poll after the timeout:", n, err)
		}
		p.send(t, "one")
		after(t, limit/2, func() { p.send(t, "two") })
		start = time.Now()
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 5*limit); n != 2 || err != nil {
			t.Error("progress:", n, err)
		}
		if took := time.Since(start); took < 5*limit || took > 50*limit {
			t.Errorf("%v took %v", 5*limit, took)
		}
		after(t, limit/2, func() { p.send(t, "three") })
		if n, err := p.b.ReceiveMessages(t.Context(), in[:1], MsgNone, -1); n != 1 || err != nil {
			t.Error("no limit after a limit:", n, err)
		}
	})
}

// Without limit a call waits for all of the messages (G010), with
// MsgWaitForOne for the first, and then it takes what else is there.
func TestWaitForAllOrOne(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		after(t, 20*time.Millisecond, func() {
			p.send(t, "1")
			time.Sleep(20 * time.Millisecond)
			p.send(t, "2", "3")
		})
		in := inputs(3, 10)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		p.send(t, "4", "5")
		in = inputs(5, 10)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgWaitForOne, -1); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		after(t, 20*time.Millisecond, func() { p.send(t, "6") })
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgWaitForOne, 5*time.Second); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// A context that is done gives CANCELLED, before or while the call waits, with
// the context's error and cause inside (G014). Nothing is lost by it.
func TestCancellation(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		reason := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(t.Context())
		after(t, 20*time.Millisecond, func() { cancel(reason) })
		in := inputs(2, 10)
		n, err := p.b.ReceiveMessages(ctx, in, MsgNone, -1)
		if n != 0 || !errors.Is(err, ErrCancelled) || !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
			t.Fatal(n, err)
		}
		p.send(t, "kept")
		if n, err := p.b.ReceiveMessages(ctx, in, MsgNone, -1); n != 0 || !errors.Is(err, ErrCancelled) {
			t.Error("done before the call:", n, err)
		}
		if n, err := p.b.ReceiveMessages(ctx, in, MsgNone, 0); n != 0 || !errors.Is(err, ErrCancelled) {
			t.Error("done before a poll:", n, err)
		}
		if n, err := p.a.SendMessages(ctx, []OutputMessage{{Address: p.toB}}, MsgNone, -1); n != 0 || !errors.Is(err, ErrCancelled) {
			t.Error("send:", n, err)
		}
		if n, err := p.b.ReceiveMessages(ctx, nil, MsgNone, 0); n != 0 || !errors.Is(err, ErrCancelled) {
			t.Error("cancelled comes before no messages (G040):", n, err)
		}

		// A call that has one of two returns that one.
		limited, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer stop()
		if n, err := p.b.ReceiveMessages(limited, in, MsgNone, -1); n != 1 || err != nil || text(in[0]) != "kept" {
			t.Fatal(n, err)
		}
		limited, stop = context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		n, err = p.b.ReceiveMessages(limited, in, MsgNone, -1)
		if n != 0 || !errors.Is(err, ErrCancelled) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimedOut) {
			t.Fatal(n, err)
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
			t.Errorf("%v is no net.Error of a timeout", err)
		}

		// One that was done earlier does not hurt a later call.
		after(t, 20*time.Millisecond, func() { p.send(t, "later") })
		if n, err := p.b.ReceiveMessages(background, in[:1], MsgNone, -1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// A context of an earlier call that is done while a later call waits is none of
// the later one's business.
func TestForeignCancellation(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		in := inputs(1, 10)
		old, cancel := context.WithCancel(t.Context())
		p.send(t, "1")
		if _, err := p.b.ReceiveMessages(old, in, MsgNone, -1); err != nil {
			t.Fatal(err)
		}
		after(t, 20*time.Millisecond, cancel)
		after(t, 40*time.Millisecond, func() { p.send(t, "2") })
		if n, err := p.b.ReceiveMessages(background, in, MsgNone, -1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := p.b.ReceiveMessages(background, in, MsgNone, 20*time.Millisecond); n != 0 || !errors.Is(err, ErrTimedOut) {
			t.Fatal(n, err)
		}
	})
}

// No messages is legal and does nothing, after the checks (G019, G040).
func TestNoMessages(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		for _, timeout := range []time.Duration{-1, 0, time.Second} {
			if n, err := p.b.ReceiveMessages(t.Context(), nil, MsgNone, timeout); n != 0 || err != nil {
				t.Error("receive:", n, err)
			}
			if n, err := p.b.SendMessages(t.Context(), nil, MsgNone, timeout); n != 0 || err != nil {
				t.Error("send:", n, err)
			}
		}
	})
}

// After a local close every call gives CLOSED, whatever its messages and its
// context (G016, G024, G040), Hup is all that is true (G032-G035), and closing
// again is no error.
func TestLocalClose(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		p.send(t, "unread")
		if err := p.closeB(); err != nil {
			t.Fatal(err)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for _, messages := range [][]InputMessage{inputs(1, 10), nil} {
			for _, timeout := range []time.Duration{-1, 0, time.Second} {
				n, err := p.b.ReceiveMessages(done, messages, MsgNone, timeout)
				if n != 0 || !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
					t.Error("receive:", n, err)
				}
			}
		}
		for _, timeout := range []time.Duration{-1, 0, time.Second} {
			if n, err := p.b.SendMessages(t.Context(), []OutputMessage{{Address: p.toA}}, MsgNone, timeout); n != 0 || !errors.Is(err, ErrClosed) {
				t.Error("send:", n, err)
			}
		}
		if now := p.b.ConditionCheck(In | Out); now != Hup {
			t.Error("conditions", now)
		}
		if err := p.b.ConditionWait(t.Context(), In, -1); err != nil {
			t.Error("wait:", err)
		}
		if err := p.closeB(); err != nil {
			t.Error("second close:", err)
		}
	})
}

// Close ends the calls that wait.
func TestCloseWakes(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				if n, err := p.b.ReceiveMessages(background, inputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrClosed) {
					t.Error("receive:", n, err)
				}
			})
			calls.Go(func() {
				if err := p.b.ConditionWait(background, In, -1); err != nil {
					t.Error("wait:", err)
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		if err := p.closeB(); err != nil {
			t.Error(err)
		}
		calls.Wait()
	})
}

// After the peer has closed, what is queued still arrives, then every receive
// gives 0 and no error, and In is true (G015, G032).
func TestPeerCloses(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		if !p.end {
			t.Skip("this transport does not tell")
		}
		p.send(t, "1", "2")
		if err := p.closeA(); err != nil {
			t.Fatal(err)
		}
		in := inputs(5, 10)
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		for _, timeout := range []time.Duration{-1, 0, time.Second} {
			if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, timeout); n != 0 || err != nil {
				t.Error(n, err)
			}
		}
		if now := p.b.ConditionCheck(In); now != In {
			t.Error("conditions", now)
		}
		if n, err := p.b.SendMessages(t.Context(), []OutputMessage{{Vectors: [][]byte{[]byte("x")}}}, MsgNone, time.Second); n != 0 || err == nil {
			t.Error("send to the closed peer:", n, err)
		}
	})
}

// Peeking leaves the message where it is, and looks at one at a time (G018).
func TestPeek(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		p.send(t, "1", "2")
		in := inputs(3, 10)
		for _, timeout := range []time.Duration{0, time.Second, -1} {
			if n, err := p.b.ReceiveMessages(t.Context(), in, MsgPeek, timeout); n != 1 || err != nil || text(in[0]) != "1" {
				t.Fatal(n, err)
			}
		}
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// ConditionCheck never blocks and tells the truth (G031-G033, G035).
func TestConditionCheck(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		if now := p.b.ConditionCheck(In | Out); now != Out {
			t.Error("idle:", now)
		}
		if now := p.b.ConditionCheck(In); now != 0 {
			t.Error("idle, In:", now)
		}
		p.send(t, "x")
		if now := p.b.ConditionCheck(In | Out); now != In|Out {
			t.Error("with a message:", now)
		}
		if now := p.b.ConditionCheck(0); now != 0 {
			t.Error("nothing asked for:", now)
		}
	})
}

// ConditionWait returns nil, TIMED_OUT or CANCELLED (G036, G037).
func TestConditionWait(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		if err := p.b.ConditionWait(t.Context(), Out, 0); err != nil {
			t.Error("Out:", err)
		}
		if err := p.b.ConditionWait(t.Context(), In|Out, -1); err != nil {
			t.Error("In or Out:", err)
		}
		if err := p.b.ConditionWait(t.Context(), In, 0); !errors.Is(err, ErrTimedOut) {
			t.Error("In, without waiting:", err)
		}
		start := time.Now()
		if err := p.b.ConditionWait(t.Context(), In, 30*time.Millisecond); !errors.Is(err, ErrTimedOut) || time.Since(start) < 30*time.Millisecond {
			t.Error("In, 30 ms:", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		after(t, 20*time.Millisecond, cancel)
		if err := p.b.ConditionWait(ctx, In, -1); !errors.Is(err, ErrCancelled) {
			t.Error("cancelled:", err)
		}
		if err := p.b.ConditionWait(ctx, Out, -1); !errors.Is(err, ErrCancelled) {
			t.Error("cancelled before:", err)
		}
		after(t, 20*time.Millisecond, func() { p.send(t, "x") })
		if err := p.b.ConditionWait(t.Context(), In, -1); err != nil {
			t.Error("In:", err)
		}
		if n, err := p.b.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, time.Second); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

// A call that polls is not held up by one that waits for a condition, nor by a
// receive that blocks.
func TestPollBesideWaiting(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := p.b.ConditionWait(ctx, In, -1); !errors.Is(err, ErrCancelled) {
				t.Error("wait:", err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		if n, err := p.b.ReceiveMessages(ctx, inputs(1, 10), MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
			t.Error("poll:", n, err)
		}
		calls.Go(func() {
			if n, err := p.b.ReceiveMessages(ctx, inputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrCancelled) {
				t.Error("receive:", n, err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		if n, err := p.b.ReceiveMessages(ctx, inputs(1, 10), MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
			t.Error("poll:", n, err)
		}
		if n, err := p.b.ReceiveMessages(ctx, inputs(1, 10), MsgNone, 20*time.Millisecond); n != 0 || !errors.Is(err, ErrTimedOut) {
			t.Error("second receive:", n, err)
		}
		cancel()
		calls.Wait()
	})
}

// A reader and a writer at each end work at the same time, and several of each
// share the work; nothing is lost or doubled on a transport that loses nothing.
func TestConcurrency(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		const workers, each = 3, 60
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var (
			mu   sync.Mutex
			seen = map[string]int{}
			busy sync.WaitGroup
		)
		room := make(chan struct{}, 8) // keeps a socket's buffer from overflowing
		for w := range workers {
			busy.Go(func() {
				for i := range each {
					room <- struct{}{}
					text := fmt.Sprintf("%d/%d", w, i)
					if err := SendOne(ctx, p.a, []byte(text), p.toB, -1); err != nil {
						t.Error(err)
						return
					}
				}
			})
			busy.Go(func() {
				for range each {
					in := inputs(1, 50)
					if n, err := p.b.ReceiveMessages(ctx, in, MsgNone, -1); n != 1 || err != nil {
						t.Error(n, err)
						return
					}
					<-room
					mu.Lock()
					seen[text(in[0])]++
					mu.Unlock()
				}
			})
		}
		busy.Go(func() { // the other direction meanwhile
			for range each {
				if err := SendOne(ctx, p.b, []byte("back"), p.toA, -1); err != nil {
					t.Error(err)
				}
				if _, _, err := ReceiveOne(ctx, p.a, make([]byte, 10), -1); err != nil {
					t.Error(err)
				}
			}
		})
		busy.Wait()
		if len(seen) != workers*each {
			t.Errorf("%d different messages of %d", len(seen), workers*each)
		}
	})
}

// Flags that nothing here can honour give an error, not silence (G018, G046).
func TestUnknownFlags(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		if strings.Contains(t.Name(), "/udp6") || strings.HasSuffix(t.Name(), "/dual_stack") {
			t.Skip("the system decides, and Linux lets it pass with IPv6")
		}
		n, err := p.b.SendMessages(t.Context(), []OutputMessage{{Address: p.toA, Vectors: [][]byte{[]byte("x")}}}, MsgOOB, 0)
		if n != 0 || !errors.Is(err, ErrNotSupported) {
			t.Error(n, err)
		}
	})
}

// A message longer than the transport takes fails with MESSAGE_TOO_LARGE.
func TestTooLarge(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		if strings.HasPrefix(t.Name(), "TestTooLarge/unix") {
			t.Skip("a Unix socket takes more")
		}
		huge := make([]byte, MaxDatagram+1)
		out := []OutputMessage{{Address: p.toB, Vectors: [][]byte{huge}}}
		for _, timeout := range []time.Duration{0, -1} {
			if n, err := p.a.SendMessages(t.Context(), out, MsgNone, timeout); n != 0 || !errors.Is(err, ErrMessageTooLarge) {
				t.Error(n, err)
			}
		}
		// Behind one that was sent, the error waits for the next call (G024).
		out = []OutputMessage{{Address: p.toB, Vectors: [][]byte{[]byte("fits")}}, out[0]}
		if n, err := p.a.SendMessages(t.Context(), out, MsgNone, -1); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}
