package conn

import (
	"context"
	"fmt"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// begin claims a read or a write, after the handshake that it may need (G192).
func (c *DtlsConnection) begin(ctx context.Context, op operation, timeout time.Duration, deadline time.Time) error {
	for {
		err := c.claims.claim(ctx, op, timeout, deadline)
		if err != errNeedsHandshake {
			return err
		}
		if timeout == 0 {
			return c.handshakeInBackground()
		}
		if err := c.handshake(ctx, timeout, deadline); err != nil {
			return err
		}
	}
}

// Handshake makes the handshake, if it has not been made
// (g_dtls_connection_handshake, G072, G073). It is never required, since the first
// read or write does it, but gives its errors where they belong. It ends with ctx;
// a peer that does not answer is given up after HandshakePatience. What may have
// failed of a datagram that was damaged on its way is tried again.
//
// Errors are TLS errors for what the peer or its certificate did, IO errors for
// the base's, CANCELLED when ctx ends and TIMED_OUT for a silent peer. Once
// something was sent, a failure stays: every later operation but Close returns it
// (G189). The peer is told by an alert.
func (c *DtlsConnection) Handshake(ctx context.Context) error {
	return c.handshake(ctx, -1, time.Time{})
}

func (c *DtlsConnection) handshake(ctx context.Context, timeout time.Duration, deadline time.Time) error {
	if err := c.claims.claim(ctx, opHandshake, timeout, deadline); err != nil {
		return err
	}
	return c.runHandshake(ctx, deadline, false)
}

// handshakeInBackground starts a handshake for a call that must not block.
func (c *DtlsConnection) handshakeInBackground() error {
	ctx := context.Background()
	if err := c.claims.claim(ctx, opHandshake, 0, time.Time{}); err != nil {
		return err
	}
	go func() { _ = c.runHandshake(ctx, time.Time{}, true) }()
	return datagram.ErrWouldBlock
}

// runHandshake makes the handshake under the claim opHandshake, which it releases.
// With later nobody waits for the result, and the next call gets an error.
func (c *DtlsConnection) runHandshake(ctx context.Context, deadline time.Time, later bool) error {
	if c.claims.endHandshake() {
		return nil
	}
	d := driver{c: c, deadline: deadline}
	var err error
	if d.ctx, err = c.claims.interruptible(ctx, opHandshake); err == nil {
		err = d.run()
	}
	if err != nil {
		err = c.explain(ctx, opHandshake, err)
	}
	switch {
	case err == nil || d.machine != nil && d.machine.Started():
		c.claims.settle(err)
	case later:
		c.claims.keep(err)
	}
	c.claims.release(opHandshake)
	if err == nil {
		d.notifyResumed()
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

// establish takes over what the handshake agreed on. The machine is not referred to
// any more.
func (c *DtlsConnection) establish(s *handshake.Session) {
	c.rx.opener, c.rx.next, c.rx.early, c.rx.ended = s.Opener, s.Opener.Next(), s.Early, s.Closed
	c.rx.ready.Store(len(s.Early) > 0 || s.Closed)
	c.tx.sealer = s.Sealer
	if s.LastFlight != nil {
		c.tx.last = &lastFlight{flight: s.LastFlight}
	}
	c.mu.Lock()
	c.negotiated.session = newSession(s)
	log := c.settings.rarely().keyLog
	c.mu.Unlock()
	if log != nil {
		fmt.Fprintf(log, "CLIENT_RANDOM %x %x\n", s.ClientRandom, s.MasterSecret)
	}
}
