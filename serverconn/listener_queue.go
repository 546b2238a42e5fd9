package serverconn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/datagram"
	"gdtls/internal/record"
)

const (
	smallPacket = 2048 // holds nearly every datagram
	// largePacket holds the longest record, as the buffers of a connection do.
	largePacket = record.HeaderSize + record.MaxPlaintext + 64
)

// packet is a queued datagram in pooled memory.
type packet struct {
	next *packet
	n    int
	b    []byte
}

var (
	smallPackets = sync.Pool{New: func() any { return &packet{b: make([]byte, smallPacket)} }}
	largePackets = sync.Pool{New: func() any { return &packet{b: make([]byte, largePacket)} }}
)

// packetMemory is what a datagram of n bytes takes.
func packetMemory(n int) int {
	if n <= smallPacket {
		return smallPacket
	}
	return largePacket
}

func newPacket(data []byte) *packet {
	pool := &smallPackets
	if len(data) > smallPacket {
		pool = &largePackets
	}
	p := pool.Get().(*packet)
	p.n = copy(p.b, data)
	return p
}

func (p *packet) release() {
	p.next = nil
	if len(p.b) == smallPacket {
		smallPackets.Put(p)
	} else {
		largePackets.Put(p)
	}
}

// queueLimits bounds the receive queues of one listener.
type queueLimits struct {
	datagrams, bytes int32 // of one queue
	memory           int64 // of all
	used             atomic.Int64
	waiters          sync.Pool // of *waiter; not global, so that synctest bubbles do not share them
}

// queue holds what has arrived for one peer. It is a list, so that an empty one
// takes no memory.
type queue struct {
	limits *queueLimits

	mu          sync.Mutex
	first, last *packet
	datagrams   int32
	bytes       int32 // of memory
	over        bool
	failure     error // what readers get when over; nil: the end (G015)
	waiting     []*waiter
}

// push queues a copy of data and tells whether there was room.
func (q *queue) push(data []byte) bool {
	memory := int32(packetMemory(len(data)))
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.limits
	switch {
	case q.over || q.datagrams >= l.datagrams || q.bytes+memory > l.bytes && q.datagrams > 0:
		return false
	case q.datagrams > 0 && l.used.Load()+int64(memory) > l.memory:
		return false
	}
	p := newPacket(data)
	if q.last == nil {
		q.first = p
	} else {
		q.last.next = p
	}
	q.last = p
	q.account(1, memory)
	q.wake()
	return true
}

func (q *queue) account(datagrams, memory int32) {
	q.datagrams += datagrams
	q.bytes += memory
	q.limits.used.Add(int64(memory))
}

// pop gives the oldest packet, nil if there is none. The caller holds mu.
func (q *queue) pop() *packet {
	p := q.first
	if p == nil {
		return nil
	}
	if q.first = p.next; q.first == nil {
		q.last = nil
	}
	q.account(-1, -int32(len(p.b)))
	return p
}

// end lets readers have what is queued and then failure, or, if that is nil, the
// end.
func (q *queue) end(failure error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.over {
		q.over, q.failure = true, failure
		q.wake()
	}
}

// abandon drops what is queued: nobody reads any more.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over, q.failure = true, datagram.ErrClosed
	for p := q.pop(); p != nil; p = q.pop() {
		p.release()
	}
	q.wake()
}

// readable tells whether receive would not block.
func (q *queue) readable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.first != nil || q.over
}

// receive is ReceiveMessages on the queue.
func (q *queue) receive(ctx context.Context, messages []datagram.InputMessage, flags datagram.MsgFlags, timeout time.Duration) (int, error) {
	needed := len(messages)
	switch {
	case timeout == 0:
		needed = 0
	case flags&datagram.MsgWaitForOne != 0:
		needed = 1
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.take(messages)
	for n < needed && !q.over {
		err := q.wait(ctx, deadline)
		n += q.take(messages[n:])
		if err != nil {
			if n > 0 {
				break
			}
			return 0, err
		}
	}
	switch {
	case n > 0:
		return n, nil
	case q.over:
		return 0, q.failure
	}
	return 0, datagram.ErrWouldBlock
}

// take fills messages with what is queued. The caller holds mu.
func (q *queue) take(messages []datagram.InputMessage) int {
	for i := range messages {
		p := q.pop()
		if p == nil {
			return i
		}
		m := &messages[i]
		data := p.b[:p.n]
		m.BytesReceived, m.Flags = 0, datagram.MsgNone
		for _, v := range m.Vectors {
			m.BytesReceived += copy(v, data[m.BytesReceived:])
		}
		if m.BytesReceived < len(data) {
			m.Flags = datagram.MsgTrunc
		}
		p.release()
	}
	return len(messages)
}

// waiter is a call that waits; used again, so that waiting allocates nothing.
type waiter struct {
	woken chan struct{} // holds one wake-up
	call  func(error)   // in its place, of who does not wait but wants to be told
	timer *time.Timer   // stopped; nil before it is needed
}

// wake wakes all who wait; each looks anew. The caller holds mu.
func (q *queue) wake() {
	for _, w := range q.waiting {
		if w.call != nil {
			w.call(nil)
			continue
		}
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

// wait waits to be woken, until the deadline (zero for none) or until ctx is done.
// The caller holds mu, which is free meanwhile.
func (q *queue) wait(ctx context.Context, deadline time.Time) error {
	w, ok := q.limits.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{woken: make(chan struct{}, 1)}
	}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	err := w.wait(ctx, deadline)
	q.mu.Lock()
	q.remove(w)
	select {
	case <-w.woken: // what is left of this use
	default:
	}
	q.limits.waiters.Put(w)
	return err
}

// remove takes a waiter out. The caller holds mu.
func (q *queue) remove(w *waiter) {
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return
	}
	last := len(q.waiting) - 1
	q.waiting[i], q.waiting[last] = q.waiting[last], nil
	q.waiting = q.waiting[:last]
}

// notify has call called at every change, with mu held, until the result is.
func (q *queue) notify(call func(error)) (stop func()) {
	w := &waiter{call: call}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, w)
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.remove(w)
	}
}

func (w *waiter) wait(ctx context.Context, deadline time.Time) error {
	var expired <-chan time.Time
	if !deadline.IsZero() {
		left := time.Until(deadline)
		if left <= 0 {
			return datagram.ErrTimedOut
		}
		if w.timer == nil {
			w.timer = time.NewTimer(left)
		} else {
			w.timer.Reset(left)
		}
		defer w.timer.Stop()
		expired = w.timer.C
	}
	select {
	case <-w.woken:
		return nil
	case <-ctx.Done():
		return datagram.ErrorFromContext(ctx)
	case <-expired:
		return datagram.ErrTimedOut
	}
}
