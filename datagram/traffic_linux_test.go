package datagram

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// traffic is a sender and several receivers whose datagrams are known: each one
// sent is written down, and each received is compared.
type traffic struct {
	t         *testing.T
	random    *rand.Rand
	sender    *Socket
	receivers []*receiver
	slab      []byte
}

type receiver struct {
	socket   *Socket
	to       Address
	expected [][]byte
}

// sizes of datagrams: few, so that there are runs of one size, and some that end
// runs.
var trafficSizes = []int{0, 1, 40, 40, 40, 41, 100, 1200, 1200, 1200, 1200, 1472, 4000}

// send sends a batch of random runs to random receivers.
func (s *traffic) send() {
	var out []OutputMessage
	var to []*receiver
	for total, most := 0, 30000; len(out) < 90 && s.random.IntN(12) > 0; {
		r := s.receivers[s.random.IntN(len(s.receivers))]
		size := trafficSizes[s.random.IntN(len(trafficSizes))]
		for range 1 + s.random.IntN(70) {
			if total += size; total > most || len(out) == 100 {
				break
			}
			out = append(out, OutputMessage{Address: r.to, Vectors: s.split(s.payload(size))})
			to = append(to, r)
		}
	}
	for n := 0; n < len(out); {
		sent, err := s.sender.SendMessages(s.t.Context(), out[n:], MsgNone, []time.Duration{0, -1, time.Second}[s.random.IntN(3)])
		if err != nil {
			s.t.Fatal(err)
		}
		n += sent
	}
	for i, m := range out {
		if m.BytesSent != size(m.Vectors) {
			s.t.Fatalf("%d bytes of %d were sent", m.BytesSent, size(m.Vectors))
		}
		to[i].expected = append(to[i].expected, bytes.Join(m.Vectors, nil))
	}
}

// payload makes bytes that often follow in memory those of the one before, which
// makes the vectors of a run one for the kernel.
func (s *traffic) payload(size int) []byte {
	if len(s.slab) < size || s.random.IntN(8) == 0 {
		s.slab = make([]byte, 1<<16)
	}
	b := s.slab[:size:size]
	s.slab = s.slab[size:]
	for i := range b {
		b[i] = byte(s.random.Uint32())
	}
	return b
}

// split splits a buffer into random vectors.
func (s *traffic) split(b []byte) (vectors [][]byte) {
	for s.random.IntN(3) == 0 {
		n := s.random.IntN(len(b) + 1)
		vectors, b = append(vectors, b[:n]), b[n:]
	}
	return append(vectors, b)
}

// receive receives random numbers of datagrams until no more than rest are
// expected.
func (s *traffic) receive(r *receiver, rest int) {
	for len(r.expected) > rest {
		in := make([]InputMessage, 1+s.random.IntN(40)*s.random.IntN(2))
		for i := range in {
			in[i].Vectors = s.split(make([]byte, []int{4000, 4000, 4000, 1200, 39}[s.random.IntN(5)]))
		}
		flags := []MsgFlags{MsgWaitForOne, MsgWaitForOne, MsgNone, MsgPeek}[s.random.IntN(4)]
		if flags == MsgNone {
			in = in[:min(len(in), len(r.expected))]
		}
		n, err := r.socket.ReceiveMessages(s.t.Context(), in, flags, 5*time.Second)
		if err != nil {
			s.t.Fatalf("%v, with %d datagrams to come; the kernel dropped %d", err, len(r.expected), r.socket.Stats().KernelDropped)
		}
		for i, m := range in[:n] {
			if i == len(r.expected) {
				s.t.Fatal("more datagrams than were sent")
			}
			want := r.expected[i]
			got := bytes.Join(m.Vectors, nil)
			cut := len(want) > len(got)
			if cut != (m.Flags&MsgTrunc != 0) {
				s.t.Fatalf("a datagram of %d bytes in %d: flags %#x", len(want), len(got), m.Flags)
			}
			if got, want = got[:m.BytesReceived], want[:min(len(want), len(got))]; !bytes.Equal(got, want) {
				s.t.Fatalf("datagram %d of %d: %d bytes, not the %d that were sent", i, n, len(got), len(want))
			}
			if m.Address.AddrPort().Port() != s.sender.LocalAddress().AddrPort().Port() {
				s.t.Fatal("from", m.Address)
			}
		}
		if flags != MsgPeek {
			r.expected = r.expected[n:]
		}
	}
}

// Whatever capabilities the ends use, and however datagrams are sent and asked
// for: each arrives once, at its destination only, whole, and in order.
func TestTraffic(t *testing.T) {
	// A dual-stack sender has receivers of both kinds.
	networks := [][2]string{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}, {"udp", "[::]:0"}}
	seeds := uint64(24)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		pick := func() Capability {
			if random.IntN(3) == 0 {
				return everything
			}
			return Capability(random.Uint32()) & everything
		}
		network := networks[random.IntN(len(networks))]
		connected := random.IntN(4) == 0 // to its only receiver
		from := pick()
		var to []Capability
		for range 1 + random.IntN(4) {
			if to = append(to, pick()); connected {
				break
			}
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			t.Logf("%s, connected %v, from %v to %v", network[0], connected, from, to)
			s := &traffic{t: t, random: random}
			for i, c := range to {
				at := network
				if network[0] == "udp" {
					at = networks[i%2]
				}
				socket := New(listen(t, at[0], at[1]), Without(^c))
				defer socket.Close()
				s.receivers = append(s.receivers, &receiver{socket: socket, to: socket.LocalAddress()})
			}
			c := listen(t, network[0], network[1])
			if connected {
				c.Close()
				var err error
				if c, err = net.DialUDP("udp", nil, udpAddr(s.receivers[0].socket.PacketConn())); err != nil {
					t.Fatal(err)
				}
				s.receivers[0].to = Address{}
			}
			s.sender = New(c, Without(^from))
			defer s.sender.Close()
			for range 25 {
				s.send()
				for _, r := range s.receivers {
					// What stays must not fill the socket's buffer together with the next.
					s.receive(r, min(len(r.expected), random.IntN(20)))
				}
			}
			for _, r := range s.receivers {
				s.receive(r, 0)
				if n, err := r.socket.ReceiveMessages(t.Context(), inputs(3, 10), MsgNone, 0); n != 0 || err != ErrWouldBlock {
					t.Error("at the end:", n, err)
				}
				if held(r.socket) {
					t.Error("something is held at the end")
				}
			}
		})
	}
}
