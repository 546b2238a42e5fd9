package datagram

import (
	"context"
	"sync"
	"time"
)

// packet is a datagram in a queue, which owns its buffer.
type packet struct {
	buf  *buffer
	n    int
	from Address
}

// queue carries datagrams one way, in order and bounded.
type queue struct {
	limit int // the most packets it holds

	mu    sync.Mutex
	ring  []packet // grows up to limit
	head  int      // of the oldest
	count int
	ended bool  // the sending end is closed: after what is queued comes the end
	gone  bool  // the receiving end is closed: nothing is taken any more
	err   error // comes after what is queued, once

	readers waitSet // for a packet, an end or an error
	writers waitSet // for room, or an end
}

// receive is ReceiveMessages on the queue's receiving end, after the checks of
// open.
func (q *queue) receive(ctx context.Context, messages []InputMessage, flags MsgFlags, timeout time.Duration) (int, error) {
	messages = bound(messages, flags)
	need := needed(len(messages), flags, timeout)
	q.mu.Lock()
	defer q.mu.Unlock()
	n, over := q.take(messages, flags)
	if n < need && !over {
		deadline := deadlineOf(timeout)
		w := q.readers.join()
		defer q.readers.leave(w)
		for n < need && !over {
			q.mu.Unlock()
			err := w.wait(ctx, deadline)
			q.mu.Lock()
			var more int
			more, over = q.take(messages[n:], flags)
			n += more
			if err != nil && n == 0 && !over {
				return 0, err
			}
			if err != nil {
				break
			}
		}
	}
	switch {
	case n > 0:
		return n, nil
	case q.gone:
		return 0, ErrClosed
	case q.err != nil:
		err := q.err
		q.err = nil
		return 0, err
	case q.ended:
		return 0, nil
	}
	return 0, ErrWouldBlock
}

// take fills messages with what is queued, and reports whether nothing more can
// come before the call ends. The mutex is held.
func (q *queue) take(messages []InputMessage, flags MsgFlags) (n int, over bool) {
	for n < len(messages) && q.count > 0 {
		p := &q.ring[q.head]
		deliver(&messages[n], p.buf.b[:p.n], p.from)
		n++
		if flags&MsgPeek != 0 {
			return n, true
		}
		q.drop()
	}
	if n > 0 && q.writers.waiting != nil {
		q.writers.wake()
	}
	return n, q.count == 0 && (q.ended || q.gone || q.err != nil)
}

// drop removes the oldest packet. The mutex is held.
func (q *queue) drop() {
	p := &q.ring[q.head]
	p.buf.release()
	*p = packet{}
	if q.head++; q.head == len(q.ring) {
		q.head = 0
	}
	q.count--
}

// send is SendMessages on the queue's sending end, after the checks of open.
// most is the longest datagram taken.
func (q *queue) send(ctx context.Context, messages []OutputMessage, timeout time.Duration, most int) (int, error) {
	messages = messages[:min(len(messages), MaxMessages)]
	var (
		deadline time.Time
		w        *waiter
	)
	q.mu.Lock()
	defer q.mu.Unlock()
	for n := 0; ; {
		var err error
		for err == nil && n < len(messages) {
			if err = q.put(&messages[n], most); err == nil {
				n++
			}
		}
		if err == nil {
			return n, nil
		}
		if err != ErrWouldBlock || timeout == 0 {
			return partial(n, err)
		}
		if w == nil {
			deadline = deadlineOf(timeout)
			w = q.writers.join()
			defer q.writers.leave(w)
		}
		q.mu.Unlock()
		err = w.wait(ctx, deadline)
		q.mu.Lock()
		if err != nil {
			return partial(n, err)
		}
	}
}

// partial is what a call returns that moved n messages and then met err: an
// error is reported only if there is nothing else to report (G013, G024).
func partial(n int, err error) (int, error) {
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// put queues one message. The mutex is held.
func (q *queue) put(m *OutputMessage, most int) error {
	length := size(m.Vectors)
	switch {
	case q.ended:
		return ErrClosed
	case q.gone:
		return ErrConnectionRefused
	case length > most:
		return NewError(CodeMessageTooLarge, "the message has %d bytes, the most that fits is %d", length, most)
	case q.count == q.limit:
		return ErrWouldBlock
	}
	p := q.slot()
	p.buf = getBuffer(length)
	p.n = gather(p.buf.b, m.Vectors)
	m.BytesSent = p.n
	q.readers.wake()
	return nil
}

// push queues a copy of data, and reports whether there was room.
func (q *queue) push(data []byte, from Address) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == q.limit || q.gone {
		return false
	}
	p := q.slot()
	p.buf = getBuffer(len(data))
	p.n = copy(p.buf.b, data)
	p.from = from
	q.readers.wake()
	return true
}

// slot returns the place for one more packet. The mutex is held and there is
// room.
func (q *queue) slot() *packet {
	if q.count == len(q.ring) {
		ring := make([]packet, min(q.limit, max(8, 2*len(q.ring))))
		n := copy(ring, q.ring[q.head:])
		copy(ring[n:], q.ring[:q.head])
		q.ring, q.head = ring, 0
	}
	at := q.head + q.count
	if at >= len(q.ring) {
		at -= len(q.ring)
	}
	q.count++
	return &q.ring[at]
}

// fail gives the receiving end an error, which comes after what is queued.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	q.readers.wake()
}

// closed reports whether the receiving end is closed.
func (q *queue) closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gone
}

// end closes the sending end: what is queued can still be received.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.readers.wake()
	q.writers.wake()
}

// abandon closes the receiving end and drops what is queued.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = true
	for q.count > 0 {
		q.drop()
	}
	q.ring = nil
	q.readers.wake()
	q.writers.wake()
}

// readable reports whether receive would not block, and whether it would
// return an error.
func (q *queue) readable() (ok, failed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count > 0 || q.ended || q.err != nil, q.err != nil
}

// writable reports whether send would not block.
func (q *queue) writable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count < q.limit || q.gone
}

// watch waits on behalf of condition_wait until check returns something. in is
// the queue whose packets are waited for, out the one whose room is; either may
// be nil.
func watch(ctx context.Context, in, out *queue, timeout time.Duration, check func() IOCondition) error {
	if ctx.Err() != nil {
		return ErrorFromContext(ctx)
	}
	if check() != 0 {
		return nil
	}
	if timeout == 0 {
		return ErrTimedOut
	}
	deadline := deadlineOf(timeout)
	w := &waiter{woken: make(chan struct{}, 1)}
	defer w.enlist(in, out)()
	for check() == 0 {
		if err := w.wait(ctx, deadline); err != nil {
			return err
		}
	}
	return nil
}

// enlist has a waiter woken by changes of two queues, as watch says, until the
// result is called.
func (w *waiter) enlist(in, out *queue) (leave func()) {
	sets := watched(in, out)
	for _, set := range sets {
		set.mu.Lock()
		set.waiting = append(set.waiting, w)
		set.mu.Unlock()
	}
	return func() {
		for _, set := range sets {
			set.mu.Lock()
			set.remove(w)
			set.mu.Unlock()
		}
	}
}

// guardedSet is a waitSet with the mutex that guards it.
type guardedSet struct {
	mu *sync.Mutex
	*waitSet
}

func watched(in, out *queue) (sets []guardedSet) {
	if in != nil {
		sets = append(sets, guardedSet{&in.mu, &in.readers})
	}
	if out != nil {
		sets = append(sets, guardedSet{&out.mu, &out.writers})
	}
	return sets
}
