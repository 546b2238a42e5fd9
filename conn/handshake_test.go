package conn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

func TestConversation(t *testing.T) { // G048, G073, G094, G095, basic of G217
	for _, over := range []string{"pipe", "UDP"} {
		t.Run(over, func(t *testing.T) {
			var p *pair
			if over == "pipe" {
				p = newPair(t)
			} else {
				a, b := udpPair(t)
				p = newPairOver(t, a, b)
			}
			mustHandshake(t, p)
			mustHandshake(t, p) // another does nothing (G073)
			converse(t, p)
			for _, c := range p.both() {
				if c.CiphersuiteName() != "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" || c.ProtocolVersion() != conn.ProtocolDTLS12 {
					t.Errorf("%v: %q, %v", c, c.CiphersuiteName(), c.ProtocolVersion())
				}
				if !c.TestSession().ExtendedMaster {
					t.Errorf("%v: no extended master secret", c)
				}
				if s := c.Stats(); s.Sent != 1 || s.Received != 1 || s.Replayed+s.Unauthenticated != 0 {
					t.Errorf("%v: %+v", c, s)
				}
			}
			if got := p.server.ServerName(); got != "server.example" {
				t.Errorf("server was asked for %q", got)
			}
		})
	}
}

// The first read or write makes the handshake, in each of the three modes (G072,
// G192, case g).
func TestImplicitHandshake(t *testing.T) {
	for _, timeout := range []time.Duration{-1, -5, patience, 0} {
		t.Run(timeout.String(), func(t *testing.T) {
			p := newPair(t)
			// again makes a call until it would not block any more.
			again := func(call func() error) error {
				for {
					err := call()
					if timeout != 0 || ioCode(err) != datagram.CodeWouldBlock {
						return err
					}
					time.Sleep(time.Millisecond)
				}
			}
			done := make(chan error, 1)
			go func() {
				done <- again(func() error {
					got, _, err := receiveOne(p.server, timeout)
					if err == nil && got != "first" {
						return fmt.Errorf("received %q", got)
					}
					return err
				})
			}()
			out := []datagram.OutputMessage{message("first")}
			if err := again(func() error {
				_, err := p.client.SendMessages(background, out, 0, timeout)
				return err
			}); err != nil {
				t.Error("send:", err)
			}
			if err := <-done; err != nil {
				t.Error("receive:", err)
			}
		})
	}
}

// A call with timeout 0 that needs a handshake returns at once, and while it goes
// on every such call does (G190, G192).
func TestHandshakeInBackground(t *testing.T) {
	p := newPair(t)
	for range 3 {
		_, _, err := receiveOne(p.client, 0)
		wantIO(t, err, datagram.CodeWouldBlock)
	}
	if err := p.server.Handshake(background); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Handshake(background); err != nil { // waits for the one in the background
		t.Fatal(err)
	}
	converse(t, p)
}

// An error of a handshake in the background that may be tried again reaches the
// next call, once.
func TestHandshakeInBackgroundFails(t *testing.T) { // G188: pending finish
	a, b := datagram.NewPipe()
	server, err := serverconn.NewDtlsServerConnection(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	server.SetCertificate(testCA().Leaf(t).PublicCertificate(t))
	for range 2 {
		_, _, err = receiveOne(server, 0)
		wantIO(t, err, datagram.CodeWouldBlock)
		soon(t, "the handshake's end", func() bool {
			_, _, err = receiveOne(server, 0)
			return ioCode(err) != datagram.CodeWouldBlock
		})
		wantTLS(t, err, conn.TlsErrorBadCertificate)
	}
	server.SetCertificate(serverCert())
	p := &pair{newClient(t, a), server}
	defer p.close(t)
	mustHandshake(t, p)
}

// What fails after something was sent stays, for all but closing; closing then
// wins (G081, G189, case a).
func TestStickyError(t *testing.T) {
	p := newPair(t)
	p.client.SetDatabase(nil)
	client, server := p.handshake(t)
	wantTLS(t, client, conn.TlsErrorBadCertificate)
	wantTLS(t, server, conn.TlsErrorMisc)
	if server == nil || !strings.Contains(server.Error(), "peer sent fatal TLS alert: unknown_ca") {
		t.Errorf("server's error does not name the alert: %v", server)
	}
	for _, c := range []struct {
		*conn.DtlsConnection
		failure error
	}{{p.client.DtlsConnection, client}, {p.server.DtlsConnection, server}} {
		_, _, received := receiveOne(c, -1)
		_, _, polled := receiveOne(c, 0)
		for i, err := range []error{c.Handshake(background), received, polled, sendOne(c, -1), sendOne(c, 0)} {
			if err != c.failure {
				t.Errorf("%v: operation %d gave %v, want %v again", c, i, err, c.failure)
			}
		}
		if c.ProtocolVersion() != conn.ProtocolUnknown || c.CiphersuiteName() != "" {
			t.Errorf("%v: version %v", c, c.ProtocolVersion())
		}
		if now := c.ConditionCheck(datagram.In | datagram.Out); now != datagram.In|datagram.Out {
			t.Errorf("%v: condition %v, want both since there is an error to be had", c, now)
		}
		if err := c.Close(background); err != nil {
			t.Error(err)
		}
		_, _, received = receiveOne(c, -1)
		for _, err := range []error{c.Handshake(background), received, sendOne(c, -1)} {
			wantIO(t, err, datagram.CodeClosed)
		}
	}
}

// What stands against an operation is looked at in Gio's order (G188): cancelled,
// closed, failed before, would block.
func TestErrorOrder(t *testing.T) {
	cancelled, cancel := context.WithCancel(background)
	cancel()
	failed := func(t *testing.T) *pair {
		p := newPair(t)
		p.client.SetDatabase(nil)
		p.handshake(t)
		return p
	}
	closed := func(t *testing.T) *pair {
		p := failed(t)
		p.close(t)
		return p
	}
	for name, test := range map[string]struct {
		pair func(*testing.T) *pair
		ctx  context.Context
		want error
	}{
		"cancelled, new":    {newPairT, cancelled, datagram.ErrCancelled},
		"cancelled, closed": {closed, cancelled, datagram.ErrCancelled},
		"cancelled, failed": {failed, cancelled, datagram.ErrCancelled},
		"closed, failed":    {closed, background, datagram.ErrClosed},
		"failed":            {failed, background, conn.ErrBadCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.pair(t).client
			_, received := c.ReceiveMessages(test.ctx, room(1, 10), 0, 0)
			_, sent := c.SendMessages(test.ctx, []datagram.OutputMessage{message("x")}, 0, 0)
			for _, err := range []error{received, sent, c.Handshake(test.ctx)} {
				if !errors.Is(err, test.want) {
					t.Errorf("error is %v, want %v", err, test.want)
				}
			}
		})
	}
}

func newPairT(t *testing.T) *pair { return newPair(t) }

// A context that is done before the start sends nothing, and the handshake can be
// made later (case g).
func TestHandshakeCancelledBefore(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithCancel(background)
	cancel()
	err := p.client.Handshake(ctx)
	wantIO(t, err, datagram.CodeCancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not unwrap to the context's error", err)
	}
	if now := p.server.BaseSocket().ConditionCheck(datagram.In); now != 0 {
		t.Error("something was sent")
	}
	mustHandshake(t, p)
}

// A server that waits for its client may be cancelled and try again: nothing was
// sent (G189).
func TestServerCancelledBeforeHello(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	wantIO(t, p.server.Handshake(ctx), datagram.CodeCancelled)
	if _, _, err := receiveOne(p.server, 20*time.Millisecond); ioCode(err) != datagram.CodeTimedOut {
		t.Errorf("error is %v, want TIMED_OUT", err)
	}
	mustHandshake(t, p)
}

// A closed port ends the handshake at once (case g).
func TestHandshakeRefused(t *testing.T) {
	a, b := udpPair(t)
	b.Close()
	c := newClient(t, a)
	wantIO(t, c.Handshake(background), datagram.CodeConnectionRefused)
}

// The base's end during the handshake is no DTLS (G211).
func TestBaseEndsInHandshake(t *testing.T) {
	a, b := datagram.NewPipe()
	c := newClient(t, a)
	done := make(chan error, 1)
	go func() { done <- c.Handshake(background) }()
	if err := b.ConditionWait(background, datagram.In, patience); err != nil {
		t.Fatal(err)
	}
	b.Close()
	wantTLS(t, <-done, conn.TlsErrorNotTLS)
}

// A server without anything to show for itself tells so (case n).
func TestServerWithoutCertificate(t *testing.T) {
	a, b := datagram.NewPipe()
	server, err := serverconn.NewDtlsServerConnection(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{newClient(t, a), server}
	defer p.close(t)
	c, s := p.handshake(t)
	wantTLS(t, s, conn.TlsErrorMisc)
	wantTLS(t, c, conn.TlsErrorMisc)
	t.Log(c, "|", s)

	_, err = serverconn.NewDtlsServerConnection(b, testCA().Leaf(t).PublicCertificate(t))
	wantTLS(t, err, conn.TlsErrorBadCertificate) // G107
	_, err = serverconn.NewDtlsServerConnection(nil, serverCert())
	wantIO(t, err, datagram.CodeInvalidArgument)
}

// No common cipher suite, an impossible one, an impossible MTU and application
// protocol each give their own error.
func TestImpossibleSettings(t *testing.T) {
	p := newPair(t)
	wantIO(t, p.client.SetCiphersuites("TLS_RSA_WITH_AES_128_CBC_SHA"), datagram.CodeInvalidArgument)
	for _, mtu := range []int{0, 255, 65536} {
		wantIO(t, p.client.SetMTU(mtu), datagram.CodeInvalidArgument)
	}
	if err := p.client.SetCiphersuites("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"); err != nil {
		t.Fatal(err)
	}
	p.client.SetAdvertisedProtocols([]string{""})
	wantTLS(t, p.client.Handshake(background), conn.TlsErrorMisc)
	p.client.SetAdvertisedProtocols(nil)
	c, s := p.handshake(t)
	wantTLS(t, c, conn.TlsErrorMisc)
	wantTLS(t, s, conn.TlsErrorMisc)
	t.Log(c, "|", s)
}

func TestCiphersuites(t *testing.T) {
	for _, name := range []string{
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
		"TLS_PSK_WITH_AES_128_CCM",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t).usesPSK()
			if err := p.client.SetCiphersuites(name); err != nil {
				t.Fatal(err)
			}
			mustHandshake(t, p)
			converse(t, p)
			most := p.client.MaximumMessageSize()
			send(t, p.client, strings.Repeat("x", most))
			receive(t, p.server, strings.Repeat("x", most))
			if got := p.server.CiphersuiteName(); got != name {
				t.Errorf("cipher suite is %s", got)
			}
		})
	}
}

func TestGoroutineID(t *testing.T) {
	mine := conn.GoroutineID()
	other := make(chan uint64)
	go func() { other <- conn.GoroutineID() }()
	if theirs := <-other; mine == 0 || mine != conn.GoroutineID() || theirs == 0 || theirs == mine {
		t.Errorf("goroutines %d and %d", mine, theirs)
	}
}
