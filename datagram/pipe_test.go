package datagram

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func outputs(n, size int) []OutputMessage {
	messages := make([]OutputMessage, n)
	for i := range messages {
		messages[i].Vectors = [][]byte{bytes.Repeat([]byte{byte(i)}, size)}
	}
	return messages
}

// A full pipe sends what fits (G021-G025).
func TestPipeFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewPipe(WithQueue(3))
		defer a.Close()
		defer b.Close()
		if n, err := a.SendMessages(t.Context(), outputs(5, 1), MsgNone, 0); n != 3 || err != nil {
			t.Fatal("0:", n, err)
		}
		if n, err := a.SendMessages(t.Context(), outputs(2, 1), MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
			t.Fatal("0, full:", n, err)
		}
		if now := a.ConditionCheck(Out); now != 0 {
			t.Error("full:", now)
		}
		start := time.Now()
		if n, err := a.SendMessages(t.Context(), outputs(2, 1), MsgNone, time.Second); n != 0 || !errors.Is(err, ErrTimedOut) || time.Since(start) != time.Second {
			t.Fatal("1 s, full:", n, err)
		}
		go func() {
			time.Sleep(time.Second)
			ReceiveOne(t.Context(), b, nil, 0)
		}()
		if n, err := a.SendMessages(t.Context(), outputs(2, 1), MsgNone, 2*time.Second); n != 1 || err != nil || time.Since(start) != 3*time.Second {
			t.Fatal("2 s, room for one:", n, err)
		}
		go func() {
			time.Sleep(time.Second)
			if n, err := b.ReceiveMessages(t.Context(), inputs(7, 1), MsgNone, -1); n != 7 || err != nil {
				t.Error(n, err)
			}
		}()
		if err := a.ConditionWait(t.Context(), Out, -1); err != nil || time.Since(start) != 4*time.Second {
			t.Error("wait for room:", err)
		}
		if n, err := a.SendMessages(t.Context(), outputs(4, 1), MsgNone, -1); n != 4 || err != nil {
			t.Fatal("-1:", n, err)
		}
		synctest.Wait()
	})
}

// A sender that waits for room is told when either end closes.
func TestPipeCloseWakesSender(t *testing.T) {
	for _, local := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a, b := NewPipe(WithQueue(1))
			defer a.Close()
			defer b.Close()
			if n, err := a.SendMessages(t.Context(), outputs(2, 1), MsgNone, 0); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			closing, want := b, ErrConnectionRefused
			if local {
				closing, want = a, ErrClosed
			}
			go func() {
				time.Sleep(time.Second)
				closing.Close()
			}()
			if n, err := a.SendMessages(t.Context(), outputs(1, 1), MsgNone, -1); n != 0 || !errors.Is(err, want) {
				t.Error(n, err)
			}
		})
	}
}

// At most 1024 messages move in a call (G017, G024).
func TestMessageLimit(t *testing.T) {
	a, b := NewPipe(WithQueue(2000))
	defer a.Close()
	defer b.Close()
	if n, err := a.SendMessages(t.Context(), outputs(1500, 1), MsgNone, -1); n != MaxMessages || err != nil {
		t.Fatal(n, err)
	}
	if n, err := a.SendMessages(t.Context(), outputs(476, 1), MsgNone, -1); n != 476 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := b.ReceiveMessages(t.Context(), inputs(1500, 1), MsgNone, -1); n != MaxMessages || err != nil {
		t.Fatal(n, err)
	}
}

func TestPipeMaxDatagram(t *testing.T) {
	a, b := NewPipe(WithMaxDatagram(100))
	defer a.Close()
	defer b.Close()
	if n, err := a.SendMessages(t.Context(), outputs(1, 101), MsgNone, -1); n != 0 || !errors.Is(err, ErrMessageTooLarge) {
		t.Error(n, err)
	}
	if n, err := a.SendMessages(t.Context(), outputs(1, 100), MsgNone, -1); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// Against a plain slice: whatever is sent and received in whatever portions,
// a pipe keeps order, boundaries and contents, and its bound.
func TestPipeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		a, b := NewPipe(WithQueue(limit))
		defer a.Close()
		defer b.Close()
		var model [][]byte
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "send") {
				data := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 3000), 1, 5).Draw(t, "data")
				out := make([]OutputMessage, len(data))
				for i := range data {
					cut := rapid.IntRange(0, len(data[i])).Draw(t, "cut")
					out[i].Vectors = [][]byte{data[i][:cut], data[i][cut:]}
				}
				n, err := a.SendMessages(background, out, MsgNone, 0)
				if want := min(len(data), limit-len(model)); n != want || (err == nil) != (want > 0) {
					t.Fatal("send", n, err)
				}
				model = append(model, data[:n]...)
				continue
			}
			size := rapid.IntRange(0, 3000).Draw(t, "size")
			in := inputs(rapid.IntRange(1, 5).Draw(t, "count"), size)
			n, err := b.ReceiveMessages(background, in, MsgNone, 0)
			if want := min(len(in), len(model)); n != want || (err == nil) != (want > 0) {
				t.Fatal("receive", n, err)
			}
			for i, message := range in[:n] {
				want := model[i]
				if text(message) != string(want[:min(len(want), size)]) || (message.Flags&MsgTrunc != 0) != (len(want) > size) {
					t.Fatal("message", i)
				}
			}
			model = slices.Delete(model, 0, n)
		}
	})
}
