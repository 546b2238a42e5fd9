package conn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// A context's error is the context's, also if its cause looks like a time-out of
// the base: the handshake ends at once.
func TestHandshakeCancelledByTimeOutCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer b.Close()
		c := newClient(t, a)
		ctx, cancel := context.WithCancelCause(background)
		time.AfterFunc(300*time.Millisecond, func() { cancel(datagram.ErrTimedOut) })
		took(t, 300*time.Millisecond, func() {
			err := c.Handshake(ctx)
			wantIO(t, err, datagram.CodeCancelled)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	})
}

// A handshake that is given up half way tells what was missing, and a client that
// has shown a pre-shared key in vain what that may mean.
func TestHandshakeUnfinished(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		mute := datagram.NewImpaired(a, datagram.Impairment{Receive: datagram.Profile{
			Filter: func(_ int, d []byte) datagram.Verdict {
				if d[0] == 20 { // ChangeCipherSpec and Finished
					return datagram.VerdictDrop
				}
				return datagram.VerdictPass
			},
		}})
		p := newPairOver(t, mute, b)
		key := func(_ *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
			a.SetIdentity([]byte("me"))
			a.SetPreSharedKey([]byte("key"))
		}
		p.client.ConnectPskRequired(key)
		p.server.ConnectPskRequired(key)
		ctx, cancel := context.WithTimeout(background, 5*time.Second)
		defer cancel()
		go func() { _ = p.server.Handshake(ctx) }()
		err := p.client.Handshake(ctx)
		wantIO(t, err, datagram.CodeCancelled)
		for _, text := range []string{"the peer's Finished is missing", "do the pre-shared keys differ", context.DeadlineExceeded.Error()} {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v does not tell %q", err, text)
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("the context's error is lost")
		}
	})
}

// A server that keeps nothing cannot put a hello together; that is told apart from
// a peer that does not speak DTLS.
func TestHelloInFragments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer a.Close()
		p := newPairOver(t, a, b)
		// The first fragment of a longer hello.
		fragment := append([]byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32,
			1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 20}, make([]byte, 20)...)
		if err := datagram.SendOne(background, a, fragment, datagram.Address{}, 0); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		err := p.server.Handshake(ctx)
		if wantIO(t, err, datagram.CodeCancelled); err == nil || !strings.Contains(err.Error(), "ClientHello in one datagram") {
			t.Error(err)
		}
	})
}

// The peer's messages and its close_notify may overtake the end of its handshake.
func TestCloseOvertakesFinished(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		late := datagram.NewImpaired(a, datagram.Impairment{Receive: datagram.Profile{
			Delay: 10 * time.Millisecond,
			Hold:  time.Second,
			Filter: func(_ int, d []byte) datagram.Verdict {
				if d[0] == 22 && d[13] == 4 || d[0] == 20 { // from NewSessionTicket or ChangeCipherSpec on
					return datagram.VerdictReorder
				}
				return datagram.VerdictPass
			},
		}})
		p := newPairOver(t, late, b)
		go func() {
			if p.server.Handshake(background) == nil {
				_ = p.server.Close(background)
			}
		}()
		if err := p.client.Handshake(background); err != nil {
			t.Fatal(err)
		}
		if text, n, err := receiveOne(p.client, time.Second); n != 0 || err != nil {
			t.Errorf("received %q, %d, %v: want the end", text, n, err)
		}
	})
}
