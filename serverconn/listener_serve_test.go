package serverconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/clientconn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// serve runs Serve until the test is over or the result is called, which gives what
// it returned.
func serve(t testing.TB, l *serverconn.DtlsListener, handler serverconn.Handler) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- l.Serve(ctx, handler) }()
	end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-result:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("Serve does not return")
		}
	})
	t.Cleanup(func() { _ = end() })
	return end
}

func echoMessages(_ *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
	return append(replies, messages...)
}

func shake(t testing.TB, client *clientconn.DtlsClientConnection) *clientconn.DtlsClientConnection {
	t.Helper()
	if err := client.Handshake(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return client
}

// The life of served peers: each is told of once, gets its own answers in order, and
// is told of once more at its end.
func TestServe(t *testing.T) {
	l := listen(t)
	var accepted, ended, aborted atomic.Int32
	end := serve(t, l, serverconn.Handler{
		Accepted: func(c *serverconn.DtlsServerConnection) {
			accepted.Add(1)
			c.SetRequireCloseNotify(true)
		},
		Messages: func(c *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
			for _, m := range messages {
				replies = append(replies, fmt.Appendf(nil, "%v: %s", c.PeerAddress(), m))
			}
			return replies
		},
		Closed: func(c *serverconn.DtlsServerConnection, reason error) {
			switch {
			case errors.Is(reason, io.EOF):
				ended.Add(1)
			case errors.Is(reason, datagram.ErrClosed):
				aborted.Add(1)
			default:
				t.Errorf("closed: %v", reason)
			}
		},
	})
	clients := make([]*clientconn.DtlsClientConnection, 8)
	for i := range clients {
		clients[i] = shake(t, dial(t, l.LocalAddress(), i%2 == 0))
	}
	for round := range 20 {
		for i, c := range clients {
			sendText(t, c, fmt.Sprintf("%d %d", i, round))
		}
		for i, c := range clients {
			wantText(t, c, fmt.Sprintf("%v: %d %d", c.BaseSocket().(*datagram.Socket).LocalAddress(), i, round))
		}
	}
	for _, c := range clients[:3] {
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "three peers are gone", func() bool { return ended.Load() == 3 && l.Stats().Peers == 5 })
	if err := end(); !errors.Is(err, datagram.ErrCancelled) {
		t.Error(err)
	}
	for _, c := range clients[3:] {
		wantEnd(t, c)
	}
	if s := l.Stats(); accepted.Load() != 8 || ended.Load() != 3 || aborted.Load() != 5 || s.Peers != 0 || s.Unsent != 0 || s.QueuedBytes != 0 {
		t.Errorf("accepted %d, ended %d, aborted %d, %+v", accepted.Load(), ended.Load(), aborted.Load(), s)
	}
}

// After the listener is closed its peers are served on, until the last one is gone.
func TestServeAfterClose(t *testing.T) {
	l := listen(t)
	result := make(chan error, 1)
	go func() { result <- l.Serve(context.Background(), serverconn.Handler{Messages: echoMessages}) }()
	client := shake(t, dial(t, l.LocalAddress(), true))
	sendText(t, client, "before")
	wantText(t, client, "before")
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sendText(t, client, "after")
	wantText(t, client, "after")
	select {
	case err := <-result:
		t.Fatalf("Serve ended with a peer: %v", err)
	default:
	}
	_ = client.Close(context.Background())
	if err := <-result; !errors.Is(err, datagram.ErrClosed) {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	l := listen(t)
	if err := l.Serve(t.Context(), serverconn.Handler{}); !errors.Is(err, datagram.ErrInvalidArgument) {
		t.Error(err)
	}
	end := serve(t, l, serverconn.Handler{Messages: echoMessages})
	connectServed(t, l)
	if err := l.Serve(t.Context(), serverconn.Handler{Messages: echoMessages}); !errors.Is(err, datagram.ErrFailed) {
		t.Errorf("a second handler: %v", err)
	}
	_ = end()
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	connectServed(t, l) // another handler takes over
}

// What a peer sends before its close_notify is answered before ours.
func TestServeHalfClose(t *testing.T) {
	l := listen(t)
	serve(t, l, serverconn.Handler{Messages: echoMessages})
	client := shake(t, dial(t, l.LocalAddress(), true))
	for i := range 20 {
		sendText(t, client, fmt.Sprint(i))
	}
	if err := client.Shutdown(t.Context(), false, true); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		wantText(t, client, fmt.Sprint(i))
	}
	wantEnd(t, client)
}

// A handler may close its connection, and what it answers too long is left out.
func TestServeHandlerCloses(t *testing.T) {
	l := listen(t)
	var reason atomic.Value
	serve(t, l, serverconn.Handler{
		Messages: func(c *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
			if string(messages[0]) == "bye" {
				_ = c.Close(context.Background())
			}
			return append(replies, make([]byte, 5000), messages[0])
		},
		Closed: func(_ *serverconn.DtlsServerConnection, err error) { reason.Store(err) },
	})
	client := shake(t, dial(t, l.LocalAddress(), true))
	sendText(t, client, "hello")
	wantText(t, client, "hello")
	if s := l.Stats(); s.Unsent != 1 {
		t.Errorf("%+v", s)
	}
	sendText(t, client, "bye")
	wantEnd(t, client)
	eventually(t, "it is told", func() bool { return reason.Load() != nil })
	if err := reason.Load().(error); !errors.Is(err, datagram.ErrClosed) {
		t.Error(err)
	}
}

// A handler that is busy with one peer holds up neither the handshakes nor the
// replies of peers that its worker has served before, nor the other workers.
func TestServeSlowHandler(t *testing.T) {
	l := listen(t)
	release := make(chan struct{})
	var held atomic.Int32
	serve(t, l, serverconn.Handler{
		Workers: 4,
		Messages: func(_ *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
			if string(messages[0]) == "wait" {
				held.Add(1)
				<-release
			}
			return append(replies, messages...)
		},
	})
	slow := shake(t, dial(t, l.LocalAddress(), true))
	sendText(t, slow, "wait")
	eventually(t, "the handler is busy", func() bool { return held.Load() == 1 })
	// Of 16 other peers some have the same worker, hardly all of them.
	served := 0
	for i := range 16 {
		c := shake(t, dial(t, l.LocalAddress(), true))
		sendText(t, c, "quick")
		buf := make([]byte, 100)
		if n, _, err := datagram.ReceiveOne(t.Context(), c, buf, 100*time.Millisecond); err == nil && string(buf[:n]) == "quick" {
			served++
		}
		if i == 7 && served > 0 {
			break
		}
	}
	if served == 0 {
		t.Error("all workers are held up")
	}
	close(release)
	wantText(t, slow, "wait")
}

// callCounter counts the calls that send.
type callCounter struct {
	*datagram.Socket
	calls, messages atomic.Int64
}

func (c *callCounter) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	n, err := c.Socket.SendMessages(ctx, messages, flags, timeout)
	c.calls.Add(1)
	c.messages.Add(int64(n))
	return n, err
}

// Replies to many peers leave in one call.
func TestServeBatchesReplies(t *testing.T) {
	const peers = 16
	base := &callCounter{Socket: loopback(t)}
	l := listenOn(t, base, configureTest)
	gate := make(chan struct{})
	var gated atomic.Bool
	serve(t, l, serverconn.Handler{
		Workers: 1,
		Messages: func(c *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
			if gated.Load() {
				<-gate
			}
			return append(replies, messages...)
		},
	})
	clients := make([]*clientconn.DtlsClientConnection, peers)
	for i := range clients {
		clients[i] = shake(t, dial(t, l.LocalAddress(), true))
		sendText(t, clients[i], "first")
		wantText(t, clients[i], "first")
	}
	before := l.Stats().Datagrams
	gated.Store(true)
	for _, c := range clients {
		sendText(t, c, "second")
	}
	eventually(t, "all have arrived", func() bool { return l.Stats().Datagrams == before+peers })
	calls := base.calls.Load()
	close(gate)
	for _, c := range clients {
		wantText(t, c, "second")
	}
	if n := base.calls.Load() - calls; n > peers/2 { // 1, or 2 where the first is overdue
		t.Errorf("%d calls for %d replies", n, peers)
	}
}

// Serve needs no goroutine for a peer, and its workers are gone with it.
func TestServeGoroutines(t *testing.T) {
	l := listen(t)
	end := serve(t, l, serverconn.Handler{Workers: 2, Messages: echoMessages})
	shake(t, dial(t, l.LocalAddress(), true))
	eventually(t, "the first handshake is over", func() bool { return l.Stats().Accepted == 1 })
	before := runtime.NumGoroutine()
	for range 50 {
		shake(t, dial(t, l.LocalAddress(), true))
	}
	eventually(t, "no peer has a goroutine", func() bool { return runtime.NumGoroutine() <= before })
	_ = end()
	if n := runtime.NumGoroutine(); n >= before {
		t.Errorf("%d goroutines after Serve, %d before", n, before)
	}
}

// Served peers over a network that loses, repeats and reorders: each datagram that
// arrives is answered to the peer that it came from.
func TestServeImpaired(t *testing.T) {
	t.Parallel()
	bad := datagram.Profile{Drop: 0.1, Duplicate: 0.1, Reorder: 0.1}
	socket := loopback(t)
	base := datagram.NewImpaired(socket, datagram.Impairment{Seed: 11, Send: bad, Receive: bad})
	l := listenOn(t, base, configureTest)
	serve(t, l, serverconn.Handler{
		Messages: func(c *serverconn.DtlsServerConnection, messages, replies [][]byte) [][]byte {
			for _, m := range messages {
				replies = append(replies, fmt.Appendf(nil, "%v %s", c.PeerAddress(), m))
			}
			return replies
		},
	})
	var clients sync.WaitGroup
	for range 6 {
		c := dial(t, socket.LocalAddress(), true)
		clients.Go(func() {
			if err := c.Handshake(testContext(t)); err != nil {
				t.Error(err)
				return
			}
			prefix := c.BaseSocket().(*datagram.Socket).LocalAddress().String() + " "
			answered := 0
			buf := make([]byte, 100)
			for i := 0; i < 400 && answered < 20; i++ {
				_ = datagram.SendOne(context.Background(), c, []byte("ping"), datagram.Address{}, time.Second)
				n, _, err := datagram.ReceiveOne(context.Background(), c, buf, 20*time.Millisecond)
				switch {
				case errors.Is(err, datagram.ErrTimedOut):
				case err != nil:
					t.Error(err)
					return
				case string(buf[:n]) != prefix+"ping":
					t.Errorf("%q is not for %s", buf[:n], prefix)
				default:
					answered++
				}
			}
			if answered < 20 {
				t.Errorf("%d answers", answered)
			}
		})
	}
	clients.Wait()
}
