package conn_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

var began = time.Now()

// bubble runs a test in fake time, which begins now, since certificates have dates.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	serverCert() // not in the bubble, as others use them too
	trusting()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(began))
		test(t)
	})
}

// took checks how long a call took, to the nanosecond.
func took(t *testing.T, want time.Duration, call func()) {
	t.Helper()
	start := time.Now()
	call()
	if got := time.Since(start); got != want {
		t.Errorf("took %v, want %v", got, want)
	}
}

// A client repeats its hello by the RFC's timer (RFC 6347 4.2.4.1) and gives a
// silent peer up after 62 s, however it was begun (G210, case g).
func TestSilentPeer(t *testing.T) {
	for name, begin := range map[string]func(c datagram.DatagramBased) error{
		"handshake": func(c datagram.DatagramBased) error {
			return c.(interface {
				Handshake(context.Context) error
			}).Handshake(background)
		},
		"receive": func(c datagram.DatagramBased) error { _, _, err := receiveOne(c, -1); return err },
		"send":    func(c datagram.DatagramBased) error { return sendOne(c, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := datagram.NewPipe()
				c := newClient(t, a)
				start := time.Now()
				heard := make(chan []time.Duration, 1)
				go func() {
					var at []time.Duration
					for {
						in := room(1, 2000)
						if n, _ := b.ReceiveMessages(background, in, 0, -1); n == 0 {
							heard <- at
							return
						}
						at = append(at, time.Since(start))
					}
				}()
				took(t, 62*time.Second, func() {
					err := begin(c)
					wantIO(t, err, datagram.CodeTimedOut)
					if err == nil || !strings.Contains(err.Error(), "has not answered for 1m2s") {
						t.Errorf("the error does not tell what happened: %v", err)
					}
				})
				took(t, 0, func() { wantIO(t, c.Handshake(background), datagram.CodeTimedOut) }) // G189
				a.Close()
				want := []time.Duration{0, 1, 3, 7, 7, 15, 15, 31, 31}
				for i := range want {
					want[i] *= time.Second
				}
				if at := <-heard; !slices.Equal(at, want) {
					t.Errorf("hellos at %v, want %v", at, want)
				}
			})
		})
	}
}

// The patience with a silent peer can be set.
func TestHandshakePatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer b.Close()
		c := newClient(t, a)
		if got := c.HandshakePatience(); got != conn.DefaultHandshakePatience {
			t.Errorf("patience is %v at first", got)
		}
		c.SetHandshakePatience(5 * time.Minute)
		if got := c.HandshakePatience(); got != 5*time.Minute {
			t.Errorf("patience is %v", got)
		}
		took(t, 5*time.Minute, func() { wantIO(t, c.Handshake(background), datagram.CodeTimedOut) })
	})
}

// A positive timeout is for the whole call, the handshake in it included, and
// exact (G192, G202, G210).
func TestImplicitHandshakeTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer b.Close()
		c := newClient(t, a)
		took(t, 1500*time.Millisecond, func() {
			err := sendOne(c, 1500*time.Millisecond)
			wantIO(t, err, datagram.CodeTimedOut)
			if err == nil || !strings.Contains(err.Error(), "peer has not answered") {
				t.Error(err)
			}
		})
		took(t, 0, func() {
			_, _, err := receiveOne(c, -1)
			wantIO(t, err, datagram.CodeTimedOut) // it stays (G189)
		})
	})
}

// The context ends the handshake on time, with its own error; that stays too
// (G193, case g).
func TestHandshakeCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		defer b.Close()
		c := newClient(t, a)
		ctx, cancel := context.WithTimeout(background, 200*time.Millisecond)
		defer cancel()
		took(t, 200*time.Millisecond, func() {
			err := c.Handshake(ctx)
			wantIO(t, err, datagram.CodeCancelled)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not unwrap to the context's error", err)
			}
		})
		_, _, err := receiveOne(c, -1)
		wantIO(t, err, datagram.CodeCancelled)
	})
}

// A peer that speaks something else is told apart from one that is silent (G175).
func TestPeerDoesNotSpeakDTLS(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"by itself", context.WithCancel},
		{"at the context's deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second/2)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := datagram.NewPipe()
				echo := make(chan struct{})
				go func() {
					defer close(echo)
					for {
						in := room(1, 2000)
						if n, _ := b.ReceiveMessages(background, in, 0, -1); n == 0 {
							return
						}
						_, _ = b.SendMessages(background, []datagram.OutputMessage{message("HTTP/1.1 400 Bad Request\r\n")}, 0, 0)
					}
				}()
				ctx, cancel := test.limit(background)
				defer cancel()
				err := newClient(t, a).Handshake(ctx)
				wantTLS(t, err, conn.TlsErrorNotTLS)
				t.Log(err)
				a.Close()
				<-echo
			})
		})
	}
}

// A server that its client leaves in the middle gives it up too.
func TestClientVanishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe()
		// The client's second hello begins the handshake, its third datagram never comes.
		lossy := datagram.NewImpaired(a, datagram.Impairment{Send: datagram.Profile{
			Filter: func(index int, _ []byte) datagram.Verdict {
				if index < 2 {
					return datagram.VerdictPass
				}
				return datagram.VerdictDrop
			},
		}})
		p := newPairOver(t, lossy, b)
		done := make(chan error, 1)
		go func() { done <- p.server.Handshake(background) }()
		clientError := p.client.Handshake(background)
		wantIO(t, clientError, datagram.CodeTimedOut)
		err := <-done
		wantIO(t, err, datagram.CodeTimedOut)
		t.Log(clientError, "|", err)
	})
}

// A base that takes nothing any more holds neither a handshake nor a close.
func TestBaseTakesNothing(t *testing.T) {
	t.Run("handshake", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := datagram.NewPipe(datagram.WithQueue(1))
			defer b.Close()
			took(t, 62*time.Second, func() { wantIO(t, newClient(t, a).Handshake(background), datagram.CodeTimedOut) })
		})
	})
	t.Run("close", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := datagram.NewPipe(datagram.WithQueue(4))
			p := newPairOver(t, a, b)
			mustHandshake(t, p)
			for sendOne(p.client, 0) == nil {
			}
			took(t, time.Second, func() {
				if err := p.client.Close(background); err != nil {
					t.Error(err)
				}
			})
		})
	})
}

// The timeout of a read is for the whole call and exact, and a read that timed out
// leaves the connection as it was (G004, G012, G202; timeouts/read of G216,
// read-time-out-then-write of G217).
func TestReadTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		for _, timeout := range []time.Duration{1, time.Microsecond, time.Second / 2} {
			took(t, timeout, func() {
				_, _, err := receiveOne(p.client, timeout)
				wantIO(t, err, datagram.CodeTimedOut)
			})
		}
		took(t, 0, func() {
			_, _, err := receiveOne(p.client, 0)
			wantIO(t, err, datagram.CodeWouldBlock)
		})
		converse(t, p)

		// Three messages are waited for, one of them comes late: all of it takes as
		// long as the call may.
		go func() {
			time.Sleep(300 * time.Millisecond)
			send(t, p.server, "late")
		}()
		took(t, 500*time.Millisecond, func() {
			in := room(3, 100)
			if n, err := p.client.ReceiveMessages(background, in, 0, 500*time.Millisecond); n != 1 || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
		})
		// For one there is no waiting after it.
		go func() {
			time.Sleep(300 * time.Millisecond)
			send(t, p.server, "late")
		}()
		took(t, 300*time.Millisecond, func() {
			in := room(3, 100)
			if n, err := p.client.ReceiveMessages(background, in, datagram.MsgWaitForOne, -1); n != 1 || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
		})
	})
}

// A write waits for room in the base as long as it may, and tells how many went
// (G021-G023).
func TestWriteTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := datagram.NewPipe(datagram.WithQueue(8))
		p := newPairOver(t, a, b)
		mustHandshake(t, p)
		out := make([]datagram.OutputMessage, 20)
		for i := range out {
			out[i] = message(fmt.Sprint(i))
		}
		took(t, time.Second, func() {
			if n, err := p.client.SendMessages(background, out, 0, time.Second); n != 8 || err != nil {
				t.Errorf("sent %d, %v; want 8", n, err)
			}
		})
		for i, timeout := range []time.Duration{0, time.Second} {
			took(t, timeout, func() {
				n, err := p.client.SendMessages(background, out, 0, timeout)
				if n != 0 || ioCode(err) != []datagram.IOErrorCode{datagram.CodeWouldBlock, datagram.CodeTimedOut}[i] {
					t.Errorf("sent %d, %v", n, err)
				}
			})
		}
		in := room(8, 100)
		if n, err := p.server.ReceiveMessages(background, in, 0, -1); n != 8 || err != nil || text(&in[7]) != "7" {
			t.Errorf("received %d, %v, %q", n, err, texts(in))
		}
		if n, err := p.client.SendMessages(background, out[:3], 0, 0); n != 3 || err != nil || out[2].BytesSent != 1 {
			t.Errorf("sent %d, %v; %d bytes", n, err, out[2].BytesSent)
		}
	})
}

// A second read waits for the first, within its own limits (G187, G190, case m).
func TestSecondReaderWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		first := make(chan string, 1)
		go func() {
			got, _, _ := receiveOne(p.client, -1)
			first <- got
		}()
		synctest.Wait()
		took(t, 0, func() { _, _, err := receiveOne(p.client, 0); wantIO(t, err, datagram.CodeWouldBlock) })
		took(t, 200*time.Millisecond, func() {
			_, _, err := receiveOne(p.client, 200*time.Millisecond)
			wantIO(t, err, datagram.CodeTimedOut)
		})
		ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
		defer cancel()
		took(t, 100*time.Millisecond, func() {
			_, err := p.client.ReceiveMessages(ctx, room(1, 10), 0, -1)
			wantIO(t, err, datagram.CodeCancelled)
		})
		second := make(chan string, 1)
		go func() {
			got, _, _ := receiveOne(p.client, -1)
			second <- got
		}()
		synctest.Wait()
		send(t, p.client, "writing goes on") // reading and writing are independent
		receive(t, p.server, "writing goes on")
		send(t, p.server, "1")
		send(t, p.server, "2")
		if a, b := <-first, <-second; a != "1" || b != "2" {
			t.Errorf("first got %q, second %q", a, b)
		}
	})
}

// Cancelling a read loses nothing (G014, case e).
func TestReadCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connected(t)
		ctx, cancel := context.WithCancel(background)
		cancel()
		send(t, p.server, "kept")
		_, err := p.client.ReceiveMessages(ctx, room(1, 10), 0, -1)
		wantIO(t, err, datagram.CodeCancelled)
		receive(t, p.client, "kept")

		// Cancelled after one of three: what came counts (G201 follows DB).
		ctx, cancel = context.WithTimeout(background, time.Second)
		defer cancel()
		send(t, p.server, "one")
		took(t, time.Second, func() {
			in := room(3, 10)
			if n, err := p.client.ReceiveMessages(ctx, in, 0, -1); n != 1 || err != nil || text(&in[0]) != "one" {
				t.Errorf("received %d, %v", n, err)
			}
		})
	})
}
