package datagram

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkOneWay moves datagrams of 1,200 bytes from one processor to another,
// in batches, with sets of capabilities, beside the bare conn. A datagram's time
// is the whole run's, divided by those that arrived.
func BenchmarkOneWay(b *testing.B) {
	const length = 1200
	always := LargeBuffers | DontFragment
	sets := []struct {
		name string
		with Capability
	}{{"none", always}, {"mmsg", always | Batching}, {"gso", always | Batching | GSO}, {"gso+gro", everything}}

	for _, batch := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("batch=%d/bare", batch), func(b *testing.B) {
			x, y := listen(b, "udp4", "127.0.0.1:0"), listen(b, "udp4", "127.0.0.1:0")
			New(y, Without(everything&^LargeBuffers)) // raises the conn's buffers
			to := udpAddr(y).AddrPort()
			payload, room := make([]byte, length), make([]byte, 2000)
			send := func() error {
				for range batch {
					if _, _, err := x.WriteMsgUDPAddrPort(payload, nil, to); err != nil {
						return err
					}
				}
				return nil
			}
			receive := func() (int, error) {
				_, _, _, _, err := y.ReadMsgUDPAddrPort(room, nil)
				return 1, err
			}
			oneWay(b, batch, send, receive, func() error { x.Close(); return y.Close() })
		})
		for _, set := range sets {
			b.Run(fmt.Sprintf("batch=%d/%s", batch, set.name), func(b *testing.B) {
				p := socketPair(b, listen(b, "udp4", "127.0.0.1:0"), listen(b, "udp4", "127.0.0.1:0"), Without(^set.with))
				out, in := addressed(outputs(batch, length), p.toB), inputs(batch, 2000)
				send := func() error {
					_, err := p.a.SendMessages(background, out, MsgNone, -1)
					return err
				}
				receive := func() (int, error) { return p.b.ReceiveMessages(background, in, MsgWaitForOne, -1) }
				oneWay(b, batch, send, receive, p.closeB)
			})
		}
	}
}

// oneWay sends b.N datagrams and more to fill a batch, and receives them on
// another processor until closed. No more than a window are under way, so that
// the slower side sets the pace and little is lost.
func oneWay(b *testing.B, batch int, send func() error, receive func() (int, error), closing func() error) {
	const window, patience = 1024, 50 * time.Millisecond
	var arrived atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pin(1)
		for {
			n, err := receive()
			if err != nil {
				return // closed
			}
			arrived.Add(int64(n))
		}
	}()
	pin(0)
	sent, lost := int64(0), int64(0)
	settle := func(most int64) { // waits until no more than most are under way
		last, since := arrived.Load(), time.Time{}
		for sent-lost-last > most {
			now := arrived.Load()
			if now != last || since.IsZero() {
				last, since = now, time.Now()
			} else if time.Since(since) > patience {
				lost = sent - now
				return
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for sent < int64(b.N) {
		settle(window - int64(batch))
		if err := send(); err != nil {
			b.Fatal(err)
		}
		sent += int64(batch)
	}
	settle(0)
	b.StopTimer()
	count := arrived.Load()
	closing()
	<-ended
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(1, count)), "ns/arrived")
	b.ReportMetric(100*float64(sent-count)/float64(sent), "%lost")
}

// pin ties the goroutine to a thread and that to a processor, where the system
// allows it. The thread ends with the goroutine.
func pin(processor int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || runtime.NumCPU() < 2 {
		return
	}
	seen := 0
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			if seen == processor {
				set.Zero()
				set.Set(cpu)
				_ = unix.SchedSetaffinity(0, &set)
				return
			}
			seen++
		}
	}
}

// BenchmarkPingPong answers one datagram with one, with the receives of both
// ends asking for one, and for several.
func BenchmarkPingPong(b *testing.B) {
	for _, room := range []int{1, 32} {
		for _, set := range []string{"none", "all"} {
			b.Run(fmt.Sprintf("room=%d/%s", room, set), func(b *testing.B) {
				p := pairs["udp4 "+set](b)
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					pongs(ctx, p.b, p.toA, room)
				}()
				out, in := addressed(outputs(1, 1200), p.toB), inputs(room, 2000)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.a.SendMessages(ctx, out, MsgNone, -1); err != nil {
						b.Fatal(err)
					}
					if n, err := p.a.ReceiveMessages(ctx, in, MsgWaitForOne, -1); n != 1 || err != nil {
						b.Fatal(n, err)
					}
				}
				cancel()
				<-ended
			})
		}
	}
}

// pongs answers until ctx is done.
func pongs(ctx context.Context, obj DatagramBased, to Address, room int) {
	out, in := addressed(outputs(1, 1200), to), inputs(room, 2000)
	for {
		if _, err := obj.ReceiveMessages(ctx, in, MsgWaitForOne, -1); err != nil {
			return
		}
		if _, err := obj.SendMessages(ctx, out, MsgNone, -1); err != nil {
			return
		}
	}
}
