package serverconn_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// floodSockets are sockets on many loopback addresses and ports, connected to a server.
func floodSockets(t testing.TB, n int, to datagram.Address) []*datagram.Socket {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback")
	}
	sockets := make([]*datagram.Socket, n)
	for i := range sockets {
		from := &net.UDPAddr{IP: net.IPv4(127, 2, byte(i>>8), byte(i))}
		sockets[i] = netSocket(t, from, to)
	}
	return sockets
}

// plainLoopback is a socket without the buffers of large receives, for tests that look
// at the memory that peers take.
func plainLoopback(t testing.TB) *datagram.Socket {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := datagram.New(packets, datagram.Without(datagram.Batching|datagram.GRO))
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// While 50,000 spoofed hellos arrive from other addresses, established peers lose
// nothing that the kernel did not drop, memory stays flat, and a real client gets in.
func TestSpoofedHellosBesidePeers(t *testing.T) {
	const spoofed, attackers, peers = 50_000, 250, 8
	base := plainLoopback(t)
	l := listenOn(t, base, configureTest)
	var served atomic.Uint64
	serve(t, l, serverconn.Handler{Messages: func(_ *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
		served.Add(uint64(len(messages)))
		return append(replies, messages...)
	}})
	sockets := floodSockets(t, attackers, l.LocalAddress())
	hello := firstHello(t)
	clients := make([]*clientconn.DtlsClientConnection, peers)
	for i := range clients {
		clients[i] = shake(t, dial(t, l.LocalAddress(), true))
	}
	for _, s := range sockets { // what is made once
		sendRaw(t, s, hello)
	}
	connectServed(t, l)
	eventually(t, "the first are gone", func() bool { return l.Stats().Hellos >= attackers && l.Stats().Peers == peers })
	before, goroutines, start := heap(), runtime.NumGoroutine(), l.Stats()
	first := served.Load()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var talking, flooding sync.WaitGroup
	var sent, answered atomic.Uint64
	for _, c := range clients {
		talking.Go(func() {
			buf := make([]byte, 100)
			for ctx.Err() == nil {
				if err := datagram.SendOne(context.Background(), c, []byte("still here"), datagram.Address{}, time.Second); err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
				n, _, err := datagram.ReceiveOne(context.Background(), c, buf, 100*time.Millisecond)
				switch {
				case err == nil && string(buf[:n]) == "still here":
					answered.Add(1)
				case !errors.Is(err, datagram.ErrTimedOut): // the kernel may have dropped it
					t.Errorf("%q, %v", buf[:n], err)
					return
				}
			}
		})
	}
	flooding.Go(func() {
		random := rand.New(rand.NewPCG(5, 6))
		data := append([]byte(nil), hello...)
		for i := range spoofed {
			binary.BigEndian.PutUint32(data[30:], random.Uint32()) // of its random
			s := sockets[i%attackers]
			_ = datagram.SendOne(context.Background(), s, data, datagram.Address{}, time.Second)
			if i == spoofed/2 {
				newcomer := dial(t, l.LocalAddress(), false)
				if err := newcomer.Handshake(testContext(t)); err != nil {
					t.Errorf("a real client does not get in: %v", err)
				}
				_ = newcomer.Close(context.Background())
			}
		}
	})
	flooding.Wait()
	cancel()
	talking.Wait()
	var dropped uint64
	eventually(t, "all that arrived is answered", func() bool {
		dropped = base.Stats().KernelDropped
		return l.Stats().Hellos-start.Hellos+dropped >= spoofed && served.Load()-first+dropped >= sent.Load()
	})
	s := l.Stats()
	t.Logf("%d hellos answered, %d of %d messages served and %d answered, the kernel dropped %d datagrams", s.Hellos-start.Hellos, served.Load()-first, sent.Load(), answered.Load(), dropped)
	if s.Dropped != 0 || s.Unsent != 0 || s.QueuedBytes != 0 {
		t.Errorf("%+v", s)
	}
	if lost := sent.Load() - answered.Load(); lost > dropped {
		t.Errorf("%d messages without an answer, the kernel dropped %d datagrams", lost, dropped)
	}
	eventually(t, "the newcomer is gone", func() bool { return l.Stats().Peers == peers })
	if grown := heap() - before; grown > 512<<10 {
		t.Errorf("%d bytes more after the flood", grown)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}

// hand is a client over a socket of which each step is made by hand.
type hand struct {
	*clientconn.DtlsClientEngine
	socket *datagram.Socket
}

func newHand(t testing.TB, to datagram.Address) *hand {
	t.Helper()
	e, err := clientconn.NewDtlsClientEngine(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Connection().SetValidationFlags(0)
	_ = e.SetMtuHint(300) // several datagrams a flight
	h := &hand{e, netSocket(t, nil, to)}
	if err := h.DoHandshake(nil); err != nil {
		t.Fatal(err)
	}
	return h
}

// send sends so many of the datagrams that wait; -1 is all of them.
func (h *hand) send(t testing.TB, n int) {
	for i, d := range h.Output() {
		if n < 0 || i < n {
			sendRaw(t, h.socket, d)
		}
	}
}

// receive takes a datagram of the server.
func (h *hand) receive(t testing.TB) {
	t.Helper()
	buf := make([]byte, 2000)
	n, _, err := datagram.ReceiveOne(t.Context(), h.socket, buf, 5*time.Second)
	if err == nil {
		err = h.DoHandshake(buf[:n])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Clients that stop after any flight, or in the middle of one, cost one place until
// their deadline, and nothing afterwards.
func TestStopAfterAnyFlight(t *testing.T) {
	t.Parallel()
	const each = 5
	l := listenOn(t, loopback(t), func(c *serverconn.DtlsServerConnection) error {
		c.SetAuthenticationMode(conn.AuthenticationRequested) // a certificate makes the client's flight long
		return configureTest(c)
	}, serverconn.WithHandshakeTimeout(500*time.Millisecond))
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	stops := []struct {
		name    string
		pending int // handshakes that it leaves
		run     func(*hand)
	}{
		{"after the first hello", 0, func(h *hand) { h.send(t, -1) }},
		{"after the hello with the cookie", 1, func(h *hand) { h.send(t, -1); h.receive(t); h.send(t, -1) }},
		{"in the middle of the last flight", 1, func(h *hand) {
			h.Connection().SetCertificate(testCertificate())
			h.send(t, -1)
			h.receive(t)
			h.send(t, -1)
			flight := h.Output()
			for ; len(flight) == 0; flight = h.Output() {
				h.receive(t)
			}
			if len(flight) < 2 {
				t.Fatal("the last flight is in one datagram")
			}
			sendRaw(t, h.socket, flight[0])
		}},
	}
	for _, stop := range stops {
		start := l.Stats()
		for range each {
			stop.run(newHand(t, l.LocalAddress()))
		}
		eventually(t, stop.name, func() bool { return l.Stats().Peers == stop.pending*each })
		connectServed(t, l)
		eventually(t, stop.name+": it is forgotten", func() bool {
			s := l.Stats()
			return s.Peers == 0 && s.Failed-start.Failed == uint64(stop.pending*each)
		})
	}
}

// connectServed makes a client, which others must not keep out, and ends it.
func connectServed(t testing.TB, l *serverconn.DtlsListener) {
	t.Helper()
	c := shake(t, dial(t, l.LocalAddress(), true))
	sendText(t, c, "hello")
	wantText(t, c, "hello")
	_ = c.Close(context.Background())
}

// Clients that flood their handshakes with fragments of long messages cost no more
// than the bounds of a handshake, and disappear at their deadline.
func TestFragmentFlood(t *testing.T) {
	const (
		attackers = 10
		fragments = 2000
		// Twice the longest message, records that came early, and a queue.
		bound = (128 + 32 + 512) << 10
	)
	var failed atomic.Int32
	l := listenOn(t, plainLoopback(t), func(c *serverconn.DtlsServerConnection) error {
		c.SetAuthenticationMode(conn.AuthenticationRequested) // whose messages may be long
		return configureTest(c)
	}, serverconn.WithHandshakeTimeout(3*time.Second), serverconn.WithHandshakeFailed(func(*serverconn.DtlsServerConnection, error) { failed.Add(1) }))
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	connectServed(t, l)
	eventually(t, "nobody is there", func() bool { return l.Stats().Peers == 0 })
	hands := make([]*hand, attackers)
	for i := range hands {
		h := newHand(t, l.LocalAddress())
		h.send(t, -1)
		h.receive(t)
		h.send(t, -1)
		h.receive(t) // so that its handshake has begun
		hands[i] = h
	}
	before := heap()
	random := rand.New(rand.NewPCG(8, 9))
	for _, h := range hands {
		for k := range fragments {
			sendRaw(t, h.socket, fragment(random, uint64(k+100)))
		}
	}
	grown := heap() - before
	if s := l.Stats(); s.Peers != attackers {
		t.Fatalf("they are gone already: %+v", s)
	}
	t.Logf("%d bytes for each of %d clients that flood", grown/attackers, attackers)
	if grown > attackers*bound {
		t.Errorf("%d bytes for %d clients that flood", grown, attackers)
	}
	connectServed(t, l)
	eventually(t, "they are forgotten", func() bool { return l.Stats().Peers == 0 && failed.Load() == attackers })
	eventually(t, "and their memory is free", func() bool { return heap()-before < 1<<20 })
}

// fragment is a record with a part of a Certificate, of one of the messages that are
// awaited or may come early.
func fragment(random *rand.Rand, sequence uint64) []byte {
	const length, part = 60_000, 100
	d := make([]byte, 0, 13+12+part)
	d = append(d, 22, 0xfe, 0xfd)
	d = binary.BigEndian.AppendUint64(d, sequence)
	d = binary.BigEndian.AppendUint16(d, 12+part)
	put24 := func(n int) { d = append(d, byte(n>>16), byte(n>>8), byte(n)) }
	d = append(d, 11)
	put24(length)
	d = binary.BigEndian.AppendUint16(d, uint16(2+random.IntN(16)))
	put24(random.IntN(length - part))
	put24(part)
	return d[:cap(d)]
}

// A client that is killed and comes again from the same port is served again, and the
// old association is told of as broken.
func TestServeRestart(t *testing.T) {
	l := listen(t)
	ends := make(chan error, 3)
	serve(t, l, serverconn.Handler{
		Messages: echoMessages,
		Closed:   func(_ *serverconn.DtlsServerConnection, reason error) { ends <- reason },
	})
	first := netSocket(t, nil, l.LocalAddress())
	port := net.UDPAddrFromAddrPort(first.LocalAddress().AddrPort())
	client := shake(t, dialFrom(t, first, true))
	sendText(t, client, "first")
	wantText(t, client, "first")
	for round := range 3 {
		_ = first.Close() // killed: it says nothing
		first = netSocket(t, port, l.LocalAddress())
		client = shake(t, dialFrom(t, first, true))
		text := fmt.Sprint("again ", round)
		sendText(t, client, text)
		wantText(t, client, text)
		if reason := <-ends; !errors.Is(reason, conn.ErrEOF) {
			t.Errorf("the end of the old one: %v", reason)
		}
	}
	if s := l.Stats(); s.Restarted != 3 || s.Peers != 1 {
		t.Errorf("%+v", s)
	}
}

// A client that has missed the server's last flight gets it again, though the
// application has nothing to read.
func TestServeRepeatsLastFlight(t *testing.T) {
	t.Parallel()
	l := listen(t)
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	h := newHand(t, l.LocalAddress())
	h.send(t, -1)
	h.receive(t)
	h.send(t, -1)
	for flight := h.Output(); ; flight = h.Output() {
		for _, d := range flight {
			sendRaw(t, h.socket, d)
		}
		if len(flight) > 0 {
			break
		}
		h.receive(t)
	}
	buf := make([]byte, 2000)
	if n, _, err := datagram.ReceiveOne(t.Context(), h.socket, buf, 5*time.Second); n == 0 || err != nil {
		t.Fatal(n, err)
	} // and is lost
	eventually(t, "the server has finished", func() bool { return l.Stats().Accepted == 1 })
	time.Sleep(time.Until(h.Deadline()))
	if err := h.HandleTimeout(); err != nil {
		t.Fatal(err)
	}
	h.send(t, -1)
	for !h.IsConnectionEncrypted() {
		h.receive(t)
	}
	if err := h.WriteDatagramEncrypted([]byte("at last")); err != nil {
		t.Fatal(err)
	}
	h.send(t, -1)
	n, _, err := datagram.ReceiveOne(t.Context(), h.socket, buf, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.DecryptDatagram(buf[:n]); len(got) != 1 || string(got[0]) != "at last" {
		t.Errorf("%q, %v", got, err)
	}
}
