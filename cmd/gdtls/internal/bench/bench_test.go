package bench

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gdtls/datagram"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 1, 100}, 5}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

// lossy is an end in memory whose every 50th datagram vanishes.
type lossy struct {
	out, in     chan struct{}
	count       int
	stop        chan struct{}
	interrupted atomic.Bool
}

func lossyPair() (client, server *lossy) {
	there, back := make(chan struct{}, maxWindow), make(chan struct{}, maxWindow)
	return &lossy{out: there, in: back}, &lossy{out: back, in: there}
}

func (l *lossy) send(n int) error {
	for range n {
		if l.count++; l.count%50 != 0 {
			l.out <- struct{}{}
		}
	}
	return nil
}

func (l *lossy) receive() (int, error) {
	select {
	case <-l.in: // before what interrupts
		return 1, nil
	default:
	}
	select {
	case <-l.in:
		return 1, nil
	case <-l.stop:
		return 0, nil
	}
}

func (l *lossy) begin() {
	l.stop = make(chan struct{})
	l.interrupted.Store(false)
}

func (l *lossy) interrupt() {
	if !l.interrupted.Swap(true) {
		close(l.stop)
	}
}

func (l *lossy) close() error { return nil }

// What is lost is told, does not stop the flow, and does not count as arrived.
func TestLossIsTold(t *testing.T) {
	client, server := lossyPair()
	f := newFlow(client, server, Setting{Size: 1200, Batch: 8}, false)
	got, err := f.round(100*time.Millisecond, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	if want := got.sent / 50; got.lost != want || want == 0 {
		t.Errorf("%d of %d are told as lost, %d were", got.lost, got.sent, want)
	}
	if got.arrived > got.sent-got.lost {
		t.Errorf("%d arrived of %d, of which %d were lost", got.arrived, got.sent, got.lost)
	}
}

// A lost datagram ends the wait for its batch only.
func TestLossInEcho(t *testing.T) {
	client, server := lossyPair()
	f := newFlow(client, server, Setting{Size: 1200, Batch: 20}, false)
	got, err := f.round(300*time.Millisecond, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	if got.sent < 60 || got.lost < got.sent/50 || got.lost > got.sent/5 {
		t.Errorf("%d sent, %d came back, %d were lost", got.sent, got.arrived, got.lost)
	}
}

// No more than a window is under way.
func TestWindow(t *testing.T) {
	for _, s := range []Setting{{Size: 64, Batch: 1}, {Size: 1200, Batch: 32}, {Size: MaxSize, Batch: MaxBatch}, {Size: MaxSize, Batch: 64}} {
		f := newFlow(nil, nil, s, false)
		if f.window < int64(s.Batch) || f.window > maxWindow {
			t.Errorf("%v: the window is %d", s, f.window)
		}
	}
}

// An end refuses datagrams that are not what was sent.
func TestWrongSize(t *testing.T) {
	for name, newEnd := range map[string]func(client, server *net.UDPConn) end{
		"messages": func(_, server *net.UDPConn) end {
			socket := datagram.New(server)
			return newMessageEnd(socket, 100, 4, socket.Close)
		},
		"net": func(_, server *net.UDPConn) end { return newNetEnd(server, 100, server.Close) },
	} {
		for _, size := range []int{99, 101} {
			client, server, err := socketPair()
			if err != nil {
				t.Fatal(err)
			}
			e := newEnd(client, server)
			e.begin()
			if _, err := client.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if n, err := e.receive(); err == nil || !strings.Contains(err.Error(), "bytes where all have 100") {
				t.Errorf("%s: %d bytes: %d, %v", name, size, n, err)
			}
			e.interrupt()
			if n, err := e.receive(); n != 0 || err != nil {
				t.Errorf("%s: an interrupted receive gives %d, %v", name, n, err)
			}
			if err := errors.Join(e.close(), client.Close()); err != nil {
				t.Error(err)
			}
		}
	}
}

// What aead hands over is sealed, each with a nonce of its own, and opening checks it.
func TestAEAD(t *testing.T) {
	client, server, err := aeadPair(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	server.begin()
	if err := client.send(2); err != nil {
		t.Fatal(err)
	}
	slots := server.in.slots
	if bytes.Equal(slots[0], slots[1]) || bytes.Equal(slots[0][:100], client.plain) {
		t.Error("the same bytes went twice, or in the open")
	}
	if n, err := server.receive(); n != 2 || err != nil {
		t.Fatalf("received %d, %v", n, err)
	}
	if err := client.send(1); err != nil {
		t.Fatal(err)
	}
	slots[2][0] ^= 1
	if _, err := server.receive(); err == nil {
		t.Error("a changed record was opened")
	}
}

// Handshakes that were to be resumed and were not are no measurement.
func TestNotResumed(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		s := &shaker{
			ctx: t.Context(),
			between: func(client, server *net.UDPConn) sides {
				nothing := func(context.Context) error { return nil }
				return sides{client: nothing, server: nothing, resumed: func() bool { return resumed }, close: func() {
					client.Close()
					server.Close()
				}}
			},
			resumed: true,
		}
		h, err := s.round(1)
		if errors.Is(err, errNotResumed) == resumed || resumed && h.count != group {
			t.Errorf("resumed %v: %+v, %v", resumed, h, err)
		}
	}
}

// When one side's handshake fails, the other does not wait for it.
func TestFailedHandshake(t *testing.T) {
	cause := errors.New("the cause")
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fails := func(context.Context) error { return cause }
	if err := both(t.Context(), waits, fails); !errors.Is(err, cause) {
		t.Errorf("both: %v", err)
	}
	s := &shaker{ctx: t.Context(), between: func(client, server *net.UDPConn) sides {
		return sides{client: fails, server: waits, close: func() { client.Close(); server.Close() }}
	}}
	if _, err := s.round(1); !errors.Is(err, cause) {
		t.Errorf("a round: %v", err)
	}
}
