package conn_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

// Flags are refused but for the one that every datagram object here knows (G199).
func TestFlags(t *testing.T) {
	p := newPair(t)
	for _, flags := range []datagram.MsgFlags{datagram.MsgPeek, datagram.MsgOOB, 1 << 30} {
		_, received := p.client.ReceiveMessages(background, room(1, 10), flags, 0)
		_, sent := p.client.SendMessages(background, []datagram.OutputMessage{message("x")}, flags, 0)
		wantIO(t, received, datagram.CodeInvalidArgument)
		wantIO(t, sent, datagram.CodeInvalidArgument)
	}
	if now := p.server.BaseSocket().ConditionCheck(datagram.In); now != 0 {
		t.Error("a handshake was begun")
	}
}

// No messages are no error and begin no handshake (G019, case e).
func TestNoMessages(t *testing.T) {
	p := newPair(t)
	check := func(ctx context.Context, want error) {
		t.Helper()
		n, received := p.client.ReceiveMessages(ctx, nil, 0, -1)
		m, sent := p.client.SendMessages(ctx, nil, 0, -1)
		if n != 0 || m != 0 || !errors.Is(received, want) || !errors.Is(sent, want) {
			t.Errorf("%d, %v; %d, %v; want %v", n, received, m, sent, want)
		}
	}
	check(background, nil)
	if now := p.server.BaseSocket().ConditionCheck(datagram.In); now != 0 {
		t.Error("a handshake was begun")
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	check(ctx, datagram.ErrCancelled)
	p.close(t)
	check(background, datagram.ErrClosed)
}

// Several messages a call, each gathered from and scattered into several vectors
// (G008, G042-G045, G200, G208, case f).
func TestVectors(t *testing.T) {
	p := connected(t)
	out := []datagram.OutputMessage{message("one", "", "-", "two"), message(), message("three")}
	out[0].Address = datagram.AddressFromNet(nil) // ignored
	if n, err := p.client.SendMessages(background, out, 0, -1); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if out[0].BytesSent != 7 || out[1].BytesSent != 0 || out[2].BytesSent != 5 {
		t.Errorf("sent %d, %d and %d bytes", out[0].BytesSent, out[1].BytesSent, out[2].BytesSent)
	}
	in := room(3, 2)
	in[0].Vectors = append(in[0].Vectors, nil, make([]byte, 1), make([]byte, 10))
	in[2].Flags = 77
	n, err := p.server.ReceiveMessages(background, in, 0, -1)
	if n != 3 || err != nil {
		t.Fatal(n, err)
	}
	// The last one is longer than its vectors: cut and marked (G209).
	if got := texts(in); !slices.Equal(got, []string{"one-two", "", "th"}) {
		t.Errorf("received %q", got)
	}
	for i, flags := range []datagram.MsgFlags{0, 0, datagram.MsgTrunc} {
		if in[i].Flags != flags || in[i].Address.IsValid() {
			t.Errorf("message %d: flags %v, address %v", i, in[i].Flags, in[i].Address)
		}
	}
	if string(in[0].Vectors[0]) != "on" || string(in[0].Vectors[2]) != "e" || string(in[0].Vectors[3][:4]) != "-two" {
		t.Errorf("scattered as %q", in[0].Vectors)
	}
	// What was cut is gone.
	_, _, err = receiveOne(p.server, 0)
	wantIO(t, err, datagram.CodeWouldBlock)
}

// What is there is taken, and more is not waited for, with timeout 0 (G011, G017).
func TestBatches(t *testing.T) {
	p := connected(t)
	for _, count := range []int{1, 7, 8, 9, 100} {
		out := make([]datagram.OutputMessage, count)
		var want []string
		for i := range out {
			want = append(want, fmt.Sprint("message ", i))
			out[i] = message(want[i])
		}
		if n, err := p.client.SendMessages(background, out, 0, -1); n != count || err != nil {
			t.Fatal(n, err)
		}
		in := room(count+5, 20)
		n, err := p.server.ReceiveMessages(background, in, 0, 0)
		if err != nil || !slices.Equal(texts(in[:n]), want) {
			t.Errorf("received %d, %v: %q", n, err, texts(in[:n]))
		}
	}
	// What one read leaves of a batch, the next one gets.
	for i := range 5 {
		send(t, p.client, fmt.Sprint(i))
	}
	receive(t, p.server, "0", "1")
	if now := p.server.ConditionCheck(datagram.In); now != datagram.In {
		t.Errorf("condition is %v", now)
	}
	receive(t, p.server, "2")
	receive(t, p.server, "3", "4")
	if now := p.server.ConditionCheck(datagram.In); now != 0 {
		t.Errorf("condition is %v", now)
	}
}

// A call moves MaxMessages at most (G017, G024).
func TestMaxMessages(t *testing.T) {
	a, b := datagram.NewPipe(datagram.WithQueue(2000))
	p := newPairOver(t, a, b)
	mustHandshake(t, p)
	out := make([]datagram.OutputMessage, 1500)
	for i := range out {
		out[i] = message("x")
	}
	if n, err := p.client.SendMessages(background, out, 0, -1); n != datagram.MaxMessages || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	if n, err := p.server.ReceiveMessages(background, room(1500, 1), 0, 0); n != datagram.MaxMessages || err != nil {
		t.Errorf("received %d, %v", n, err)
	}
}

// Messages that do not fit the MTU (G208, case f).
func TestMessageTooLarge(t *testing.T) {
	p := connected(t)
	if most := p.client.MaximumMessageSize(); most != 1363 { // as with the real Gio
		t.Errorf("longest message has %d bytes", most)
	}
	long := strings.Repeat("x", 1364)
	n, err := p.client.SendMessages(background, []datagram.OutputMessage{message("short"), message(long[:700], long[700:]), message("short")}, 0, -1)
	if n != 1 || err != nil { // the documentation's partial success
		t.Errorf("sent %d, %v", n, err)
	}
	n, err = p.client.SendMessages(background, []datagram.OutputMessage{message(long)}, 0, -1)
	wantIO(t, err, datagram.CodeMessageTooLarge)
	if n != 0 || err == nil || err.Error() != "message of size 1364 bytes is too large for DTLS connection (maximum is 1363 bytes)" {
		t.Errorf("sent %d, %v", n, err)
	}
	send(t, p.client, long[:1363])
	receive(t, p.server, "short", long[:1363])

	// The MTU may be set, up to what one record holds.
	for _, mtu := range []int{256, 9000, 65535} {
		if err := p.client.SetMTU(mtu); err != nil {
			t.Fatal(err)
		}
		most := min(mtu-37, 1<<14)
		if got := p.client.MaximumMessageSize(); got != most || p.client.MTU() != mtu {
			t.Errorf("MTU %d: longest message has %d bytes", p.client.MTU(), got)
		}
		big := strings.Repeat("y", most)
		send(t, p.client, big)
		in := room(1, 1<<15)
		if _, err := p.server.ReceiveMessages(background, in, 0, -1); err != nil || text(&in[0]) != big {
			t.Errorf("MTU %d: %v", mtu, err)
		}
		wantIO(t, func() error {
			_, err := p.client.SendMessages(background, []datagram.OutputMessage{message(big, "y")}, 0, -1)
			return err
		}(), datagram.CodeMessageTooLarge)
	}
}

// An empty message is a message, and no end (G203, case f).
func TestEmptyMessage(t *testing.T) {
	p := connected(t)
	send(t, p.client, "")
	in := room(1, 10)
	in[0].BytesReceived = 99
	if n, err := p.server.ReceiveMessages(background, in, 0, -1); n != 1 || err != nil || in[0].BytesReceived != 0 {
		t.Errorf("received %d, %v, %d bytes", n, err, in[0].BytesReceived)
	}
	converse(t, p)
}

// Many goroutines read and write at once, and every message arrives once and whole
// (G006, G187; simultaneous-sync of G217).
func TestSimultaneous(t *testing.T) {
	const writers, each = 4, 200
	a, b := datagram.NewPipe(datagram.WithQueue(16))
	p := newPairOver(t, a, b)
	mustHandshake(t, p)
	var wg sync.WaitGroup
	for _, direction := range [][2]*conn.DtlsConnection{{p.client.DtlsConnection, p.server.DtlsConnection}, {p.server.DtlsConnection, p.client.DtlsConnection}} {
		from, to := direction[0], direction[1]
		for w := range writers {
			wg.Go(func() {
				for i := 0; i < each; i += 4 {
					out := make([]datagram.OutputMessage, 4)
					for k := range out {
						out[k] = message(fmt.Sprintf("%d/%d ", w, i+k), strings.Repeat("x", i))
					}
					for len(out) > 0 {
						n, err := from.SendMessages(background, out, 0, patience)
						if err != nil {
							t.Error(err)
							return
						}
						out = out[n:]
					}
				}
			})
		}
		var mu sync.Mutex
		seen := map[string]bool{}
		for range writers {
			wg.Go(func() {
				for count := 0; count < each; {
					in := room(min(3, each-count), 400)
					n, err := to.ReceiveMessages(background, in, 0, patience)
					if n == 0 || err != nil {
						t.Error(n, err)
						return
					}
					count += n
					mu.Lock()
					for i := range n {
						var w, k int
						if _, err := fmt.Sscanf(text(&in[i]), "%d/%d ", &w, &k); err != nil {
							t.Error(err)
						}
						got := text(&in[i])
						if want := fmt.Sprintf("%d/%d ", w, k) + strings.Repeat("x", k-k%4); got != want || seen[got] {
							t.Errorf("received %q, seen before: %v", got, seen[got])
						}
						seen[got] = true
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
}
