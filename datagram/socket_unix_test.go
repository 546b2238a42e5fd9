//go:build unix

package datagram

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A stream is not a datagram object, although its conn has the methods (G039,
// G041).
func TestStreamRefused(t *testing.T) {
	a, b := unixConns(t, unix.SOCK_STREAM)
	defer b.Close()
	s := New(a)
	defer s.Close()
	if n, err := s.ReceiveMessages(t.Context(), inputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrNotSupported) {
		t.Error(n, err)
	}
	if n, err := s.SendMessages(t.Context(), outputs(1, 10), MsgNone, -1); n != 0 || !errors.Is(err, ErrNotSupported) {
		t.Error(n, err)
	}
	if err := s.ConditionWait(t.Context(), In, -1); err != nil {
		t.Error("the refusal does not show:", err)
	}
}

// A full socket: WOULD_BLOCK, TIMED_OUT, no Out, and then room again, for a
// sender that waits and for a wait for In or Out (G021-G023, G033).
func TestSocketFull(t *testing.T) {
	p := unixPair(t, unix.SOCK_DGRAM)
	filled := fill(t, p.a)
	if now := p.a.ConditionCheck(In | Out); now != 0 {
		t.Error("conditions of a full socket:", now)
	}
	if n, err := p.a.SendMessages(t.Context(), outputs(1, 1000), MsgNone, 20*time.Millisecond); n != 0 || !errors.Is(err, ErrTimedOut) {
		t.Error(n, err)
	}
	if err := p.a.ConditionWait(t.Context(), In|Out, 20*time.Millisecond); !errors.Is(err, ErrTimedOut) {
		t.Error(err)
	}
	receive := func(n int) func() {
		return func() {
			if got, err := p.b.ReceiveMessages(background, inputs(n, 1000), MsgNone, 5*time.Second); got != n || err != nil {
				t.Error(got, err)
			}
		}
	}
	after(t, 20*time.Millisecond, receive(filled))
	if err := p.a.ConditionWait(t.Context(), In|Out, 5*time.Second); err != nil {
		t.Error(err)
	}
	if n, err := p.a.SendMessages(t.Context(), outputs(filled/2, 1000), MsgNone, 5*time.Second); n != filled/2 || err != nil {
		t.Error(n, err)
	}
	filled = filled/2 + fill(t, p.a)
	after(t, 20*time.Millisecond, receive(filled+1))
	if n, err := p.a.SendMessages(t.Context(), outputs(1, 1000), MsgNone, -1); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// fill sends until there is no room, and returns how many messages that took.
func fill(t *testing.T, obj DatagramBased) (filled int) {
	t.Helper()
	for {
		n, err := obj.SendMessages(t.Context(), outputs(64, 1000), MsgNone, 0)
		if errors.Is(err, ErrWouldBlock) {
			return filled
		}
		if err != nil {
			t.Fatal(err)
		}
		filled += n
	}
}

// A wait for In or Out of a full socket is ended by a message.
func TestWaitForEither(t *testing.T) {
	p := unixPair(t, unix.SOCK_DGRAM)
	fill(t, p.a)
	after(t, 20*time.Millisecond, func() { SendOne(background, p.b, []byte("x"), Address{}, time.Second) })
	if err := p.a.ConditionWait(t.Context(), In|Out, 5*time.Second); err != nil {
		t.Error(err)
	}
	if now := p.a.ConditionCheck(In | Out); now != In {
		t.Error(now)
	}
}

// Names of the abstract space work as addresses.
func TestAbstractAddress(t *testing.T) {
	open := func(name string) *Socket {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Skip("no abstract socket names here:", err)
		}
		s := New(c)
		t.Cleanup(func() { s.Close() })
		return s
	}
	base := "@gdtls-test-" + time.Now().Format("150405.000000000")
	a, b := open(base+"-a"), open(base+"-b")
	if err := SendOne(t.Context(), a, []byte("x"), b.LocalAddress(), time.Second); err != nil {
		t.Fatal(err)
	}
	if _, from, err := ReceiveOne(t.Context(), b, make([]byte, 10), time.Second); err != nil || from != a.LocalAddress() {
		t.Error(from, err)
	}
}
