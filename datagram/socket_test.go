package datagram

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Without an address, a socket that is not connected says what to do (G045).
func TestNotConnected(t *testing.T) {
	for _, name := range []string{"udp4", "udp6", "opaque"} {
		t.Run(name, func(t *testing.T) {
			p := pairs[name](t)
			n, err := p.a.SendMessages(t.Context(), []OutputMessage{{}}, MsgNone, -1)
			if n != 0 || !errors.Is(err, ErrNotConnected) {
				t.Fatal(n, err)
			}
			p.send(t, "usable afterwards")
		})
	}
}

// An address of another family is refused, not misread.
func TestWrongFamily(t *testing.T) {
	p := pairs["udp4"](t)
	for _, to := range []Address{
		AddressFromAddrPort(netip.MustParseAddrPort("[::1]:9")),
		AddressFromNet(&net.UnixAddr{Name: "/x", Net: "unixgram"}),
	} {
		n, err := p.a.SendMessages(t.Context(), []OutputMessage{{Address: to}}, MsgNone, -1)
		if n != 0 || err == nil {
			t.Errorf("%v: %d, %v", to, n, err)
		}
	}
	p = pairs["udp6"](t)
	to := AddressFromAddrPort(netip.MustParseAddrPort("[fe80::1%nosuchnet]:9"))
	if n, err := p.a.SendMessages(t.Context(), []OutputMessage{{Address: to}}, MsgNone, -1); n != 0 || !errors.Is(err, ErrInvalidArgument) {
		t.Error(n, err)
	}
}

// Too many vectors are an error of the caller's.
func TestTooManyVectors(t *testing.T) {
	for name := range pairs {
		if len(name) < 4 || name[:4] != "udp4" {
			continue
		}
		p := pairs[name](t)
		in := []InputMessage{{Vectors: make([][]byte, MaxVectors+1)}}
		p.send(t, "x")
		if n, err := p.b.ReceiveMessages(t.Context(), in, MsgNone, 0); n != 0 || !errors.Is(err, ErrInvalidArgument) {
			t.Error(n, err)
		}
		out := []OutputMessage{{Address: p.toB, Vectors: make([][]byte, MaxVectors+1)}}
		if n, err := p.a.SendMessages(t.Context(), out, MsgNone, 0); n != 0 || !errors.Is(err, ErrInvalidArgument) {
			t.Error(n, err)
		}
	}
}

// The network's refusal of an earlier datagram makes Err true (G034), is
// returned once, and the socket stays usable.
func TestConnectionRefused(t *testing.T) {
	if _, err := os.Stat("/proc/net/udp"); err != nil {
		t.Skip("only Linux is known to tell a UDP socket at once")
	}
	p := pairs["udp4 connected"](t)
	at := udpAddr(p.bNet)
	p.closeB()
	p.send(t, "into the void")
	if err := p.a.ConditionWait(t.Context(), In, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if now := p.a.ConditionCheck(In); now != Err {
		t.Error("conditions:", now)
	}
	if n, err := p.a.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrConnectionRefused) {
		t.Fatal(n, err)
	}
	c, err := net.ListenUDP("udp4", at)
	if err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	again := New(c)
	defer again.Close()
	p.send(t, "hello")
	if n, _, err := ReceiveOne(t.Context(), again, make([]byte, 10), 5*time.Second); n != 5 || err != nil {
		t.Error(n, err)
	}
}

// A PacketConn that is closed behind the Socket's back closes the Socket.
func TestConnClosed(t *testing.T) {
	for _, name := range []string{"udp4", "opaque"} {
		t.Run(name, func(t *testing.T) {
			p := pairs[name](t)
			var calls sync.WaitGroup
			calls.Go(func() {
				if n, err := p.b.ReceiveMessages(background, inputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrClosed) {
					t.Error(n, err)
				}
			})
			time.Sleep(20 * time.Millisecond)
			p.bNet.Close()
			calls.Wait()
			if now := p.b.ConditionCheck(In | Out); now != Hup {
				t.Error(now)
			}
			if n, err := p.b.SendMessages(t.Context(), []OutputMessage{{Address: p.toA}}, MsgNone, 0); n != 0 || !errors.Is(err, ErrClosed) {
				t.Error(n, err)
			}
		})
	}
}

// The conn, its addresses and the counts can be had.
func TestSocketAccessors(t *testing.T) {
	a, b := connected(t, "udp4", "127.0.0.1:0")
	s := New(a)
	defer s.Close()
	defer b.Close()
	if s.PacketConn() != net.PacketConn(a) {
		t.Error("another conn")
	}
	if s.LocalAddress() != AddressFromNet(a.LocalAddr()) || s.RemoteAddress() != AddressFromNet(b.LocalAddr()) {
		t.Error(s.LocalAddress(), s.RemoteAddress())
	}
	for range 3 {
		if err := SendOne(t.Context(), s, []byte("x"), Address{}, -1); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteTo(nil, nil) // connected, so this is refused
	b.Write([]byte("y"))
	if _, _, err := ReceiveOne(t.Context(), s, make([]byte, 10), time.Second); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Received != 1 || got.Sent != 3 || got.Dropped != 0 || got.KernelDropped != 0 {
		t.Errorf("%+v", got)
	}
	bound := New(listen(t, "udp4", "127.0.0.1:0"))
	defer bound.Close()
	if bound.RemoteAddress().IsValid() {
		t.Error("connected to", bound.RemoteAddress())
	}
}

// script is a PacketConn whose reads follow a script.
type script struct {
	reads  []func(b []byte) (int, net.Addr, error)
	made   atomic.Int64 // how many reads were
	closed chan struct{}
	once   sync.Once
	slow   chan struct{} // writes wait for it, or for the deadline

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{}
}

func newScript(reads ...func(b []byte) (int, net.Addr, error)) *script {
	return &script{reads: reads, closed: make(chan struct{}), changed: make(chan struct{})}
}

func (s *script) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.reads) == 0 {
		<-s.closed
		return 0, nil, net.ErrClosed
	}
	s.made.Add(1)
	next := s.reads[0]
	s.reads = s.reads[1:]
	return next(b)
}

func (s *script) WriteTo(b []byte, _ net.Addr) (int, error) {
	if s.slow == nil {
		return len(b), nil
	}
	for {
		s.mu.Lock()
		changed, left := s.changed, time.Until(s.deadline)
		if s.deadline.IsZero() {
			left = time.Hour
		}
		s.mu.Unlock()
		select {
		case <-s.slow:
			return len(b), nil
		case <-time.After(left):
			return 0, os.ErrDeadlineExceeded
		case <-changed:
		case <-s.closed:
			return 0, net.ErrClosed
		}
	}
}

func (s *script) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *script) Close() error                      { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) LocalAddr() net.Addr               { return &net.UDPAddr{} }
func (s *script) SetDeadline(t time.Time) error     { return s.SetWriteDeadline(t) }
func (s *script) SetReadDeadline(t time.Time) error { return nil }

func gives(text string) func([]byte) (int, net.Addr, error) {
	return func(b []byte) (int, net.Addr, error) { return copy(b, text), nil, nil }
}

func fails(err error) func([]byte) (int, net.Addr, error) {
	return func([]byte) (int, net.Addr, error) { return 0, nil, err }
}

// The errors of an opaque conn's reads reach the reader in order; a time-out that
// is not ours does not; io.EOF is the peer's end.
func TestOpaqueReads(t *testing.T) {
	broken := errors.New("broken")
	lies := func([]byte) (int, net.Addr, error) { return MaxDatagram + 1000, nil, nil }
	s := New(newScript(gives("1"), fails(os.ErrDeadlineExceeded), fails(broken), lies, fails(io.EOF)))
	defer s.Close()
	in := inputs(1, 10)
	if n, err := s.ReceiveMessages(t.Context(), in, MsgNone, time.Second); n != 1 || err != nil || text(in[0]) != "1" {
		t.Fatal(n, err)
	}
	if n, err := s.ReceiveMessages(t.Context(), in, MsgNone, time.Second); n == 0 && !errors.Is(err, broken) {
		t.Fatal(n, err)
	}
	for range 2 { // the message may have come before the error
		s.ReceiveMessages(t.Context(), in, MsgNone, 50*time.Millisecond)
	}
	if n, err := s.ReceiveMessages(t.Context(), in, MsgNone, -1); n != 0 || err != nil {
		t.Fatal("at the end:", n, err)
	}
}

// What finds no room in the read-ahead queue is dropped and counted.
func TestOpaqueOverflow(t *testing.T) {
	const surplus = 7
	reads := make([]func([]byte) (int, net.Addr, error), opaqueQueue+surplus)
	for i := range reads {
		reads[i] = gives("x")
	}
	s := New(newScript(reads...))
	defer s.Close()
	s.ConditionCheck(In)
	for s.Stats().Dropped < surplus {
		time.Sleep(time.Millisecond)
	}
	if n, err := s.ReceiveMessages(t.Context(), inputs(opaqueQueue+1, 1), MsgNone, 0); n != opaqueQueue || err != nil {
		t.Error(n, err)
	}
}

// A write that blocks ends with its timeout, its context, or Close; a poll ends
// soon.
func TestOpaqueSlowWrites(t *testing.T) {
	conn := newScript()
	conn.slow = make(chan struct{}, 10)
	s := New(conn)
	out := []OutputMessage{{Address: AddressFromAddrPort(netip.MustParseAddrPort("192.0.2.1:9")), Vectors: [][]byte{{1}, {2, 3}}}}
	if n, err := s.SendMessages(t.Context(), out, MsgNone, 0); n != 0 || !errors.Is(err, ErrWouldBlock) {
		t.Error("0:", n, err)
	}
	if n, err := s.SendMessages(t.Context(), out, MsgNone, 20*time.Millisecond); n != 0 || !errors.Is(err, ErrTimedOut) {
		t.Error("20 ms:", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	after(t, 20*time.Millisecond, cancel)
	if n, err := s.SendMessages(ctx, out, MsgNone, -1); n != 0 || !errors.Is(err, ErrCancelled) {
		t.Error("cancelled:", n, err)
	}
	conn.slow <- struct{}{}
	if n, err := s.SendMessages(t.Context(), append(out, out...), MsgNone, 20*time.Millisecond); n != 1 || err != nil || out[0].BytesSent != 0 {
		t.Error("one of two:", n, err)
	}
	after(t, 20*time.Millisecond, func() { s.Close() })
	if n, err := s.SendMessages(t.Context(), out, MsgNone, -1); n != 0 || !errors.Is(err, ErrClosed) {
		t.Error("closed:", n, err)
	}
}

// A conn whose reads fail for ever does not keep the pump busy, and Close ends
// it.
func TestOpaqueBrokenConn(t *testing.T) {
	reads := make([]func([]byte) (int, net.Addr, error), 1000)
	broken := errors.New("broken")
	for i := range reads {
		reads[i] = fails(broken)
	}
	conn := newScript(reads...)
	s := New(conn)
	for range 3 {
		if n, err := s.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, time.Second); n != 0 || !errors.Is(err, broken) {
			t.Error(n, err)
		}
	}
	if now := s.ConditionCheck(In); now&^(In|Err) != 0 {
		t.Error(now)
	}
	s.Close()
	time.Sleep(100 * time.Millisecond) // longer than the pump's longest pause
	if made := conn.made.Load(); made > 100 {
		t.Errorf("%d reads were made", made)
	}
}
