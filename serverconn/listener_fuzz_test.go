package serverconn

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// mute is a base on which nothing comes; what is sent is counted.
type mute struct {
	*datagram.Pipe
	sent int
}

func (m *mute) SendMessages(_ context.Context, messages []datagram.OutputMessage, _ datagram.MsgFlags, _ time.Duration) (int, error) {
	m.sent += len(messages)
	return len(messages), nil
}

// FuzzReader gives the reader what anybody may send, cut into batches of datagrams
// from two addresses, of which one has a peer: nobody without a cookie becomes one,
// nothing panics, and the queues keep to their bounds.
func FuzzReader(f *testing.F) {
	hello := fuzzHello(f)
	f.Add(hello, uint16(0), byte(0))
	f.Add(hello, uint16(40), byte(3))
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, uint16(5), byte(1))
	f.Add([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(13), byte(2))
	f.Add([]byte{}, uint16(0), byte(0))
	pipe, other := datagram.NewPipe()
	f.Cleanup(func() { _ = pipe.Close(); _ = other.Close() })
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, from byte) {
		base := &mute{Pipe: pipe}
		l := &DtlsListener{base: base, config: newListenerConfig(nil), cookies: handshake.NewCookies(time.Now())}
		l.limits.datagrams, l.limits.bytes, l.limits.memory = 4, 1<<16, 1<<16
		l.table.init()
		l.serving, l.closing = context.WithCancelCause(t.Context())
		l.closing(errListenerClosed) // a hello with a right cookie would be refused, and counted
		known := datagram.AddressFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))
		p := &peer{listener: l, address: known}
		p.queue.limits = &l.limits
		l.table.add(p)
		r := newReader(l)
		at := min(int(cut), len(data), largePacket)
		parts := [][]byte{data[:at], data[at:min(len(data), at+largePacket)], data[:at]}
		messages := r.messages[:len(parts)]
		for i, part := range parts {
			m := &messages[i]
			m.BytesReceived = copy(m.Vectors[0], part)
			m.Address = known
			if from>>i&1 != 0 {
				m.Address = datagram.AddressFromAddrPort(netip.MustParseAddrPort("[2001:db8::1%eth0]:2"))
			}
		}
		for range 3 {
			r.takeBatch(messages)
		}
		s := l.Stats()
		if s.Peers != 1 || s.Verified != 0 || s.Datagrams != 9 {
			t.Errorf("%+v", s)
		}
		if int(s.Hellos) != base.sent {
			t.Errorf("%d replies to %d hellos", base.sent, s.Hellos)
		}
		if got := uint64(p.queue.datagrams) + s.Dropped + s.Unknown + s.Hellos; got != s.Datagrams {
			t.Errorf("%d of %d datagrams are accounted for: %+v", got, s.Datagrams, s)
		}
		if p.queue.datagrams > 4 || l.limits.used.Load() > 1<<16 {
			t.Errorf("%d datagrams, %d bytes are queued", p.queue.datagrams, l.limits.used.Load())
		}
		p.queue.abandon()
	})
}

// fuzzHello is a ClientHello without a cookie.
func fuzzHello(f *testing.F) []byte {
	m, err := handshake.NewClient(&handshake.Config{}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	return m.Output()[0]
}
