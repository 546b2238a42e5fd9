package conn_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/datagram"
)

const in, out = datagram.In, datagram.Out

// What ConditionCheck tells in each state (G031-G035, G204, case e).
func TestConditionCheck(t *testing.T) {
	check := func(c datagram.DatagramBased, asked, want datagram.IOCondition) {
		t.Helper()
		if now := c.ConditionCheck(asked); now != want {
			t.Errorf("asked for %v: %v, want %v", asked, now, want)
		}
	}
	a, b := datagram.NewPipe(datagram.WithQueue(4))
	p := newPairOver(t, a, b)
	check(p.client, in|out, in|out) // a call would begin the handshake
	mustHandshake(t, p)
	check(p.client, in, 0)
	check(p.client, in|out, out)
	check(p.client, datagram.Hup|datagram.Err, 0)
	send(t, p.server, "x")
	check(p.client, in|out, in|out)
	check(p.client, out, out)
	receive(t, p.client, "x")
	for range 4 {
		send(t, p.client, "x")
	}
	check(p.client, in|out, 0) // full
	receive(t, p.server, "x", "x", "x", "x")
	if err := p.server.Close(background); err != nil {
		t.Fatal(err)
	}
	check(p.client, in, in) // close_notify
	if _, n, err := receiveOne(p.client, -1); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	check(p.client, in|out, in|out)
	p.close(t)
	check(p.client, in|out, datagram.Hup)
	check(p.client, 0, datagram.Hup)
}

// ConditionWait waits exactly as long as it may, and sees what changes (G036,
// G037, G205).
func TestConditionWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		took(t, 100*time.Millisecond, func() {
			wantIO(t, p.client.ConditionWait(background, in, 100*time.Millisecond), datagram.CodeTimedOut)
		})
		took(t, 0, func() { wantIO(t, p.client.ConditionWait(background, in, 0), datagram.CodeTimedOut) })
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		took(t, time.Second, func() { wantIO(t, p.client.ConditionWait(ctx, in, -1), datagram.CodeCancelled) })
		took(t, 0, func() { wantIO(t, p.client.ConditionWait(ctx, out, -1), datagram.CodeCancelled) })

		later := func(do func()) {
			go func() {
				time.Sleep(300 * time.Millisecond)
				do()
			}()
		}
		wait := func(what datagram.IOCondition) {
			t.Helper()
			took(t, 300*time.Millisecond, func() {
				if err := p.client.ConditionWait(background, what, -1); err != nil {
					t.Error(err)
				}
			})
		}
		later(func() { send(t, p.server, "x") })
		wait(in)
		receive(t, p.client, "x")

		// Operations that end meanwhile change nothing.
		go func() {
			for range 3 {
				time.Sleep(50 * time.Millisecond)
				send(t, p.client, "y")
			}
		}()
		took(t, 200*time.Millisecond, func() {
			wantIO(t, p.client.ConditionWait(background, in, 200*time.Millisecond), datagram.CodeTimedOut)
		})

		later(func() { p.close(t) })
		wait(in) // HUP
		if now := p.client.ConditionCheck(in); now != datagram.Hup {
			t.Errorf("condition %v", now)
		}
	})
}

// While a handshake goes on nothing holds, and its end is waited for.
func TestConditionInHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t)
		_, _, err := receiveOne(p.client, 0)
		wantIO(t, err, datagram.CodeWouldBlock)
		synctest.Wait()
		if now := p.client.ConditionCheck(in | out); now != 0 {
			t.Errorf("condition %v", now)
		}
		took(t, time.Second, func() {
			wantIO(t, p.client.ConditionWait(background, out, time.Second), datagram.CodeTimedOut)
		})
		done := make(chan error, 1)
		go func() { done <- p.client.ConditionWait(background, out, -1) }()
		if err := p.server.Handshake(background); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A source fires for each message, for the peer's end and for the handshake's
// (G026-G030, G206; async-implicit-handshake of G217).
func TestSource(t *testing.T) {
	p := newPair(t)
	done := make(chan error, 1)
	go func() { done <- p.server.Handshake(background) }()
	source := p.client.CreateSource(background, in)
	defer source.Destroy()
	var got []string
	ended := make(chan struct{})
	source.Attach(func(c datagram.DatagramBased, now datagram.IOCondition) bool {
		text, n, err := receiveOne(c, 0)
		switch {
		case ioCode(err) == datagram.CodeWouldBlock:
		case err != nil:
			t.Error(err)
			close(ended)
			return datagram.SourceRemove
		case n == 0:
			close(ended)
			return datagram.SourceRemove
		default:
			got = append(got, text)
		}
		return datagram.SourceContinue
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	send(t, p.server, "1")
	send(t, p.server, "2")
	if err := p.server.Close(background); err != nil {
		t.Fatal(err)
	}
	<-ended
	if len(got) != 2 || got[0] != "1" || got[1] != "2" {
		t.Errorf("source got %q", got)
	}
}

// The sources of connections that have nothing to do own no goroutine, as long as
// their bases do not.
func TestSourceGoroutines(t *testing.T) {
	const pairs = 50
	before := runtime.NumGoroutine()
	all := make([]*pair, pairs)
	got := make(chan string, pairs)
	var sources []*datagram.Source
	for i := range all {
		all[i] = newPair(t).usesPSK()
		mustHandshake(t, all[i])
		source := all[i].server.CreateSource(background, in)
		sources = append(sources, source)
		source.Attach(func(c datagram.DatagramBased, _ datagram.IOCondition) bool {
			if text, n, err := receiveOne(c, 0); n == 1 {
				got <- text
			} else if ioCode(err) != datagram.CodeWouldBlock {
				t.Error(err)
			}
			return datagram.SourceContinue
		})
	}
	idle := func() bool { return runtime.NumGoroutine() <= before }
	soon(t, "no goroutine for any source", idle)
	for _, p := range all {
		send(t, p.client, "x")
		if text := <-got; text != "x" {
			t.Errorf("source got %q", text)
		}
	}
	soon(t, "no goroutine for any source", idle)
	for _, source := range sources {
		source.Destroy()
	}
}

// A source ends with the connection, and with its context, at any time in its life.
func TestSourceEnds(t *testing.T) {
	for name, established := range map[string]bool{"new": false, "established": true} {
		for _, end := range []string{"close", "cancel", "destroy"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPair(t)
					if established {
						mustHandshake(t, p)
					}
					ctx, cancel := context.WithCancel(background)
					defer cancel()
					source := p.client.CreateSource(ctx, in)
					var last datagram.IOCondition
					ended := make(chan int)
					go func() {
						n := 0
						for last = range source.C() {
							n++
							time.Sleep(time.Second) // a new connection is readable all the time
						}
						ended <- n
					}()
					time.Sleep(time.Minute)
					want := datagram.IOCondition(0)
					switch end {
					case "close":
						want = datagram.Hup
						if err := p.client.Close(background); err != nil {
							t.Fatal(err)
						}
					case "cancel":
						cancel()
					case "destroy":
						source.Destroy()
					}
					n := <-ended
					if !established && n == 0 || end == "destroy" && established && n != 0 {
						t.Errorf("triggered %d times", n)
					}
					if established && end != "destroy" && (n != 1 || last != want) || !established && end == "close" && last != want {
						t.Errorf("the last of %d conditions was %v, want %v", n, last, want)
					}
				})
			})
		}
	}
}
