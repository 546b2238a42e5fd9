package conn

import (
	"context"
	"errors"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	"gdtls/internal/record"
)

// Detacher is what a base may be besides a DatagramBased, such as a listener's
// part for one peer, to learn when it is not needed any more.
type Detacher interface {
	// Detach is called when both directions of the connection have been closed,
	// after close_notify was sent. It may be called more than once, and must not
	// wait for the connection.
	Detach()
}

// Close closes both directions (g_dtls_connection_close, G080-G082, G207): it
// sends close_notify if there was a handshake, and does not wait for the peer's.
// Calls that are blocked end with CLOSED, as do all later ones; closing again is
// no error. The base stays open, and is told if it is a Detacher. If ctx is done
// before, nothing is closed and the result is CANCELLED. A handler of
// accept-certificate that another goroutine runs is waited for; from the handler
// itself Close fails (G191).
func (c *DtlsConnection) Close(ctx context.Context) error {
	return c.Shutdown(ctx, true, true)
}

// Shutdown closes one or both directions (g_dtls_connection_shutdown, G076, G077).
// After the read side is closed ReceiveMessages returns CLOSED, after the write
// side SendMessages does, and the peer has got a close_notify. With neither it does
// nothing. A handshake that is going on is waited for if one side is closed, and
// ended if both are.
func (c *DtlsConnection) Shutdown(ctx context.Context, read, write bool) error {
	if !read && !write {
		return nil
	}
	if ctx.Err() != nil {
		return datagram.ErrorFromContext(ctx)
	}
	cl := &c.claims
	cl.mu.Lock()
	if cl.active&opHandshake != 0 {
		if cl.emitting != 0 && cl.emitting == goroutineID() {
			cl.mu.Unlock()
			return errInHandler
		}
		if !read || !write {
			cl.mu.Unlock()
			if err := cl.claim(ctx, opCloseWrite, -1, time.Time{}); err != nil { // after the handshake
				return err
			}
			c.endWrite(opCloseWrite)
			return c.Shutdown(ctx, read, write)
		}
	}
	cl.closeSides(read, write)
	both := cl.readClosed && cl.writeClosed
	cl.mu.Unlock()

	if !write && !both {
		return nil
	}
	op := opCloseWrite
	if both {
		op = opClose
	}
	if err := cl.claim(ctx, op, -1, time.Time{}); err != nil {
		return err
	}
	defer c.endWrite(op)
	cl.mu.Lock()
	established := cl.phase == phaseEstablished
	cl.mu.Unlock()
	if established {
		if err := c.sendCloseNotify(ctx); err != nil {
			return err
		}
	}
	if both {
		c.discard()
		if base, ok := c.base.(Detacher); ok {
			base.Detach()
		}
	}
	return nil
}

// closeSides marks sides as closed and ends the calls that wait on them. The
// caller holds mu.
func (c *claims) closeSides(read, write bool) {
	if read {
		c.readClosed = true
		c.read.stop()
	}
	if write {
		c.writeClosed = true
		c.write.stop()
	}
	c.notify()
}

// sendCloseNotify sends close_notify once. A base that cannot send it any more, or
// does not take it in time, is no error: the peer is gone, or will find out.
func (c *DtlsConnection) sendCloseNotify(ctx context.Context) error {
	if c.tx.notified {
		return nil
	}
	bytes, err := c.tx.sealer.SealBytes(nil, record.TypeAlert, []byte{byte(alert.Warning), byte(alert.CloseNotify)})
	if err == nil {
		messages := [1]datagram.OutputMessage{{Vectors: [][]byte{bytes}}}
		if _, err = c.base.SendMessages(ctx, messages[:], 0, farewellPatience); errors.Is(err, datagram.ErrCancelled) {
			return datagram.ErrorFromContext(ctx)
		}
	}
	c.tx.notified = true
	return nil
}

// discard forgets what a closed connection does not need.
func (c *DtlsConnection) discard() {
	if c.rx.inbox != nil {
		c.rx.inbox.put()
	}
	c.rx.inbox, c.rx.early, c.rx.opener = nil, nil, nil
	c.tx.sealer, c.tx.last = nil, nil
}
