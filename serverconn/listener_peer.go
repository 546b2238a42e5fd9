package serverconn

import (
	"context"
	"sync/atomic"
	"time"

	"gdtls/conn"
	"gdtls/datagram"
)

// peer is a listener's part for one association: the base of its connection. It
// receives what the listener's reader has found to be for it, and sends through
// the listener's base.
type peer struct {
	listener *DtlsListener
	address  datagram.Address
	random   [32]byte // of the hello that began it
	queue    queue
	muted    atomic.Bool // another association has its address: it sends nothing more

	turn       atomic.Uint32                        // of its worker
	worker     atomic.Pointer[worker]               // that serves it; nil: nobody does
	batch      atomic.Pointer[sendBatch]            // what is sent goes through it; nil: to the base
	connection atomic.Pointer[DtlsServerConnection] // set once established

	successor *peer // guarded by its shard's mu: of the peer that restarted and is making a handshake
	nextReady *peer // guarded by worker.mu

	idle idleness // owned by the reader

	greeted     bool // owned by the worker: Accepted was called
	detached    bool // guarded by listener.mu: it is in the table no more
	established bool // guarded by listener.mu
}

// idleness is what the reader last saw of a connection.
type idleness struct {
	messages uint64
	since    time.Duration // by the sweeper's clock; 0: it has not been seen
}

var (
	_ datagram.DatagramBased = (*peer)(nil)
	_ conn.Detacher          = (*peer)(nil)
)

var errPeerFlags = datagram.NewError(datagram.CodeNotSupported, "the base of a listener's connection knows no flag but MsgWaitForOne")

var errSuperseded = datagram.NewError(datagram.CodeConnectionClosed, "peer has begun another association from the same address")

// RemoteAddress is the peer's address.
func (p *peer) RemoteAddress() datagram.Address { return p.address }

// LocalAddress is the address of the listener.
func (p *peer) LocalAddress() datagram.Address { return p.listener.LocalAddress() }

// MaximumMessageSize is how many bytes a datagram to the peer may have, as far as the
// listener's base can tell; 0: it cannot.
func (p *peer) MaximumMessageSize() int {
	if base, ok := p.listener.base.(interface {
		MaximumMessageSizeTo(datagram.Address) int
	}); ok {
		return base.MaximumMessageSizeTo(p.address)
	}
	return 0
}

// ReceiveMessages receives what came from the peer. When the peer was replaced
// since it had restarted, the end comes after it.
func (p *peer) ReceiveMessages(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	switch {
	case flags&^datagram.MsgWaitForOne != 0:
		return 0, errPeerFlags
	case ctx.Err() != nil:
		return 0, datagram.ErrorFromContext(ctx)
	case len(messages) == 0:
		return 0, nil
	}
	messages = messages[:min(len(messages), datagram.MaxMessages)]
	n, err := p.queue.receive(ctx, messages, flags, timeout)
	for i := range n {
		messages[i].Address = p.address
	}
	if w := p.worker.Load(); w != nil && n > 0 {
		w.expose(&messages[n-1])
	}
	return n, err
}

// supersede ends the peer since another association has taken its place. What it
// would still send, such as an alert about its handshake, could only harm that one.
func (p *peer) supersede() {
	p.muted.Store(true)
	p.end(nil)
}

// end lets readers have what is queued and then failure, or, if that is nil, the end.
func (p *peer) end(failure error) {
	p.queue.end(failure)
	p.rouse()
}

// rouse has the peer's worker look at it, if it has one.
func (p *peer) rouse() {
	if w := p.worker.Load(); w != nil {
		w.schedule(p)
		w.kick()
	}
}

// SendMessages sends to the peer, whatever addresses the messages have; afterwards
// they have none.
func (p *peer) SendMessages(ctx context.Context, messages []datagram.OutputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	if p.muted.Load() {
		return 0, errSuperseded
	}
	messages = messages[:min(len(messages), datagram.MaxMessages)]
	if b := p.batch.Load(); b != nil && flags == 0 && b.add(p, messages) {
		return len(messages), nil
	}
	for i := range messages {
		messages[i].Address = p.address
	}
	// To wait means to register the context with the base, which would have that of
	// another peer every time: so first without.
	n, err := p.listener.base.SendMessages(ctx, messages, flags, 0)
	if timeout != 0 && (err == nil && n < len(messages) || isWouldBlock(err)) {
		var more int
		more, err = p.listener.base.SendMessages(ctx, messages[n:], flags, timeout)
		if n += more; n > 0 {
			err = nil
		}
	}
	for i := range messages {
		messages[i].Address = datagram.Address{}
	}
	return n, err
}

func isWouldBlock(err error) bool {
	e, ok := err.(*datagram.IOError)
	return ok && e.Code == datagram.CodeWouldBlock
}

// CreateSource returns a source that watches the condition.
func (p *peer) CreateSource(ctx context.Context, condition datagram.IOCondition) *datagram.Source {
	return datagram.NewSource(p, ctx, condition)
}

// ConditionCheck tells whether something has come, and whether the listener's base
// would take a datagram.
func (p *peer) ConditionCheck(condition datagram.IOCondition) datagram.IOCondition {
	var now datagram.IOCondition
	if condition&datagram.In != 0 && p.queue.readable() {
		now = datagram.In
	}
	base := p.listener.base.ConditionCheck(condition & datagram.Out)
	if base&datagram.Hup != 0 {
		return datagram.Hup
	}
	return now | base&datagram.Out
}

// ConditionWait waits until ConditionCheck returns something.
func (p *peer) ConditionWait(ctx context.Context, condition datagram.IOCondition, timeout time.Duration) error {
	switch {
	case ctx.Err() != nil:
		return datagram.ErrorFromContext(ctx)
	case p.ConditionCheck(condition) != 0:
		return nil
	case timeout == 0:
		return datagram.ErrTimedOut
	case condition&datagram.In == 0:
		return p.listener.base.ConditionWait(ctx, condition, timeout)
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	for {
		err := p.waitForChange(ctx, condition, deadline)
		switch {
		case p.ConditionCheck(condition) != 0:
			return nil
		case err != nil:
			return err
		}
	}
}

// ConditionNotify implements datagram.ConditionNotifier: no source of a connection
// costs a goroutine, and for all that wait for room the base has one.
func (p *peer) ConditionNotify(condition datagram.IOCondition, wake func(error)) (stop func()) {
	stopQueue := p.queue.notify(wake)
	if condition&datagram.Out == 0 {
		return stopQueue
	}
	stopBase := datagram.ConditionNotify(p.listener.base, datagram.Out, wake)
	return func() {
		stopBase()
		stopQueue()
	}
}

// waitForChange waits until something has come, or the listener's base would take
// a datagram if the condition has Out.
func (p *peer) waitForChange(ctx context.Context, condition datagram.IOCondition, deadline time.Time) error {
	inner := ctx
	if condition&datagram.Out != 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = p.listener.base.ConditionWait(inner, datagram.Out, -1)
			cancel()
		}()
		defer func() { cancel(); <-done }()
	}
	q := &p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first != nil || q.over {
		return nil
	}
	err := q.wait(inner, deadline)
	if ctx.Err() == nil && inner.Err() != nil {
		return nil
	}
	return err
}

// Detach forgets the peer: its connection was closed.
func (p *peer) Detach() {
	p.listener.forget(p)
	p.queue.abandon()
	p.rouse()
}
