package datagram

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// exchange returns a function that sends a batch from a to b and receives it.
func exchange(t testing.TB, p pair, batch int, timeout time.Duration) func() {
	payload := make([]byte, 1200)
	out, in := make([]OutputMessage, batch), make([]InputMessage, batch)
	for i := range out {
		out[i] = OutputMessage{Address: p.toB, Vectors: [][]byte{payload[:500], payload[500:]}}
		in[i].Vectors = [][]byte{make([]byte, 500), make([]byte, 1000)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return func() {
		if n, err := p.a.SendMessages(ctx, out, MsgNone, timeout); n != batch || err != nil {
			t.Fatal(n, err)
		}
		if n, err := p.b.ReceiveMessages(ctx, in, MsgNone, timeout); n != batch || err != nil {
			t.Fatal(n, err)
		}
	}
}

// Moving datagrams allocates nothing, whatever the timeout, the size of the batch
// and the capabilities.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations cannot be counted under the race detector")
	}
	for _, name := range []string{
		"udp4 connected", "udp4", "udp6", "dual stack", "unixgram", "unixgram named", "unixpacket", "pipe",
		"udp4 none", "udp4 only batching", "udp4 only gso", "udp4 only gro", "udp4 no gso", "udp4 no gro", "udp4 connected coalescing",
	} {
		makePair, ok := pairs[name]
		if !ok {
			continue // not on this system
		}
		t.Run(name, func(t *testing.T) {
			p := makePair(t)
			for _, timeout := range []time.Duration{-1, 0, time.Minute} {
				for _, batch := range []int{1, 32} {
					if name == "unixgram" || name == "unixgram named" {
						batch = min(batch, 4) // its queue is short
					}
					move := exchange(t, p, batch, timeout)
					move()
					if n := testing.AllocsPerRun(100, move); n != 0 {
						t.Errorf("timeout %v: %v allocations for %d datagrams", timeout, n, batch)
					}
				}
			}
			poll := func() {
				if now := p.b.ConditionCheck(In | Out); now != Out {
					t.Fatal(now)
				}
				if _, err := p.b.ReceiveMessages(background, nil, MsgNone, 0); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(200, poll); n != 0 {
				t.Errorf("%v allocations for a look", n)
			}
			in := inputs(1, 10)
			empty := func() {
				if _, err := p.b.ReceiveMessages(background, in, MsgNone, 0); err != ErrWouldBlock {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(200, empty); n != 0 {
				t.Errorf("%v allocations for a poll in vain", n)
			}
		})
	}
}

// An idle Socket that has been used holds little beside its conn: what its
// calls need comes from pools.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	a, b := connected(t, "udp4", "127.0.0.1:0")
	peer := New(b)
	defer peer.Close()
	defer a.Close()
	const count, most = 1000, 1200
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	sockets := make([]*Socket, count)
	in := inputs(1, 10)
	for i := range sockets {
		s := New(a)
		sockets[i] = s
		for _, timeout := range []time.Duration{-1, 0} {
			if err := SendOne(ctx, peer, []byte("x"), Address{}, timeout); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ReceiveMessages(ctx, in, MsgNone, timeout); err != nil {
				t.Fatal(err)
			}
			if err := SendOne(ctx, s, []byte("x"), Address{}, timeout); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.ConditionWait(ctx, Out, -1); err != nil {
			t.Fatal(err)
		}
	}
	each := (int64(heap()) - int64(before)) / count
	t.Logf("%d bytes for each Socket", each)
	if each > most {
		t.Errorf("%d bytes for each Socket, more than %d", each, most)
	}
	for _, s := range sockets {
		s.Close()
	}
}

// The speed of one datagram of 1,200 bytes there, one by one: the package beside
// the bare conn.
func BenchmarkOneByOne(b *testing.B) {
	payload, buf := make([]byte, 1200), make([]byte, 2000)
	b.Run("bare", func(b *testing.B) {
		from, to := listen(b, "udp4", "127.0.0.1:0"), listen(b, "udp4", "127.0.0.1:0")
		defer from.Close()
		defer to.Close()
		target := netip.MustParseAddrPort(to.LocalAddr().String())
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := from.WriteMsgUDPAddrPort(payload, nil, target); err != nil {
				b.Fatal(err)
			}
			if _, _, _, _, err := to.ReadMsgUDPAddrPort(buf, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, name := range []string{"udp4", "udp4 connected", "opaque", "pipe"} {
		b.Run(name, func(b *testing.B) {
			p := pairs[name](b)
			out := []OutputMessage{{Address: p.toB, Vectors: [][]byte{payload}}}
			in := []InputMessage{{Vectors: [][]byte{buf}}}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.a.SendMessages(ctx, out, MsgNone, -1); err != nil {
					b.Fatal(err)
				}
				if _, err := p.b.ReceiveMessages(ctx, in, MsgNone, -1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same in batches of 32.
func BenchmarkBatch(b *testing.B) {
	for _, name := range []string{"udp4", "pipe"} {
		b.Run(name, func(b *testing.B) {
			move := exchange(b, pairs[name](b), 32, -1)
			b.ReportAllocs()
			for b.Loop() {
				move()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/datagram")
		})
	}
}

var _ net.PacketConn = hidden{}
