package serverconn_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// spoofed makes a new address of every datagram that the attacker's socket sends,
// and takes what is sent to those.
type spoofed struct {
	*datagram.Socket
	attacker datagram.Address
	count    atomic.Uint32
	replies  atomic.Uint64 // sent to the attacker's addresses
	longest  atomic.Int64  // of these, in bytes
}

var spoofedNet = netip.MustParsePrefix("10.0.0.0/8")

func (s *spoofed) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := s.Socket.ReceiveMessages(ctx, messages, flags, timeout)
	for i := range n {
		if messages[i].Address == s.attacker {
			ip := [4]byte{}
			k := s.count.Add(1)
			binary.BigEndian.PutUint32(ip[:], 10<<24|k)
			messages[i].Address = datagram.AddressFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(ip), uint16(k)|1))
		}
	}
	return n, err
}

func (s *spoofed) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	for i := range messages {
		if spoofedNet.Contains(messages[i].Address.AddrPort().Addr()) {
			s.replies.Add(1)
			size := 0
			for _, v := range messages[i].Vectors {
				size += len(v)
			}
			s.longest.Store(max(s.longest.Load(), int64(size)))
			continue
		}
		if _, err := s.Socket.SendMessages(ctx, messages[i:i+1], flags, timeout); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

// firstHello is a client's ClientHello without a cookie.
func firstHello(t testing.TB) []byte {
	t.Helper()
	a, b := datagram.NewPipe()
	client := dialFrom(t, a, false)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Handshake(ctx) }()
	buf := make([]byte, 2000)
	n, _, err := datagram.ReceiveOne(context.Background(), b, buf, 5*time.Second)
	cancel()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Hellos from addresses that do not answer, and garbage, leave nothing behind, and
// others are served meanwhile.
func TestSpoofedHellosKeepNothing(t *testing.T) {
	attacker := loopback(t)
	base := &spoofed{Socket: loopback(t), attacker: attacker.LocalAddress()}
	l := listenOn(t, base, configureTest)
	client, server := connect(t, l, true)
	go func() { _ = echo(server) }()
	untilAnswered(t, client)
	hello := firstHello(t)
	random := rand.New(rand.NewPCG(1, 2))
	flood := func(n int) {
		batch := make([]datagram.OutputMessage, 16)
		for ; n > 0; n -= len(batch) {
			for i := range batch {
				data := append([]byte(nil), hello...)
				switch i % 4 {
				case 0: // any bytes
					data = data[:random.IntN(60)]
					for k := range data {
						data[k] = byte(random.Uint32())
					}
				case 1: // a damaged hello
					data[random.IntN(len(data))] ^= 1 << random.IntN(8)
				case 2: // another random, and a wrong cookie's worth of bytes
					data[20]++
				}
				batch[i] = datagram.OutputMessage{Address: base.LocalAddress(), Vectors: [][]byte{data}}
			}
			if _, err := attacker.SendMessages(t.Context(), batch, 0, time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	flood(320)
	verified, before, goroutines := l.Stats().Verified, heap(), runtime.NumGoroutine()
	for base.count.Load() < 50_000 { // the kernel may drop some
		flood(1600)
	}
	untilAnswered(t, client)
	eventually(t, "the flood has been read", func() bool {
		pending := base.ConditionCheck(datagram.In)
		return pending == 0
	})
	after := heap()
	if s := l.Stats(); s.Peers != 1 || s.Established != 1 || s.Failed != 0 || s.Verified != verified || s.QueuedBytes != 0 {
		t.Errorf("%+v", s)
	}
	seen := base.count.Load()
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	// Far less than a byte for each would be; this leaves room for the runtime's own.
	if grown := after - before; grown > 256<<10 {
		t.Errorf("%d bytes more after %d datagrams", grown, seen)
	}
	if replies := base.replies.Load(); replies < uint64(seen)/4 || base.longest.Load() > int64(len(hello)) {
		t.Errorf("%d replies of up to %d bytes to %d datagrams", replies, base.longest.Load(), seen)
	}
	connect(t, l, false)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cutOff drops what a client receives after its HelloVerifyRequest, and sends after
// the hello with the cookie: what it does then nobody sees.
func cutOff(base datagram.DatagramBased) *datagram.Impaired {
	first := func(n int) datagram.Profile {
		return datagram.Profile{Filter: func(index int, _ []byte) datagram.Verdict {
			if index < n {
				return datagram.VerdictPass
			}
			return datagram.VerdictDrop
		}}
	}
	return datagram.NewImpaired(base, datagram.Impairment{Send: first(2), Receive: first(1)})
}

// silent starts a client that stops after its hello; end sends the alert that ends
// its handshake.
func silent(t testing.TB, l *serverconn.DtlsListener) (end func()) {
	t.Helper()
	verified := l.Stats().Verified
	base := netSocket(t, nil, l.LocalAddress())
	client := dialFrom(t, cutOff(base), false)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = client.Handshake(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the silent client's hello is verified", func() bool { return l.Stats().Verified > verified })
	alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 90} // fatal, user_canceled
	return func() { sendRaw(t, base, alert) }
}

func sendRaw(t testing.TB, base datagram.DatagramBased, data []byte) {
	t.Helper()
	if err := datagram.SendOne(t.Context(), base, data, datagram.Address{}, time.Second); err != nil {
		t.Fatal(err)
	}
}

// Clients that stop after their hello stall nobody, as long as they are fewer than
// the handshakes allowed, and lose their place at the deadline.
func TestSilentPeers(t *testing.T) {
	t.Parallel()
	var timedOut atomic.Int32
	l := listen(t, serverconn.WithMaxHandshakes(3), serverconn.WithHandshakeTimeout(time.Second),
		serverconn.WithHandshakeFailed(func(c *serverconn.DtlsServerConnection, err error) {
			switch {
			case errors.Is(err, datagram.ErrTimedOut):
				timedOut.Add(1)
			case !errors.Is(err, datagram.ErrClosed): // by the end of the test
				t.Errorf("%v: %v", c.PeerAddress(), err)
			}
		}))
	silent(t, l)
	silent(t, l)
	start := time.Now()
	for range 5 {
		connect(t, l, true)
	}
	t.Logf("5 clients beside two silent ones: %v", time.Since(start))
	eventually(t, "the silent ones are forgotten", func() bool { return timedOut.Load() == 2 && l.Stats().Peers == 5 })
}

// Beyond the limit of handshakes hellos are refused, until one is over.
func TestMaxHandshakes(t *testing.T) {
	l := listen(t, serverconn.WithMaxHandshakes(2))
	silent(t, l)
	end := silent(t, l)
	third := dial(t, l.LocalAddress(), true)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := third.Handshake(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a third handshake: %v", err)
	}
	if s := l.Stats(); s.Refused == 0 || s.Peers != 2 {
		t.Errorf("%+v", s)
	}
	end()
	eventually(t, "a handshake is over", func() bool { return l.Stats().Peers == 1 })
	connect(t, l, true)
}

// Beyond the limit of peers hellos are refused, until one is closed.
func TestMaxPeers(t *testing.T) {
	l := listen(t, serverconn.WithMaxPeers(2))
	connect(t, l, true)
	_, second := connect(t, l, true)
	third := dial(t, l.LocalAddress(), true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := third.Handshake(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a third peer: %v", err)
	}
	if s := l.Stats(); s.Refused == 0 || s.Peers != 2 {
		t.Errorf("%+v", s)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	connect(t, l, true)
}

// What is not accepted before its time is over is closed.
func TestBacklog(t *testing.T) {
	l := listen(t, serverconn.WithBacklog(1), serverconn.WithHandshakeTimeout(700*time.Millisecond))
	first, second := dial(t, l.LocalAddress(), true), dial(t, l.LocalAddress(), true)
	for _, c := range []interface{ Handshake(context.Context) error }{first, second} {
		if err := c.Handshake(testContext(t)); err != nil {
			t.Fatal(err)
		}
		// The client is done before the server has noted it.
		eventually(t, "the first connection waits", func() bool { return l.Stats().Waiting == 1 })
	}
	wantEnd(t, second)
	if s := l.Stats(); s.Handshakes != 2 || s.Failed != 1 || s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
	server, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sendText(t, first, "I was accepted")
	wantText(t, server, "I was accepted")
}

// wantEnd waits for the peer's close_notify.
func wantEnd(t testing.TB, c datagram.DatagramBased) {
	t.Helper()
	messages := []datagram.InputMessage{{Vectors: [][]byte{make([]byte, 100)}}}
	if n, err := c.ReceiveMessages(t.Context(), messages, 0, 5*time.Second); n != 0 || err != nil {
		t.Errorf("instead of close_notify: %d messages, %v", n, err)
	}
}

// A refusal by configure is told and leaves nothing.
func TestConfigureRefuses(t *testing.T) {
	refusal := errors.New("not from there")
	told := make(chan error, 10)
	l := listenOn(t, loopback(t), func(*serverconn.DtlsServerConnection) error { return refusal },
		serverconn.WithHandshakeFailed(func(_ *serverconn.DtlsServerConnection, err error) { told <- err }))
	ctx, cancel := context.WithCancel(t.Context())
	client := dial(t, l.LocalAddress(), true)
	done := make(chan error, 1)
	go func() { done <- client.Handshake(ctx) }()
	if err := <-told; err != refusal {
		t.Errorf("told of %v", err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("the client got in")
	}
	eventually(t, "the peer is forgotten", func() bool { return l.Stats().Peers == 0 })
}

// A failed handshake is told with its cause, and the peer is forgotten.
func TestFailedHandshake(t *testing.T) {
	told := make(chan error, 10)
	l := listenOn(t, loopback(t), func(c *serverconn.DtlsServerConnection) error {
		c.SetCertificate(testCertificate())
		c.SetAuthenticationMode(conn.AuthenticationRequired)
		return nil
	}, serverconn.WithHandshakeFailed(func(_ *serverconn.DtlsServerConnection, err error) { told <- err }))
	client := dial(t, l.LocalAddress(), false)
	if err := client.Handshake(testContext(t)); !errors.Is(err, conn.ErrCertificateRequired) {
		t.Errorf("client: %v", err)
	}
	if err := <-told; !errors.Is(err, conn.ErrCertificateRequired) {
		t.Errorf("told of %v", err)
	}
	eventually(t, "the peer is forgotten", func() bool { return l.Stats().Peers == 0 })
}
