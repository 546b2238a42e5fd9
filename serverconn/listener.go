package serverconn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// DtlsListener serves many peers on one datagram object. It tells them apart by
// their address, makes their handshakes, and gives established connections to
// Accept. (Gio leaves this to its callers.)
//
// Nothing is kept about an address before it has shown that it receives: by a cookie
// (RFC 6347 4.2.1), or by a ticket that was given to its host before.
// One goroutine reads the base; a handshake has a goroutine while it lasts, an
// established connection has none. When a peer restarts from the same address, its
// new association replaces the old one once its handshake has succeeded (RFC 6347
// 4.2.8); the old connection then meets the end that comes without close_notify.
//
// A connection is forgotten when it is closed, so every accepted one must be. All
// methods may be called at the same time.
type DtlsListener struct {
	base      datagram.DatagramBased
	configure func(*DtlsServerConnection) error
	config    listenerConfig
	cookies   *handshake.Cookies
	limits    queueLimits

	signalIDs signalIDs
	authorize signal[AuthorizeHandler]
	crew      atomic.Pointer[crew] // nil while nobody calls Serve

	table    table
	counters listenerCounters
	backlog  chan *DtlsServerConnection

	handshakes *semaphore.Weighted // one for each that is under way
	serving    context.Context     // of the handshakes; done once closing
	closing    context.CancelCauseFunc
	reading    context.Context // of the reader; done once closing and without peers
	stopRead   context.CancelFunc
	done       chan struct{} // closed when the reader has ended

	mu          sync.Mutex // taken before a shard's
	peers       int        // in the table
	established int        // of these
}

// NewDtlsListener makes a listener over a base that is not connected and tells the
// address of what it receives, as a datagram.Socket over a net.PacketConn of
// net.ListenPacket does. From then on nobody else may read from the base. It stays
// open when the listener is closed; closing it ends the listener.
//
// configure is called for each peer whose address is verified, before the handshake.
// It sets the certificate or a handler of psk-required, and whatever else the
// connection needs; several calls may run at once. Its error refuses the peer.
// Without base or configure the error is IO error INVALID_ARGUMENT.
func NewDtlsListener(base datagram.DatagramBased, configure func(*DtlsServerConnection) error, options ...ListenerOption) (*DtlsListener, error) {
	if base == nil {
		return nil, datagram.NewError(datagram.CodeInvalidArgument, "listener without a base: give it a datagram object, such as datagram.New makes from a net.PacketConn")
	}
	if configure == nil {
		return nil, datagram.NewError(datagram.CodeInvalidArgument, "listener without a function that configures its connections: it has to set a certificate or a handler of psk-required")
	}
	config := newListenerConfig(options)
	l := &DtlsListener{
		base:       base,
		configure:  configure,
		config:     config,
		cookies:    handshake.NewCookies(time.Now()),
		backlog:    make(chan *DtlsServerConnection, config.backlog),
		handshakes: semaphore.NewWeighted(int64(config.maxHandshakes)),
		done:       make(chan struct{}),
	}
	l.limits.datagrams, l.limits.bytes, l.limits.memory = config.queueDatagrams, config.queueBytes, config.receiveMemory
	l.table.init()
	l.serving, l.closing = context.WithCancelCause(context.Background())
	l.reading, l.stopRead = context.WithCancel(context.Background())
	go l.read()
	return l, nil
}

var errListenerClosed = datagram.NewError(datagram.CodeClosed, "listener is closed")

// Accept gives the next connection whose handshake is complete, in the order in
// which they were. It waits until ctx is done, which is IO error CANCELLED. Once
// the listener is closed the error is CLOSED, which is a net.ErrClosed.
func (l *DtlsListener) Accept(ctx context.Context) (*DtlsServerConnection, error) {
	if l.serving.Err() != nil {
		return nil, context.Cause(l.serving)
	}
	select {
	case c := <-l.backlog:
		l.counters.accepted.Add(1)
		return c, nil
	case <-l.serving.Done():
		return nil, context.Cause(l.serving)
	case <-ctx.Done():
		return nil, datagram.ErrorFromContext(ctx)
	}
}

// SetCookieKeys sets the keys of the cookies by which peers show their address, for
// several nodes behind one address: the first makes cookies, all are good. Without
// a call, or with none, they are random, and replaced every two minutes.
func (l *DtlsListener) SetCookieKeys(keys ...[32]byte) { l.cookies.SetKeys(time.Now(), keys...) }

// LocalAddress is the address of the base, if it knows it.
func (l *DtlsListener) LocalAddress() datagram.Address {
	if base, ok := l.base.(interface{ LocalAddress() datagram.Address }); ok {
		return base.LocalAddress()
	}
	return datagram.Address{}
}

// Close ends the listener: no peer gets in any more, handshakes that are under way
// are given up, and connections that nobody has accepted are closed. It waits for
// that, or until ctx is done, which is CANCELLED; a further call goes on with it.
//
// Accepted connections go on, since closing one's listener does not close them in
// Go either; the base is read for them until the last one is closed. Shutdown
// closes them too.
func (l *DtlsListener) Close(ctx context.Context) error {
	l.close(errListenerClosed)
	if err := l.handshakes.Acquire(ctx, int64(l.config.maxHandshakes)); err != nil {
		return datagram.ErrorFromContext(ctx)
	}
	l.handshakes.Release(int64(l.config.maxHandshakes))
	for {
		select {
		case c := <-l.backlog:
			if err := c.Close(ctx); err != nil {
				return err
			}
			continue
		default:
		}
		break
	}
	if l.reading.Err() != nil {
		return l.waitForReader(ctx)
	}
	return nil
}

// Shutdown closes the listener and all its connections, each with close_notify, and
// waits for the handler of Serve, which must not call it. When it returns nil, nothing
// uses the base any more. If ctx is done before, the result is CANCELLED.
func (l *DtlsListener) Shutdown(ctx context.Context) error {
	if err := l.Close(ctx); err != nil {
		return err
	}
	if err := closeAll(ctx, l.table.appendAll(nil)); err != nil {
		return err
	}
	if c := l.crew.Load(); c != nil {
		select {
		case <-c.over:
		case <-ctx.Done():
			return datagram.ErrorFromContext(ctx)
		}
	}
	return l.waitForReader(ctx)
}

// closeAll closes the connections of peers that have one.
func closeAll(ctx context.Context, peers []*peer) (err error) {
	for _, p := range peers {
		if c := p.connection.Load(); c != nil {
			err = errors.Join(err, c.Close(ctx))
		}
	}
	return err
}

func (l *DtlsListener) waitForReader(ctx context.Context) error {
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return datagram.ErrorFromContext(ctx)
	}
}

// close lets nobody in any more; why is what Accept returns.
func (l *DtlsListener) close(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing(why)
	l.stopWithoutPeers()
}

// stopWithoutPeers ends the reader when nobody needs it. The caller holds mu.
func (l *DtlsListener) stopWithoutPeers() {
	if l.peers == 0 && l.serving.Err() != nil {
		l.stopRead()
	}
}

// admit begins the handshake of a peer that has shown its address, if there is
// room. beside tells that its address has a connection already.
func (l *DtlsListener) admit(address datagram.Address, hello *handshake.VerifiedHello, beside bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.serving.Err() != nil || !beside && l.table.addresses.Load() >= int64(l.config.maxPeers) || !l.handshakes.TryAcquire(1) {
		l.counters.refused.Add(1)
		return
	}
	p := &peer{listener: l, address: address, random: hello.Hello.Random}
	p.queue.limits = &l.limits
	l.peers++
	if displaced := l.table.add(p); displaced != nil {
		l.detach(displaced)
		displaced.supersede()
	}
	go l.serve(p, hello)
}

// serve makes a peer's handshake and hands its connection over.
func (l *DtlsListener) serve(p *peer, hello *handshake.VerifiedHello) {
	defer l.handshakes.Release(1)
	c, err := newServer(p, nil, hello)
	if err != nil {
		l.forget(p)
		return
	}
	c.SetSessions(l.config.sessions)
	ctx, cancel := context.WithTimeout(l.serving, l.config.handshakeTimeout)
	defer cancel()
	if err = l.handshake(ctx, p, c); err == nil {
		return
	}
	if ctx.Err() == context.DeadlineExceeded {
		err = datagram.NewError(datagram.CodeTimedOut, "peer had no connection that was accepted within %v: %w", l.config.handshakeTimeout, err)
	}
	l.counters.failed.Add(1)
	if l.config.failed != nil {
		l.config.failed(c, err)
	}
	_ = c.Close(context.Background()) // detaches the peer
}

func (l *DtlsListener) handshake(ctx context.Context, p *peer, c *DtlsServerConnection) error {
	if err := l.configure(c); err != nil {
		return err
	}
	if err := c.Handshake(ctx); err != nil {
		return err
	}
	if !l.establish(p, c) {
		return errSuperseded
	}
	select {
	case l.backlog <- c:
		return nil
	case <-ctx.Done():
		return datagram.ErrorFromContext(ctx)
	}
}

// establish makes p the peer of its address, unless it was displaced itself.
func (l *DtlsListener) establish(p *peer, c *DtlsServerConnection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.detached {
		return false
	}
	p.connection.Store(c)
	p.established = true
	l.established++
	l.counters.established.Add(1)
	if replaced := l.table.promote(p); replaced != nil {
		l.counters.restarted.Add(1)
		l.detach(replaced)
		replaced.supersede()
	}
	return true
}

// forget takes a peer out of the table.
func (l *DtlsListener) forget(p *peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.detached {
		l.table.remove(p)
		l.detach(p)
		l.stopWithoutPeers()
	}
}

// detach notes that a peer is in the table no more. The caller holds mu.
func (l *DtlsListener) detach(p *peer) {
	p.detached = true
	l.peers--
	if p.established {
		p.established = false
		l.established--
	}
}
