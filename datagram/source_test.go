package datagram

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A source calls back while its condition holds, until it is told to stop
// (G026, G030).
func TestSourceCallback(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		source := p.b.CreateSource(t.Context(), In)
		defer source.Destroy()
		got := make(chan string, 10)
		source.Attach(func(obj DatagramBased, condition IOCondition) bool {
			if obj != p.b || condition&In == 0 {
				t.Errorf("called for %v", condition)
			}
			for {
				buf := make([]byte, 10)
				n, _, err := ReceiveOne(background, obj, buf, 0)
				if errors.Is(err, ErrWouldBlock) {
					return SourceContinue
				}
				if err != nil {
					t.Error(err)
					return SourceRemove
				}
				got <- string(buf[:n])
				if string(buf[:n]) == "end" {
					close(got)
					return SourceRemove
				}
			}
		})
		for _, text := range []string{"1", "2", "end"} {
			p.send(t, text)
			if s := <-got; s != text {
				t.Fatalf("got %q, want %q", s, text)
			}
		}
		p.send(t, "after the end")
		if s, open := <-got; open {
			t.Errorf("got %q after SourceRemove", s)
		}
	})
}

// C is the same as a channel, and reports Hup unasked and once (G028).
func TestSourceChannel(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		source := p.b.CreateSource(t.Context(), In)
		p.send(t, "1")
		if condition := <-source.C(); condition != In {
			t.Error(condition)
		}
		if n, err := p.b.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, time.Second); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		p.closeB()
		last := IOCondition(0)
		for condition := range source.C() {
			last = condition
		}
		if last != Hup {
			t.Errorf("the last condition was %v", last)
		}
	})
}

// When its context is done a source triggers once, with what is true then
// (G029).
func TestSourceCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewPipe()
		defer a.Close()
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		source := b.CreateSource(ctx, In)
		calls := 0
		source.Attach(func(_ DatagramBased, condition IOCondition) bool {
			calls++
			if condition != 0 || ctx.Err() == nil {
				t.Errorf("called for %v", condition)
			}
			return SourceContinue
		})
		c := b.CreateSource(ctx, In).C()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
		if condition, open := <-c; !open || condition != 0 {
			t.Errorf("%v, open %v", condition, open)
		}
		if _, open := <-c; open {
			t.Error("the channel is still open")
		}
	})
}

// A destroyed source does not call.
func TestSourceDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewPipe()
		defer a.Close()
		defer b.Close()
		source := b.CreateSource(t.Context(), In)
		calls := 0
		source.Attach(func(DatagramBased, IOCondition) bool { calls++; return SourceContinue })
		synctest.Wait()
		source.Destroy()
		source.Destroy()
		synctest.Wait()
		a.SendMessages(t.Context(), outputs(1, 1), MsgNone, 0)
		synctest.Wait()
		if calls != 0 {
			t.Errorf("%d calls", calls)
		}
		if _, open := <-source.C(); open {
			t.Error("a channel of a destroyed source delivers")
		}
	})
}

// unwatchable is an object whose condition cannot be waited for.
type unwatchable struct{ DatagramBased }

func (unwatchable) ConditionWait(context.Context, IOCondition, time.Duration) error {
	return ErrFailed
}

// An object that cannot be watched is reported once, as Err.
func TestSourceUnwatchable(t *testing.T) {
	a, b := NewPipe()
	defer a.Close()
	defer b.Close()
	var got []IOCondition
	for condition := range NewSource(unwatchable{a}, t.Context(), In).C() {
		got = append(got, condition)
	}
	if len(got) != 1 || got[0] != Err {
		t.Errorf("got %v", got)
	}
}

// However many sources there are, while nothing happens a pipe has no goroutine for
// them and a socket one; and each is triggered when something does.
func TestSourceGoroutines(t *testing.T) {
	for name, most := range map[string]int{"pipe": 0, "udp4": 1, "udp4 connected": 1, "impaired pipe": 1, "impaired udp4": 1} {
		t.Run(name, func(t *testing.T) {
			const sources = 200
			p := pairs[name](t)
			before := runtime.NumGoroutine()
			quiet := func(most int) {
				t.Helper()
				for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+most; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%d goroutines for %d sources", runtime.NumGoroutine()-before, sources)
					}
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var triggered, ended sync.WaitGroup
			triggered.Add(sources)
			ended.Add(sources)
			for range sources {
				once := sync.OnceFunc(triggered.Done)
				p.b.CreateSource(ctx, In).Attach(func(_ DatagramBased, condition IOCondition) bool {
					if ctx.Err() != nil {
						ended.Done()
						return SourceRemove
					}
					if condition != In {
						t.Errorf("triggered with %v", condition)
					}
					once()
					time.Sleep(time.Millisecond) // it holds until somebody receives
					return SourceContinue
				})
			}
			quiet(most)
			p.send(t, "x")
			triggered.Wait()
			if n, err := p.b.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, 0); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			quiet(most)
			cancel()
			ended.Wait()
			quiet(0)
		})
	}
}

// Sources of one socket for different conditions do not hide each other.
func TestSourceConditions(t *testing.T) {
	onAll(t, func(t *testing.T, p pair) {
		in, out := p.b.CreateSource(t.Context(), In), p.b.CreateSource(t.Context(), Out)
		defer in.Destroy()
		defer out.Destroy()
		readable := in.C()
		time.Sleep(5 * time.Millisecond) // the object is watched for In alone
		if condition := <-out.C(); condition != Out {
			t.Errorf("writable: %v", condition)
		}
		p.send(t, "x")
		if condition := <-readable; condition != In {
			t.Errorf("readable: %v", condition)
		}
	})
}
