package conn

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"gdtls/datagram"
)

// PeerAddress is the address of the peer, if the base knows it.
func (c *DtlsConnection) PeerAddress() datagram.Address {
	if base, ok := c.base.(interface{ RemoteAddress() datagram.Address }); ok {
		return base.RemoteAddress()
	}
	return datagram.Address{}
}

func (c *DtlsConnection) localAddress() datagram.Address {
	if base, ok := c.base.(interface{ LocalAddress() datagram.Address }); ok {
		return base.LocalAddress()
	}
	return datagram.Address{}
}

// NetConn gives the connection as a net.Conn, for Go programs that want one. Each
// Read is one message, of which a short buffer loses the rest, as with a UDP
// socket; each Write is one message. The peer's close_notify is io.EOF. Deadlines
// work as those of net, and errors that are time-outs wrap os.ErrDeadlineExceeded.
// Close closes the connection, not its base.
func (c *DtlsConnection) NetConn() net.Conn {
	return &netConn{c: c}
}

type netConn struct {
	c           *DtlsConnection
	read, write deadline
}

func (n *netConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	ctx := n.read.context()
	got, _, err := datagram.ReceiveOne(ctx, n.c, b, -1)
	return got, asTimeout(err)
}

func (n *netConn) Write(b []byte) (int, error) {
	ctx := n.write.context()
	if err := datagram.SendOne(ctx, n.c, b, datagram.Address{}, -1); err != nil {
		return 0, asTimeout(err)
	}
	return len(b), nil
}

// asTimeout makes a time-out of what a deadline cancelled, be it this call or the
// handshake before it.
func asTimeout(err error) error {
	if errors.Is(err, datagram.ErrCancelled) && errors.Is(err, os.ErrDeadlineExceeded) {
		return datagram.NewError(datagram.CodeTimedOut, "%w", os.ErrDeadlineExceeded)
	}
	return err
}

func (n *netConn) Close() error { return n.c.Close(context.Background()) }

func (n *netConn) LocalAddr() net.Addr  { return netAddr(n.c.localAddress()) }
func (n *netConn) RemoteAddr() net.Addr { return netAddr(n.c.PeerAddress()) }

func (n *netConn) SetDeadline(t time.Time) error {
	return errors.Join(n.SetReadDeadline(t), n.SetWriteDeadline(t))
}

func (n *netConn) SetReadDeadline(t time.Time) error  { n.read.set(t); return nil }
func (n *netConn) SetWriteDeadline(t time.Time) error { n.write.set(t); return nil }

// netAddr is an address for those who expect one always.
func netAddr(a datagram.Address) net.Addr {
	if addr := a.NetAddr(); addr != nil {
		return addr
	}
	return unknownAddr{}
}

type unknownAddr struct{}

func (unknownAddr) Network() string { return "dtls" }
func (unknownAddr) String() string  { return "unknown" }

// deadline is one of a net.Conn, which may be moved while a call waits.
type deadline struct {
	mu     sync.Mutex
	at     time.Time
	ctx    context.Context // of the calls; nil before the first
	cancel context.CancelCauseFunc
	timer  *time.Timer // that will cancel; nil: none
}

// set moves the deadline, also that of a call that waits.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx != nil && d.ctx.Err() != nil {
		d.ctx = nil // it is over; the next call makes another
	}
	d.arm()
}

// arm lets the context end at the deadline. The caller holds mu.
func (d *deadline) arm() {
	if d.ctx == nil || d.at.IsZero() {
		return
	}
	wait := time.Until(d.at)
	if wait <= 0 {
		d.cancel(os.ErrDeadlineExceeded)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == timer { // not moved meanwhile
			d.cancel(os.ErrDeadlineExceeded)
		}
	})
	d.timer = timer
}

// context gives the context of a call.
func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		d.ctx, d.cancel = context.WithCancelCause(context.Background())
		d.arm()
	}
	return d.ctx
}
