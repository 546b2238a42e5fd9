package conn_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/record"
)

// The peer's close_notify ends reading: after what is queued come 0 messages and no
// error, for ever, whether or not close_notify is required (G015, case c).
func TestPeerCloses(t *testing.T) {
	for _, required := range []bool{true, false} {
		t.Run(fmt.Sprint(required), func(t *testing.T) {
			p := connected(t)
			p.client.SetRequireCloseNotify(required)
			send(t, p.server, "1")
			send(t, p.server, "2")
			if err := p.server.Close(background); err != nil {
				t.Fatal(err)
			}
			in := room(3, 10)
			in[2].BytesReceived = 99
			if n, err := p.client.ReceiveMessages(background, in, 0, -1); n != 2 || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
			for _, timeout := range []time.Duration{-1, 0, time.Second} {
				n, err := p.client.ReceiveMessages(background, in[2:], 0, timeout)
				if n != 0 || err != nil || in[2].BytesReceived != 99 {
					t.Errorf("received %d, %v, %d bytes", n, err, in[2].BytesReceived)
				}
			}
			if now := p.client.ConditionCheck(datagram.In); now != datagram.In { // G032
				t.Errorf("condition %v after the end", now)
			}
			if err := sendOne(p.client, -1); err != nil { // half open
				t.Error(err)
			}
		})
	}
}

// A base that ends without a close_notify is an error only if one is required
// (G069, G070; unclean-close-by-server of G217).
func TestUncleanClose(t *testing.T) {
	for _, required := range []bool{true, false} {
		t.Run(fmt.Sprint(required), func(t *testing.T) {
			p := connected(t)
			p.client.SetRequireCloseNotify(required)
			send(t, p.server, "1")
			p.server.BaseSocket().(*datagram.Pipe).Close()
			in := room(2, 10)
			if n, err := p.client.ReceiveMessages(background, in, 0, -1); n != 1 || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
			for range 2 {
				n, err := p.client.ReceiveMessages(background, in, 0, -1)
				if required {
					wantTLS(t, err, conn.TlsErrorEOF)
				} else if err != nil || n != 0 {
					t.Errorf("received %d, %v", n, err)
				}
			}
		})
	}
}

// A client that was asked for a certificate, had none and never got a message is
// told that this may be why its server went away (G198).
func TestUncleanCloseWithoutCertificate(t *testing.T) {
	for name, code := range map[string]conn.TlsErrorCode{"nothing read": conn.TlsErrorCertificateRequired, "something read": conn.TlsErrorEOF} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.server.SetAuthenticationMode(conn.AuthenticationRequested)
			mustHandshake(t, p)
			if name == "something read" {
				send(t, p.server, "x")
				receive(t, p.client, "x")
			}
			p.server.BaseSocket().(*datagram.Pipe).Close()
			_, _, err := receiveOne(p.client, -1)
			wantTLS(t, err, code)
		})
	}
}

// The last sequence number is the end of writing: none is used twice.
func TestSequenceNumbersEnd(t *testing.T) {
	p := connected(t)
	p.client.TestSkipTo(record.MaxSequence)
	out := []datagram.OutputMessage{message("the last"), message("one too many")}
	if n, err := p.client.SendMessages(background, out, 0, -1); n != 1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	wantTLS(t, sendOne(p.client, -1), conn.TlsErrorMisc)
	receive(t, p.server, "the last")
	send(t, p.server, "still")
	receive(t, p.client, "still")
}

// Each direction can be closed by itself (G076, G077, cases d and k).
func TestHalfClose(t *testing.T) {
	t.Run("write", func(t *testing.T) {
		p := connected(t)
		if err := p.client.Shutdown(background, false, true); err != nil {
			t.Fatal(err)
		}
		wantIO(t, sendOne(p.client, -1), datagram.CodeClosed)
		wantIO(t, p.client.Handshake(background), datagram.CodeClosed)
		if _, n, err := receiveOne(p.server, -1); n != 0 || err != nil {
			t.Errorf("server received %d, %v", n, err)
		}
		send(t, p.server, "still")
		receive(t, p.client, "still")
		if now := p.client.ConditionCheck(datagram.In | datagram.Out); now != 0 {
			t.Errorf("condition %v", now)
		}
		if err := p.server.Close(background); err != nil {
			t.Fatal(err)
		}
		if _, n, err := receiveOne(p.client, -1); n != 0 || err != nil {
			t.Errorf("client received %d, %v", n, err)
		}
	})
	t.Run("read", func(t *testing.T) {
		p := connected(t)
		if err := p.client.Shutdown(background, true, false); err != nil {
			t.Fatal(err)
		}
		_, _, err := receiveOne(p.client, -1)
		wantIO(t, err, datagram.CodeClosed)
		if now := p.server.BaseSocket().ConditionCheck(datagram.In); now != 0 {
			t.Error("something was sent")
		}
		send(t, p.client, "still")
		receive(t, p.server, "still")
		if now := p.client.ConditionCheck(datagram.In | datagram.Out); now != datagram.Out {
			t.Errorf("condition %v", now)
		}
	})
	t.Run("both, one after the other", func(t *testing.T) {
		p := connected(t)
		for _, read := range []bool{true, false, true, false} {
			if err := p.client.Shutdown(background, read, !read); err != nil {
				t.Fatal(err)
			}
		}
		if now := p.client.ConditionCheck(datagram.In | datagram.Out); now != datagram.Hup {
			t.Errorf("condition %v", now)
		}
		if _, n, err := receiveOne(p.server, -1); n != 0 || err != nil {
			t.Errorf("server received %d, %v", n, err)
		}
		_, _, err := receiveOne(p.server, 0) // only one close_notify was sent
		if err != nil {
			t.Error(err)
		}
		if s := p.server.Stats(); s.Dropped+s.Replayed != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("neither", func(t *testing.T) {
		p := connected(t)
		ctx, cancel := context.WithCancel(background)
		cancel()
		if err := p.client.Shutdown(ctx, false, false); err != nil {
			t.Error(err)
		}
		converse(t, p)
	})
}

// Closing (G080-G082, G207, case d; close-immediately and output-stream-close of
// G217).
func TestClose(t *testing.T) {
	p := newPair(t)
	p.close(t) // before any handshake: nothing is sent
	p.close(t) // again: no error
	if now := p.server.BaseSocket().ConditionCheck(datagram.In); now == datagram.Hup {
		t.Error("the base was closed")
	} else if now != 0 {
		t.Error("something was sent")
	}
	_, _, err := receiveOne(p.client, -1)
	for _, err := range []error{err, sendOne(p.client, -1), p.client.Handshake(background)} {
		wantIO(t, err, datagram.CodeClosed)
	}

	p = connected(t)
	ctx, cancel := context.WithCancel(background)
	cancel()
	wantIO(t, p.client.Close(ctx), datagram.CodeCancelled) // nothing is closed
	converse(t, p)
	p.close(t)
	p.close(t)
	if now := p.client.BaseSocket().ConditionCheck(datagram.Out); now != datagram.Out {
		t.Errorf("condition of the base is %v", now)
	}
}

// What a base learns when its connection is closed, and when.
func TestDetach(t *testing.T) {
	a, b := datagram.NewPipe()
	base := &detacher{Pipe: b}
	p := newPairOver(t, a, base)
	mustHandshake(t, p)
	if err := p.server.Shutdown(background, false, true); err != nil || base.detached != 0 {
		t.Fatal(err, base.detached)
	}
	if err := p.server.Shutdown(background, true, false); err != nil || base.detached != 1 {
		t.Fatal(err, base.detached)
	}
}

// Both sides that are shut down at once, each by its own call during a handshake,
// are a close like any other.
func TestDetachAfterHandshake(t *testing.T) {
	a, b := datagram.NewPipe()
	base := &detacher{Pipe: a}
	p := newPairOver(t, base, b)
	p.client.SetDatabase(nil)
	done := make(chan error, 2)
	p.client.ConnectAcceptCertificate(func(c *conn.DtlsConnection, _ *conn.TlsCertificate, _ conn.TlsCertificateFlags) bool {
		go func() { done <- c.Shutdown(background, true, false) }()
		go func() { done <- c.Shutdown(background, false, true) }()
		time.Sleep(10 * time.Millisecond)
		return true
	})
	mustHandshake(t, p)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if base.detached == 0 || p.client.ConditionCheck(datagram.In) != datagram.Hup {
		t.Errorf("detached %d times, condition %v", base.detached, p.client.ConditionCheck(datagram.In))
	}
	if _, n, err := receiveOne(p.server, -1); n != 0 || err != nil {
		t.Errorf("server received %d, %v", n, err)
	}
}

type detacher struct {
	*datagram.Pipe
	detached int
}

func (d *detacher) Detach() { d.detached++ }

// Closing a side ends the calls that are blocked on it at once, with CLOSED, also
// in a handshake. (The real Gio waits for them: case m.)
func TestCloseEndsBlockedCalls(t *testing.T) {
	type side struct{ read, write bool }
	established := func(t *testing.T) *pair { return connected(t) }
	for name, test := range map[string]struct {
		pair  func(*testing.T) *pair
		call  func(*conn.DtlsConnection) error
		close side
	}{
		"receive, close":     {established, func(c *conn.DtlsConnection) error { _, _, err := receiveOne(c, -1); return err }, side{true, true}},
		"receive, read side": {established, func(c *conn.DtlsConnection) error { _, _, err := receiveOne(c, -1); return err }, side{true, false}},
		"wait, close": {established, func(c *conn.DtlsConnection) error {
			if err := c.ConditionWait(background, datagram.In, -1); err != nil {
				return err
			}
			_, _, err := receiveOne(c, 0)
			return err
		}, side{true, true}},
		"send, close":          {established, fillBase, side{true, true}},
		"send, write side":     {established, fillBase, side{false, true}},
		"handshake, close":     {newPairT, func(c *conn.DtlsConnection) error { return c.Handshake(background) }, side{true, true}},
		"first receive, close": {newPairT, func(c *conn.DtlsConnection) error { _, _, err := receiveOne(c, -1); return err }, side{true, true}},
		"first send, close":    {newPairT, func(c *conn.DtlsConnection) error { return sendOne(c, time.Hour) }, side{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := test.pair(t).client.DtlsConnection
				done := make(chan error, 2)
				for range 2 { // the second one waits for the first
					go func() { done <- test.call(c) }()
				}
				synctest.Wait()
				start := time.Now()
				if err := c.Shutdown(background, test.close.read, test.close.write); err != nil {
					t.Error(err)
				}
				for range 2 {
					wantIO(t, <-done, datagram.CodeClosed)
				}
				if waited := time.Since(start); waited > time.Second { // for a base that is full
					t.Errorf("took %v", waited)
				}
			})
		})
	}
}

// fillBase sends until the base takes no more, and then blocks.
func fillBase(c *conn.DtlsConnection) error {
	for {
		if err := sendOne(c, -1); err != nil {
			return err
		}
	}
}

// A reader that is blocked does not hold the write side's end back.
func TestShutdownWriteBesideReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		got := make(chan string, 1)
		go func() {
			text, _, _ := receiveOne(p.client, -1)
			got <- text
		}()
		synctest.Wait()
		if err := p.client.Shutdown(background, false, true); err != nil {
			t.Fatal(err)
		}
		if _, n, err := receiveOne(p.server, 0); n != 0 || err != nil {
			t.Errorf("server received %d, %v", n, err)
		}
		send(t, p.server, "still")
		if text := <-got; text != "still" {
			t.Errorf("reader got %q", text)
		}
	})
}
