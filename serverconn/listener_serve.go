package serverconn

import (
	"context"
	"io"
	"runtime"
	"sync"

	"gdtls/datagram"
)

// Handler serves the peers of a listener without a goroutine for each: see
// [DtlsListener.Serve]. For one peer its functions are called one at a time, in the
// order of what happened; for different peers at the same time. Only Messages is
// needed.
type Handler struct {
	// Workers is how many goroutines there are. Each serves its share of the peers,
	// so that a function that takes long holds up those of its worker and no others. 0
	// and less mean one for each processor.
	Workers int

	// Accepted is called when a peer's handshake is complete.
	Accepted func(c *DtlsServerConnection)

	// Messages is called with what a peer sent since the last call, in the order of
	// arrival. It appends what is to be sent to the peer to replies and returns that;
	// replies may share memory with the messages, which is used again once the replies
	// have gone out. c may also be sent to and closed, but not received from.
	Messages func(c *DtlsServerConnection, messages, replies [][]byte) [][]byte

	// exposed stands in place of Messages, for one message at a time and with the
	// datagram that it came in.
	exposed func(c *DtlsServerConnection, cipherText, plainText []byte) (reply []byte)

	// Closed is called when a connection is over: reason is io.EOF if the peer has
	// closed it, IO error CLOSED if it was closed here. It has been closed.
	Closed func(c *DtlsServerConnection, reason error)
}

// workBatch is how many messages of a peer are opened in one go.
const workBatch = 32

// crew is a call of Serve.
type crew struct {
	ctx     context.Context
	handler Handler
	workers []*worker
	serving sync.WaitGroup // one for each peer
	over    chan struct{}  // closed when the workers have ended
}

// Serve accepts all connections and has the handler serve them. What arrives for one
// peer is opened in one go, and replies to many peers leave in one call of the base.
//
// It goes on until the listener is closed and the last peer is gone, and returns what
// Accept does then; or until ctx is done: then it closes the connections that it
// serves, and returns CANCELLED. When it returns, no function of the handler runs any
// more. A second call meanwhile is IO error FAILED, and Accept takes peers away from it.
// Without the handler's Messages the error is INVALID_ARGUMENT.
func (l *DtlsListener) Serve(ctx context.Context, handler Handler) error {
	if handler.Messages == nil && handler.exposed == nil {
		return datagram.NewError(datagram.CodeInvalidArgument, "handler without Messages: nobody would read what peers send")
	}
	if handler.Workers <= 0 {
		handler.Workers = runtime.GOMAXPROCS(0)
	}
	// The workers go on while connections are closed.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &crew{ctx: working, handler: handler, workers: make([]*worker, handler.Workers), over: make(chan struct{})}
	for i := range c.workers {
		c.workers[i] = newWorker(c, l)
	}
	if !l.crew.CompareAndSwap(nil, c) { // from here on the reader knows it
		stop()
		return datagram.NewError(datagram.CodeFailed, "the listener has a handler already: one call of Serve at a time is possible")
	}
	var running sync.WaitGroup
	for _, w := range c.workers {
		running.Go(w.run)
	}
	defer func() {
		stop()
		for _, w := range c.workers {
			w.stop()
		}
		running.Wait()
		l.crew.Store(nil)
		close(c.over)
	}()
	for {
		connection, err := l.Accept(ctx)
		if err != nil {
			c.finish(ctx, l)
			return err
		}
		c.take(connection, l)
	}
}

// take gives a connection to its worker.
func (c *crew) take(connection *DtlsServerConnection, l *DtlsListener) {
	p := connection.BaseSocket().(*peer)
	c.serving.Add(1)
	p.worker.Store(c.workers[l.table.hash(p.address)/tableShards%uint64(len(c.workers))])
	p.rouse() // for what has come before, and to tell of the peer
}

// finish waits until all peers are gone, and closes their connections once ctx is done.
func (c *crew) finish(ctx context.Context, l *DtlsListener) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.serving.Wait()
	}()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	for _, p := range l.table.appendAll(nil) {
		if connection := p.connection.Load(); connection != nil && p.worker.Load() != nil {
			_ = connection.Close(c.ctx)
		}
	}
	<-gone
}

// kick wakes the workers that have got something to do.
func (c *crew) kick() {
	for _, w := range c.workers {
		w.kick()
	}
}

// turn is where a served peer stands with its worker.
type turn uint32

const (
	turnIdle   turn = iota
	turnQueued      // the worker will come to it
	turnTaken       // the worker is at it
	turnAgain       // and has to come again
	turnOver        // the peer is gone
)

// worker serves a share of the peers.
type worker struct {
	crew *crew

	mu          sync.Mutex
	ready       sync.Cond // first is set, or stopped
	first, last *peer     // with something to do, linked by nextReady
	waiting     bool
	stopped     bool

	batch sendBatch

	in       [workBatch]datagram.InputMessage // owned by the goroutine, as all that follows
	messages [][]byte
	replies  [][]byte
	exposed  []byte // the datagram that the last message came in
	out      []datagram.OutputMessage
	vectors  [][1][]byte
}

func newWorker(c *crew, l *DtlsListener) *worker {
	w := &worker{crew: c}
	w.ready.L = &w.mu
	w.batch.init(l)
	vectors := make([][]byte, workBatch)
	for i := range w.in {
		vectors[i] = make([]byte, largePacket)
		w.in[i].Vectors = vectors[i : i+1]
	}
	return w
}

// schedule has the worker come to a peer. It wakes nobody, which kick does.
func (w *worker) schedule(p *peer) {
	for {
		switch now := turn(p.turn.Load()); now {
		case turnIdle:
			if p.turn.CompareAndSwap(uint32(now), uint32(turnQueued)) {
				w.append(p)
				return
			}
		case turnTaken:
			if p.turn.CompareAndSwap(uint32(now), uint32(turnAgain)) {
				return
			}
		default:
			return
		}
	}
}

func (w *worker) append(p *peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.first = p
	} else {
		w.last.nextReady = p
	}
	w.last = p
}

func (w *worker) kick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting && w.first != nil {
		w.waiting = false
		w.ready.Signal()
	}
}

func (w *worker) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.ready.Signal()
}

// next gives the next peer, nil at the end. It waits only when all replies are out.
func (w *worker) next() *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.first == nil {
		w.mu.Unlock()
		w.batch.flush()
		w.mu.Lock()
		if w.first != nil {
			break
		}
		if w.stopped {
			return nil
		}
		w.waiting = true
		w.ready.Wait()
	}
	w.waiting = false
	p := w.first
	if w.first = p.nextReady; w.first == nil {
		w.last = nil
	}
	p.nextReady = nil
	return p
}

// run is the worker's goroutine.
func (w *worker) run() {
	for p := w.next(); p != nil; p = w.next() {
		p.turn.Store(uint32(turnTaken))
		more, reason := w.serve(p)
		switch {
		case reason != nil:
			p.turn.Store(uint32(turnOver))
			p.worker.Store(nil)
			w.farewell(p, reason)
		case more || !p.turn.CompareAndSwap(uint32(turnTaken), uint32(turnIdle)):
			p.turn.Store(uint32(turnQueued))
			w.append(p) // behind the others
		}
	}
}

// serve hands a peer's messages to the handler and its replies to the batch. It
// tells whether there may be more, and why the connection is over.
func (w *worker) serve(p *peer) (more bool, over error) {
	c, h := p.connection.Load(), &w.crew.handler
	if !p.greeted {
		p.greeted = true
		if h.Accepted != nil {
			h.Accepted(c)
		}
	}
	p.batch.Store(&w.batch)
	defer w.batch.leave(p)
	if h.exposed != nil {
		return w.serveExposed(c)
	}
	n, err := w.receive(c, w.in[:])
	if n == 0 {
		return false, err
	}
	w.messages = w.messages[:0]
	for i := range w.in[:n] {
		w.messages = append(w.messages, w.in[i].Vectors[0][:w.in[i].BytesReceived])
	}
	w.replies = h.Messages(c, w.messages, w.replies[:0])
	w.reply(c, w.replies)
	return true, nil // the end may have come with them
}

// serveExposed is serve for one message at a time.
func (w *worker) serveExposed(c *DtlsServerConnection) (more bool, over error) {
	w.exposed = w.exposed[:0]
	for range w.in {
		n, err := w.receive(c, w.in[:1])
		if n == 0 {
			return false, err
		}
		var cipherText []byte
		if len(w.exposed) > 0 {
			cipherText = w.exposed
		}
		if reply := w.crew.handler.exposed(c, cipherText, w.in[0].Vectors[0][:w.in[0].BytesReceived]); reply != nil {
			w.reply(c, append(w.replies[:0], reply))
		}
	}
	return true, nil
}

// expose keeps a datagram that the connection reads.
func (w *worker) expose(m *datagram.InputMessage) {
	if w.crew.handler.exposed == nil {
		return
	}
	w.exposed = w.exposed[:0]
	for rest, vectors := m.BytesReceived, m.Vectors; rest > 0; vectors = vectors[1:] {
		part := vectors[0][:min(rest, len(vectors[0]))]
		w.exposed = append(w.exposed, part...)
		rest -= len(part)
	}
}

// receive gives what a peer has sent: 0 and nil if there is nothing, else why there
// will be nothing more.
func (w *worker) receive(c *DtlsServerConnection, in []datagram.InputMessage) (int, error) {
	n, err := c.ReceiveMessages(w.crew.ctx, in, datagram.MsgWaitForOne, 0)
	switch {
	case isWouldBlock(err):
		return 0, nil
	case n == 0 && err == nil:
		return 0, io.EOF
	}
	return n, err
}

// reply sends to the peer, through the batch.
func (w *worker) reply(c *DtlsServerConnection, replies [][]byte) {
	if more := len(replies) - len(w.out); more > 0 {
		w.out = append(w.out, make([]datagram.OutputMessage, more)...)
		w.vectors = make([][1][]byte, len(w.out))
		for i := range w.out {
			w.out[i].Vectors = w.vectors[i][:]
		}
	}
	for i, reply := range replies {
		w.vectors[i][0] = reply
	}
	for out := w.out[:len(replies)]; len(out) > 0; {
		n, err := c.SendMessages(w.crew.ctx, out, 0, -1)
		if err != nil {
			w.batch.listener.counters.unsent.Add(1)
			n++ // such as one that is too long
		}
		out = out[n:]
	}
	clear(w.vectors[:len(replies)])
}

// farewell ends a connection that is over.
func (w *worker) farewell(p *peer, reason error) {
	defer w.crew.serving.Done()
	w.batch.flush() // close_notify goes last
	c := p.connection.Load()
	_ = c.Close(w.crew.ctx)
	if w.crew.handler.Closed != nil {
		w.crew.handler.Closed(c, reason)
	}
}
