package conn_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"gdtls/datagram"
)

// An established connection owns no goroutine.
func TestGoroutines(t *testing.T) {
	const pairs = 100
	before := runtime.NumGoroutine()
	all := make([]*pair, pairs)
	for i := range all {
		all[i] = newPair(t).usesPSK()
		mustHandshake(t, all[i])
		converse(t, all[i])
	}
	soon(t, "no goroutine for any connection", func() bool { return runtime.NumGoroutine() <= before })
	runtime.KeepAlive(all)
}

// An established connection holds at most 3 KB, from first to last.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory counts here: run without it")
	}
	const pairs, most = 1000, 3 << 10
	heap := func() uint64 {
		for range 3 {
			runtime.GC() // twice for what lies in pools
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	type ends struct{ a, b *datagram.Pipe }
	pipes := make([]ends, pairs)
	all := make([]*pair, pairs)
	ctx, cancel := context.WithCancel(background)
	defer cancel()

	// The pipes alone, with rings that have grown as they will, and what they keep of
	// those who waited.
	for i := range pipes {
		pipes[i].a, pipes[i].b = datagram.NewPipe()
		for _, end := range []*datagram.Pipe{pipes[i].a, pipes[i].b} {
			_, _, err := receiveOne(end, 1)
			wantIO(t, err, datagram.CodeTimedOut)
		}
		for range 2 {
			for _, ends := range [][2]*datagram.Pipe{{pipes[i].a, pipes[i].b}, {pipes[i].b, pipes[i].a}} {
				for range 4 {
					send(t, ends[0], "x")
				}
				receive(t, ends[1], "x", "x", "x", "x")
			}
		}
	}
	for _, kind := range []string{"certificate", "pre-shared key"} {
		before := heap()
		for i, pipe := range pipes {
			p := &pair{newClient(t, pipe.a), newServer(t, pipe.b)}
			if kind != "certificate" {
				p.usesPSK()
			}
			mustHandshake(t, p)
			converse(t, p)
			// Contexts that can end are remembered, too.
			_, err := p.client.ReceiveMessages(ctx, room(1, 1), 0, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
			if name := p.client.CiphersuiteName(); !strings.Contains(name, "AES_128_GCM") {
				t.Fatal(name)
			}
			all[i] = p
		}
		each := (heap() - before) / pairs / 2
		t.Logf("%s: %d bytes for each side", kind, each)
		if each > most {
			t.Errorf("%s: %d bytes for each side, at most %d are allowed", kind, each, most)
		}
		for _, p := range all {
			p.close(t)
			receiveAll(p.client.BaseSocket())
			receiveAll(p.server.BaseSocket())
		}
		clear(all)
	}
}

// receiveAll empties a base.
func receiveAll(base datagram.DatagramBased) {
	for {
		if _, _, err := receiveOne(base, 0); err != nil {
			return
		}
	}
}

// On an established connection nothing is allocated for a message, however many a
// call moves and whatever it moves over.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	cancellable, cancel := context.WithCancel(background)
	defer cancel()
	for _, over := range []string{"pipe", "UDP"} {
		var p *pair
		if over == "pipe" {
			p = newPair(t)
		} else {
			a, b := udpPair(t)
			p = newPairOver(t, a, b)
		}
		mustHandshake(t, p)
		for name, ctx := range map[string]context.Context{"background": background, "cancellable": cancellable} {
			for _, count := range []int{1, 8, 32, 64} {
				for _, timeout := range []time.Duration{-1, 0, patience} {
					out, in := make([]datagram.OutputMessage, count), room(count, 1200)
					for i := range out {
						out[i] = datagram.OutputMessage{Vectors: [][]byte{make([]byte, 1000), make([]byte, 200)}}
					}
					allocs := testing.AllocsPerRun(50, func() {
						n, err := p.client.SendMessages(ctx, out, 0, timeout)
						if n != count || err != nil {
							t.Fatal(n, err)
						}
						for got := 0; got < count; got += n {
							if n, err = p.server.ReceiveMessages(ctx, in[got:], 0, timeout); err != nil {
								t.Fatal(n, err)
							}
						}
					})
					if allocs != 0 {
						t.Errorf("%s, %s, %d messages, timeout %v: %v allocations", over, name, count, timeout, allocs)
					}
				}
			}
		}
		c, s := p.client.NetConn(), p.server.NetConn()
		buf := make([]byte, 1200)
		allocs := testing.AllocsPerRun(50, func() {
			if _, err := c.Write(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Read(buf); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s, NetConn: %v allocations", over, allocs)
		}
	}
}

// A reader that waits on a base of which there may be many holds no buffer
// meanwhile: the base is asked without waiting, and then waited for.
func TestWaitingReaderHoldsNoBuffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		base := &impatient{Pipe: a}
		p := newPairOver(t, base, b)
		mustHandshake(t, p)
		base.waited = 0
		go func() {
			time.Sleep(time.Second)
			send(t, p.server, "x")
		}()
		receive(t, p.client, "x")
		if base.waited != 0 || base.asked == 0 {
			t.Errorf("the base was asked %d times, %d times to wait", base.asked, base.waited)
		}
	})
}

// impatient counts the receiving calls that wait.
type impatient struct {
	*datagram.Pipe
	asked, waited int
}

func (i *impatient) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	i.asked++
	if timeout != 0 {
		i.waited++
	}
	return i.Pipe.ReceiveMessages(ctx, messages, flags, timeout)
}
