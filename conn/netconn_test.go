package conn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/datagram"
)

func TestNetConn(t *testing.T) {
	a, b := udpPair(t)
	p := newPairOver(t, a, b)
	client, server := p.client.NetConn(), p.server.NetConn()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(server, server) // an echo server, which makes its handshake
		done <- err
	}()
	if n, err := client.Write([]byte("hello")); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 3)
	if n, err := client.Read(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := client.Read(buf); err != nil || string(buf[:n]) != "hel" { // as with a UDP socket
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if client.LocalAddr().String() != a.LocalAddress().String() || client.RemoteAddr().String() != b.LocalAddress().String() {
		t.Errorf("addresses %v and %v", client.LocalAddr(), client.RemoteAddr())
	}
	if got := p.client.PeerAddress(); got != b.LocalAddress() {
		t.Errorf("peer's address is %v", got)
	}
	big := bytes.Repeat([]byte("x"), 2000)
	_, err := client.Write(big)
	wantIO(t, err, datagram.CodeMessageTooLarge)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil { // close_notify is the end
		t.Errorf("server: %v", err)
	}
	if _, err := server.Read(buf); err != io.EOF {
		t.Errorf("read after the end: %v", err)
	}
	for _, err := range []error{second(client.Read(buf)), second(client.Write(buf))} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
	if c := newPair(t).client.NetConn(); c.LocalAddr() == nil || c.RemoteAddr().Network() == "" {
		t.Error("no address")
	}
}

func second(_ int, err error) error { return err }

// Deadlines end calls on time, may be moved while a call waits, and their errors
// are those of package net.
func TestNetConnDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		c := p.client.NetConn()
		buf := make([]byte, 10)
		timesOut := func(after time.Duration) {
			t.Helper()
			took(t, after, func() {
				_, err := c.Read(buf)
				var netErr net.Error
				if !errors.As(err, &netErr) || !netErr.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
			})
		}
		in := func(d time.Duration) time.Time { return time.Now().Add(d) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(c.SetReadDeadline(in(time.Second)))
		timesOut(time.Second)
		timesOut(0) // it stays over
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("writing is not touched: %v", err)
		}
		must(c.SetDeadline(in(time.Minute)))
		go func() {
			time.Sleep(time.Second)
			_ = c.SetReadDeadline(in(time.Second)) // earlier, while a call waits
		}()
		timesOut(2 * time.Second)
		must(c.SetReadDeadline(in(time.Second)))
		go func() {
			synctest.Wait()
			_ = c.SetReadDeadline(in(time.Minute)) // later
			time.Sleep(2 * time.Second)
			_ = c.SetReadDeadline(in(-1)) // at once
		}()
		timesOut(2 * time.Second)
		must(c.SetReadDeadline(time.Time{}))
		send(t, p.server, "none")
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "none" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		// One that is far away leaves no timer behind that matters.
		must(c.SetReadDeadline(in(time.Hour)))
		must(c.SetReadDeadline(time.Time{}))
		go func() {
			time.Sleep(2 * time.Hour)
			send(t, p.server, "late")
		}()
		took(t, 2*time.Hour, func() {
			if _, err := c.Read(buf); err != nil {
				t.Error(err)
			}
		})
	})
}

// A deadline that ends the handshake is a time-out, then and ever after.
func TestNetConnDeadlineInHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer b.Close()
		c := newClient(t, a).NetConn()
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 10))
		for range 2 {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
			_, err = c.Write([]byte("x"))
		}
	})
}
