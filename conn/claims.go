package conn

import (
	"context"
	"sync"
	"time"

	"gdtls/datagram"
)

// operation is what a call does with a connection. Reading and writing may go on
// together; the others exclude everything (G187).
type operation uint8

const (
	opRead operation = 1 << iota
	opWrite
	opHandshake
	opCloseWrite // sends close_notify
	opClose      // closes both sides
)

const opClosing = opCloseWrite | opClose

// excludes lists what must not run beside an operation.
func (o operation) excludes() operation {
	switch o {
	case opRead:
		return opRead | opHandshake | opClose
	case opWrite, opCloseWrite:
		// Closing the write side does not wait for a blocked reader, as the real
		// Gio does.
		return opWrite | opHandshake | opClosing
	}
	return opRead | opWrite | opHandshake | opClosing
}

// phase is where a connection stands with its handshake.
type phase uint8

const (
	phaseNew phase = iota
	phaseEstablished
	phaseFailed // and the error stays (G189)
)

// claims decides which operations may run, and holds what that depends on.
type claims struct {
	mu     sync.Mutex
	active operation
	phase  phase
	// failure is of a handshake: in phaseFailed the one that stays, in phaseNew the
	// one in the background that may be tried again, which the next call gets.
	failure error

	readClosed, writeClosed bool // by us
	control                 control

	changed  chan struct{}             // closed when something above changes; nil while nobody waits
	watchers map[*func(error)]struct{} // called then

	emitting uint64 // goroutine that runs a signal's handlers during a handshake; 0: none

	read, write interrupt // what ends a blocked call when a side is closed; a handshake uses read
}

// control is what a reader asks the writer to send.
type control uint8

const (
	controlLastFlight control = 1 << iota
	controlNoRenegotiation
)

// closedFor tells whether the sides that an operation needs are closed.
func (c *claims) closedFor(op operation) bool {
	switch op {
	case opRead:
		return c.readClosed
	case opWrite:
		return c.writeClosed
	case opHandshake: // observed: after either side was shut down
		return c.readClosed || c.writeClosed
	}
	return false
}

var errClosed = datagram.NewError(datagram.CodeClosed, "connection is closed")

// errInHandler is for a blocking call from a signal handler of the handshake,
// which could never come to its end (G191).
var errInHandler = datagram.NewError(datagram.CodeFailed, "cannot perform blocking operation during TLS handshake")

// errNeedsHandshake is given to reads and writes on a connection that has not
// made its handshake.
var errNeedsHandshake = datagram.NewError(datagram.CodeNotInitialized, "handshake needed")

// claim waits until op may run (G188, G190). With a timeout of 0 it does not wait.
func (c *claims) claim(ctx context.Context, op operation, timeout time.Duration, deadline time.Time) error {
	for {
		if ctx.Err() != nil {
			return datagram.ErrorFromContext(ctx)
		}
		c.mu.Lock()
		if ok, err := c.try(op, timeout != 0); ok || err != nil {
			c.mu.Unlock()
			return err
		}
		changed := c.watch()
		c.mu.Unlock()
		if err := waitFor(ctx, changed, deadline); err != nil {
			return err
		}
	}
}

// try claims op if it may run now, and tells whether it did. With neither that nor
// an error it is to be waited for. The caller holds mu.
func (c *claims) try(op operation, wait bool) (bool, error) {
	if c.closedFor(op) {
		return false, errClosed
	}
	if op&opClosing == 0 && c.failure != nil {
		err := c.failure
		if c.phase == phaseNew {
			c.failure = nil
		}
		return false, err
	}
	if c.active&op.excludes() == 0 && (op != opClose || c.emitting == 0) {
		if op&(opRead|opWrite) != 0 && c.phase == phaseNew {
			return false, errNeedsHandshake
		}
		c.active |= op
		return true, nil
	}
	switch {
	case !wait:
		return false, datagram.ErrWouldBlock
	case c.emitting != 0 && c.emitting == goroutineID():
		return false, errInHandler
	}
	return false, nil
}

// interruptible gives a context for calls of the base that ends with ctx, or when
// the side of the operation is closed.
func (c *claims) interruptible(ctx context.Context, op operation) (context.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case op == opHandshake && c.readClosed && c.writeClosed, op != opHandshake && c.closedFor(op):
		return nil, errClosed
	case op == opWrite:
		return c.write.with(ctx), nil
	}
	return c.read.with(ctx), nil
}

// watch gives a channel that is closed at the next change. The caller holds mu.
func (c *claims) watch() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// subscribe has wake called by notify, with mu held, until unsubscribe.
func (c *claims) subscribe(wake *func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = map[*func(error)]struct{}{}
	}
	c.watchers[wake] = struct{}{}
}

func (c *claims) unsubscribe(wake *func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, wake)
}

// notify wakes those who watch. The caller holds mu.
func (c *claims) notify() {
	for wake := range c.watchers {
		(*wake)(nil)
	}
	c.wakeWaiting()
}

// wakeWaiting is notify for a change that makes no condition true, such as the end of
// a write: sources need not look. The caller holds mu.
func (c *claims) wakeWaiting() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// release ends an operation.
func (c *claims) release(op operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active &^= op
	if op == opHandshake {
		c.read.forget()
	}
	c.notify()
}

// endHandshake ends a handshake that had been made before it could begin.
func (c *claims) endHandshake() bool {
	c.mu.Lock()
	established := c.phase == phaseEstablished
	c.mu.Unlock()
	if established {
		c.release(opHandshake)
	}
	return established
}

// takeControl gives what the writer has to send besides data, and forgets it. If
// there is nothing it ends the operation, so that no request can fall between.
func (c *claims) takeControl(op operation) control {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := c.control
	c.control = 0
	if what == 0 {
		c.active &^= op
		c.wakeWaiting()
	}
	return what
}

// askControl asks for control records, also after the write side was closed: a peer
// that missed our last flight cannot have got the close_notify. True: nobody writes,
// and the caller has become the writer who must serve the request.
func (c *claims) askControl(what control) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control |= what
	if c.active&opWrite.excludes() != 0 {
		return false
	}
	c.active |= opWrite
	return true
}

// isClosed tells whether an operation's side was closed meanwhile.
func (c *claims) isClosed(op operation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closedFor(op)
}

// keep leaves the error of a handshake that may be tried again to the next call.
func (c *claims) keep(failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = failure
}

// settle ends a handshake: nil if it succeeded, else the error that stays.
func (c *claims) settle(failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase = phaseEstablished; failure != nil {
		c.phase = phaseFailed
	}
	c.failure = failure
}

// fail ends an established connection for good.
func (c *claims) fail(failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseEstablished {
		c.phase, c.failure = phaseFailed, failure
		c.notify()
	}
}

// waitFor waits for a channel, at most until deadline if it is set.
func waitFor(ctx context.Context, changed <-chan struct{}, deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return datagram.ErrorFromContext(ctx)
	case <-expired:
		return datagram.ErrTimedOut
	}
}
