package conn

import (
	"context"
	"fmt"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// begin claims a read or a write, after the handshake that it may need (G192).
func (c *DtlsConnection) begin(ctx context.Context, op operation, timeout time.Duration, deadline time.Time) (context.Context, error) {
	for {
		inner, err := c.claims.claim(ctx, op, timeout, deadline)
		if err != errNeedsHandshake {
			return inner, err
		}
		if timeout == 0 {
			return nil, c.handshakeInBackground()
		}
		if err := c.handshake(ctx, timeout, deadline); err != nil {
			return nil, err
		}
	}
}

// Handshake makes the handshake, if it has not been made
// (g_dtls_connection_handshake, G072, G073). It is never required, since the first
// read or write does it, but gives its errors where they belong. It ends with ctx;
// a peer that does not answer is given up after HandshakePatience.
//
// Errors are TLS errors for what the peer or its certificate did, IO errors for
// the base's, CANCELLED when ctx ends and TIMED_OUT for a silent peer. Once
// something was sent, a failure stays: every later operation but Close returns it
// (G189). The peer is told by an alert.
func (c *DtlsConnection) Handshake(ctx context.Context) error {
	return c.handshake(ctx, -1, time.Time{})
}

func (c *DtlsConnection) handshake(ctx context.Context, timeout time.Duration, deadline time.Time) error {
	inner, err := c.claims.claim(ctx, opHandshake, timeout, deadline)
	if err != nil {
		return err
	}
	return c.runHandshake(ctx, inner, deadline)
}

// handshakeInBackground starts a handshake for a call that must not block.
func (c *DtlsConnection) handshakeInBackground() error {
	ctx := context.Background()
	inner, err := c.claims.claim(ctx, opHandshake, 0, time.Time{})
	if err != nil {
		return err
	}
	go func() {
		if err := c.runHandshake(ctx, inner, time.Time{}); err != nil && !c.claims.failed() {
			c.claims.keep(err)
		}
	}()
	return datagram.ErrWouldBlock
}

// runHandshake makes the handshake under the claim opHandshake, which it releases.
func (c *DtlsConnection) runHandshake(ctx, inner context.Context, deadline time.Time) error {
	if c.claims.endHandshake() {
		return nil
	}
	d := driver{c: c, ctx: inner, deadline: deadline}
	err := d.run()
	if err != nil {
		err = c.explain(ctx, opHandshake, err)
	}
	if err == nil || d.machine != nil && d.machine.Started() {
		c.claims.settle(err)
	}
	c.claims.release(opHandshake)
	if err == nil {
		c.notifyNegotiated()
	}
	return err
}

// notifyNegotiated tells what the handshake has changed, in the order of the real Gio.
func (c *DtlsConnection) notifyNegotiated() {
	if c.NegotiatedProtocol() != "" {
		c.Notify(PropertyNegotiatedProtocol)
	}
	c.Notify(PropertyProtocolVersion, PropertyCiphersuiteName)
}

// establish takes over what the handshake agreed on.
func (c *DtlsConnection) establish(s *handshake.Session) {
	c.rx.opener, c.rx.early = s.Opener, s.Early
	c.tx.sealer, c.tx.last = s.Sealer, s.LastFlight
	c.rx.ready.Store(len(s.Early) > 0)
	s.Opener, s.Early, s.Sealer, s.LastFlight, s.PeerChain = nil, nil, nil, nil, nil
	c.mu.Lock()
	c.negotiated.session = s
	log := c.settings.keyLog
	c.mu.Unlock()
	if log != nil {
		fmt.Fprintf(log, "CLIENT_RANDOM %x %x\n", s.ClientRandom, s.MasterSecret)
	}
}
