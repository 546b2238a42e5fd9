package serverconn_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

func TestListenerArguments(t *testing.T) {
	if _, err := serverconn.NewDtlsListener(nil, configureTest); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Errorf("without base: %v", err)
	}
	if _, err := serverconn.NewDtlsListener(loopback(t), nil); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Errorf("without configure: %v", err)
	}
}

// Connections come in the order in which their handshakes succeeded, and know
// where their peers are.
func TestAcceptOrder(t *testing.T) {
	l := listen(t)
	var bases []*datagram.Socket
	for range 4 {
		base := netSocket(t, nil, l.LocalAddress())
		bases = append(bases, base)
		if err := dialFrom(t, base, true).Handshake(testContext(t)); err != nil {
			t.Fatal(err)
		}
		// The client is done before the server has noted it.
		eventually(t, "the connection waits", func() bool { return l.Stats().Waiting == len(bases) })
	}
	for i, base := range bases {
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.PeerAddress() != base.LocalAddress() {
			t.Errorf("connection %d is from %v, not %v", i, c.PeerAddress(), base.LocalAddress())
		}
		if got := c.NetConn().LocalAddr().String(); got != l.LocalAddress().String() {
			t.Errorf("its own address is %v", got)
		}
	}
}

func TestAcceptIsCancelled(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, datagram.ErrCancelled) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Close ends Accept and what nobody has accepted; accepted connections go on.
func TestClose(t *testing.T) {
	l := listen(t)
	client, server := connect(t, l, true)
	unaccepted := dial(t, l.LocalAddress(), true)
	if err := unaccepted.Handshake(testContext(t)); err != nil {
		t.Fatal(err)
	}
	silent(t, l)
	eventually(t, "one waits", func() bool { return l.Stats().Waiting == 1 })
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) || !errors.Is(err, datagram.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	wantEnd(t, unaccepted)
	if s := l.Stats(); s.Peers != 1 || s.Established != 1 {
		t.Errorf("%+v", s)
	}
	sendText(t, client, "are you there?")
	wantText(t, server, "are you there?")
	sendText(t, server, "yes")
	wantText(t, client, "yes")

	late := dial(t, l.LocalAddress(), true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := late.Handshake(ctx); err == nil {
		t.Error("a client got in after close")
	}
}

// Accept that waits ends with Close.
func TestCloseEndsAccept(t *testing.T) {
	l := listen(t)
	done := make(chan error, 1)
	go func() {
		_, err := l.Accept(context.Background())
		done <- err
	}()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Shutdown sends close_notify to all, also to those whose server is reading, and
// afterwards nobody uses the base.
func TestShutdown(t *testing.T) {
	base := loopback(t)
	l := listenOn(t, base, configureTest)
	var clients []*clientconn.DtlsClientConnection
	var serving sync.WaitGroup
	for range 5 {
		client, server := connect(t, l, true)
		clients = append(clients, client)
		serving.Go(func() {
			if err := echo(server); !errors.Is(err, datagram.ErrClosed) {
				t.Errorf("the reader of a connection got %v", err)
			}
		})
	}
	if err := l.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		wantEnd(t, c)
	}
	serving.Wait()
	if s := l.Stats(); s.Peers != 0 || s.Established != 0 {
		t.Errorf("%+v", s)
	}
	// The base stays open, and serves another listener.
	connect(t, listenOn(t, base, configureTest), true)
}

// When the base is closed, everything that uses it ends.
func TestBaseCloses(t *testing.T) {
	base := loopback(t)
	l := listenOn(t, base, configureTest)
	_, server := connect(t, l, true)
	done := make(chan error, 1)
	go func() { done <- echo(server) }()
	if err := base.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, datagram.ErrClosed) {
		t.Errorf("a connection: %v", err)
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
}

// oneAddress gives the datagrams of a pipe a sender.
type oneAddress struct{ *datagram.Pipe }

func (o oneAddress) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := o.Pipe.ReceiveMessages(ctx, messages, flags, timeout)
	for i := range n {
		messages[i].Address = datagram.AddressFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))
	}
	return n, err
}

// A connection over which nothing is said for the idle time is closed, whatever
// arrives that is not its peer's, and none before.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = 800 * time.Millisecond
		a, b := datagram.NewPipe()
		l := listenOn(t, oneAddress{b}, configureTest, serverconn.WithIdleTimeout(idle))
		client := dialFrom(t, a, true)
		server := accept(t, l, client)
		echoed := make(chan error, 1)
		go func() { echoed <- echo(server) }()
		for range 10 {
			time.Sleep(idle * 9 / 10)
			sendText(t, client, "tick")
			wantText(t, client, "tick")
		}
		forged := append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30}, make([]byte, 30)...)
		quiet := time.Now()
		for l.Stats().IdleClosed == 0 {
			_ = datagram.SendOne(t.Context(), a, forged, datagram.Address{}, 0)
			time.Sleep(idle / 100)
		}
		if after := time.Since(quiet); after < idle || after > idle*5/4 {
			t.Errorf("closed after %v, idle time-out is %v", after, idle)
		}
		wantEnd(t, client)
		if err := <-echoed; !errors.Is(err, datagram.ErrClosed) {
			t.Errorf("its reader got %v", err)
		}
		if s := l.Stats(); s.IdleClosed != 1 || s.Peers != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A client that restarts from the same port gets a new association; the old one
// lives until the handshake is complete (RFC 6347 4.2.8).
func TestRestart(t *testing.T) {
	l := listen(t, serverconn.WithHandshakeTimeout(700*time.Millisecond))
	base := netSocket(t, nil, l.LocalAddress())
	old := dialFrom(t, base, true)
	oldServer := accept(t, l, old)

	// One that starts a handshake and gives it up harms nothing.
	verified := l.Stats().Verified
	ctx, cancel := context.WithCancel(t.Context())
	begun := dialFrom(t, cutOff(base), false)
	failed := make(chan error, 1)
	go func() { failed <- begun.Handshake(ctx) }()
	eventually(t, "its hello is verified", func() bool { return l.Stats().Verified > verified })
	sendText(t, old, "still me")
	wantText(t, oldServer, "still me")
	cancel()
	<-failed
	eventually(t, "it is given up", func() bool { return l.Stats().Failed == 1 })
	sendText(t, oldServer, "still you?") // after an alert to the other, which is not for this one
	wantText(t, old, "still you?")

	fresh := dialFrom(t, base, false)
	freshServer := accept(t, l, fresh)
	sendText(t, fresh, "the new one")
	wantText(t, freshServer, "the new one")
	sendText(t, freshServer, "welcome")
	wantText(t, fresh, "welcome")
	if _, _, err := datagram.ReceiveOne(t.Context(), oldServer, make([]byte, 10), time.Second); !errors.Is(err, conn.ErrEOF) {
		t.Errorf("the old association: %v", err)
	}
	if err := oldServer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	sendText(t, freshServer, "still welcome")
	wantText(t, fresh, "still welcome")
	if s := l.Stats(); s.Restarted != 1 || s.Peers != 1 || s.Established != 1 {
		t.Errorf("%+v", s)
	}
}

// A client that restarts before its handshake is complete begins anew.
func TestRestartDuringHandshake(t *testing.T) {
	l := listen(t)
	base := netSocket(t, nil, l.LocalAddress())
	ctx, cancel := context.WithCancel(t.Context())
	first := dialFrom(t, cutOff(base), false)
	failed := make(chan error, 1)
	go func() { failed <- first.Handshake(ctx) }()
	eventually(t, "its hello is verified", func() bool { return l.Stats().Verified > 0 })
	cancel()
	<-failed
	second := dialFrom(t, base, false)
	server := accept(t, l, second)
	sendText(t, second, "now")
	wantText(t, server, "now")
	if s := l.Stats(); s.Peers != 1 || s.Established != 1 {
		t.Errorf("%+v", s)
	}
}

// Handshakes and messages get through a very bad network.
func TestImpairedHandshakes(t *testing.T) {
	bad := datagram.Profile{Drop: 0.3, Duplicate: 0.2, Reorder: 0.2}
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			a, b := datagram.NewPipe()
			base := datagram.NewImpaired(oneAddress{b}, datagram.Impairment{Seed: seed, Send: bad, Receive: bad})
			l := listenOn(t, base, configureTest, serverconn.WithHandshakeTimeout(5*time.Minute))
			client := dialFrom(t, a, seed%2 == 0)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				server, err := l.Accept(ctx)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				_ = echo(server)
			}()
			if err := client.Handshake(ctx); err != nil {
				t.Fatalf("seed %d: %v; %+v", seed, err, l.Stats())
			}
			untilAnswered(t, client)
			_ = l.Shutdown(ctx)
			<-done
		})
	}
}

// untilAnswered says something until it is heard: what is lost is not sent again by
// DTLS.
func untilAnswered(t testing.TB, c datagram.DatagramBased) {
	buf := make([]byte, 10)
	for range 100 {
		_ = datagram.SendOne(context.Background(), c, []byte("hello"), datagram.Address{}, -1)
		n, _, err := datagram.ReceiveOne(context.Background(), c, buf, 50*time.Millisecond)
		if err == nil && string(buf[:n]) == "hello" {
			return
		}
	}
	t.Errorf("%v is not answered", c)
}

// The same with several clients on one real socket, and less of it.
func TestImpairedSocket(t *testing.T) {
	t.Parallel()
	bad := datagram.Profile{Drop: 0.1, Duplicate: 0.1, Reorder: 0.1}
	socket := loopback(t)
	base := datagram.NewImpaired(socket, datagram.Impairment{Seed: 7, Send: bad, Receive: bad})
	l := listenOn(t, base, configureTest)
	var serving, talking sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			serving.Go(func() { _ = echo(c) })
		}
	})
	for i := range 6 {
		c := dial(t, socket.LocalAddress(), i%2 == 0)
		talking.Go(func() {
			if err := c.Handshake(testContext(t)); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			untilAnswered(t, c)
		})
	}
	talking.Wait()
	if err := l.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	serving.Wait()
	if s := base.Stats(); s.Send.Dropped+s.Receive.Dropped == 0 || s.Send.Duplicated+s.Receive.Duplicated == 0 {
		t.Errorf("%+v", s)
	}
}

// The net.Listener serves net.Conns.
func TestNetListener(t *testing.T) {
	l := listen(t)
	n := l.NetListener()
	if n.Addr().String() != l.LocalAddress().String() || n.Addr().Network() != "udp" {
		t.Errorf("%v", n.Addr())
	}
	client := dial(t, l.LocalAddress(), false)
	if err := client.Handshake(testContext(t)); err != nil {
		t.Fatal(err)
	}
	c, err := n.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	wantText(t, client, "hello")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantEnd(t, client)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := n.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}
