//go:build !race

// The race detector changes what is allocated.

package serverconn_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// A datagram to an established connection and one back allocate nothing, whoever
// else is connected.
func TestNoAllocationPerDatagram(t *testing.T) {
	l := listen(t)
	client, server := connect(t, l, true)
	other, otherServer := connect(t, l, true)
	ctx := context.Background()
	payload, buf := make([]byte, 1200), make([]byte, 1500)
	out := []datagram.OutputMessage{{Vectors: [][]byte{payload}}}
	in := []datagram.InputMessage{{Vectors: [][]byte{buf}}}
	turn := func(from, to datagram.DatagramBased) {
		if n, err := from.SendMessages(ctx, out, 0, -1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := to.ReceiveMessages(ctx, in, 0, 5*time.Second); n != 1 || err != nil || in[0].BytesReceived != len(payload) {
			t.Fatal(n, err)
		}
	}
	round := func() {
		turn(client, server)
		turn(server, client)
		turn(other, otherServer)
		turn(otherServer, other)
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 0.5 { // a collection may empty the pools
		t.Errorf("%v allocations for 4 datagrams", n)
	}
}

// A client whose cookie is not right allocates nothing.
func TestNoAllocationPerUnverifiedHello(t *testing.T) {
	v := serverconn.NewClientVerifier()
	hello := firstHello(t)
	if n := testing.AllocsPerRun(1000, func() {
		if _, reply, err := v.VerifyClient(hello, clientAddress); reply == nil || err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.VerifyClient(hello[:40], clientAddress); err == nil {
			t.Fatal("a cut hello is no error")
		}
	}); n > 0.1 {
		t.Errorf("%v allocations for clients that are refused", n)
	}
}

// Messages through engines allocate nothing.
func TestNoAllocationPerEngineMessage(t *testing.T) {
	l := newLink(t, true)
	l.mustShake()
	payload := make([]byte, 1200)
	if n := testing.AllocsPerRun(1000, func() {
		if err := l.client.WriteDatagramEncrypted(payload); err != nil {
			t.Fatal(err)
		}
		for _, d := range l.client.Output() {
			if got, err := l.server.DecryptDatagram(d); len(got) != 1 || err != nil {
				t.Fatal(len(got), err)
			}
		}
	}); n > 0.1 {
		t.Errorf("%v allocations for a message", n)
	}
}

// What an idle peer costs: a bounded amount of heap, and no goroutine.
func TestCostOfPeer(t *testing.T) {
	const peers = 300
	l := listen(t)
	connect(t, l, true) // what is made once
	before, goroutines := heap(), runtime.NumGoroutine()
	sockets := make([]*datagram.Socket, peers)
	for i := range sockets {
		sockets[i] = connectAndForget(t, l)
	}
	for _, s := range sockets { // not before, so that each had another port
		_ = s.Close()
	}
	clear(sockets)
	eventually(t, "no peer has a goroutine", func() bool { return runtime.NumGoroutine() <= goroutines })
	cost := (heap() - before) / peers
	t.Logf("%d bytes of heap per idle peer", cost)
	if cost > 5<<10 {
		t.Errorf("an idle peer takes %d bytes, 5120 are allowed", cost)
	}
	if s := l.Stats(); s.Established != peers+1 {
		t.Errorf("%+v", s)
	}
}

// connectAndForget makes a connection of which only the listener's side and the
// client's socket remain.
func connectAndForget(t testing.TB, l *serverconn.DtlsListener) *datagram.Socket {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(l.LocalAddress().AddrPort()))
	if err != nil {
		t.Fatal(err)
	}
	base := datagram.New(c)
	client, err := clientconn.NewDtlsClientConnection(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	client.ConnectPskRequired(func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
		a.SetIdentity([]byte("somebody"))
		a.SetPreSharedKey(testKey)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := client.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return base
}
