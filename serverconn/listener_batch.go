package serverconn

import (
	"context"
	"sync"
	"time"

	"gdtls/datagram"
)

const (
	batchMessages = 128
	batchBytes    = 1 << 17

	// batchDelay is the longest that a reply waits for those to other peers, while
	// the handler is busy.
	batchDelay = time.Millisecond
	// batchPatience is how long a base may hold up replies that it does not take.
	batchPatience = time.Second
)

// sendBatch holds records for many peers until they leave in one call of the base.
type sendBatch struct {
	listener *DtlsListener

	mu       sync.Mutex
	n        int
	messages [batchMessages]datagram.OutputMessage
	vectors  [batchMessages][1][]byte
	slab     []byte
	overdue  *time.Timer // runs while there is something
}

func (b *sendBatch) init(l *DtlsListener) {
	b.listener = l
	b.slab = make([]byte, 0, batchBytes)
	for i := range b.messages {
		b.messages[i].Vectors = b.vectors[i][:]
	}
	b.overdue = time.AfterFunc(time.Hour, b.flush)
	b.overdue.Stop()
}

// leave ends that what is sent to the peer goes through the batch.
func (b *sendBatch) leave(p *peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.batch.Store(nil)
}

// add takes records for a peer, unless it has left.
func (b *sendBatch) add(p *peer, messages []datagram.OutputMessage) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.batch.Load() != b {
		return false
	}
	for i := range messages {
		size := 0
		for _, v := range messages[i].Vectors {
			size += len(v)
		}
		if b.n == batchMessages || len(b.slab)+size > cap(b.slab) {
			b.send()
		}
		start := len(b.slab)
		for _, v := range messages[i].Vectors {
			b.slab = append(b.slab, v...)
		}
		messages[i].BytesSent = size
		b.vectors[b.n][0] = b.slab[start:]
		b.messages[b.n].Address = p.address
		if b.n++; b.n == 1 {
			b.overdue.Reset(batchDelay)
		}
	}
	return true
}

// flush sends what there is.
func (b *sendBatch) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.send()
}

// send is flush; the caller holds mu. What the base does not take is lost, as in a
// network, and counted.
func (b *sendBatch) send() {
	if b.n == 0 {
		return
	}
	b.overdue.Stop()
	ctx := context.Background() // it does not wait long, and goodbyes go last
	base, unsent := b.listener.base, &b.listener.counters.unsent
	for rest := b.messages[:b.n]; len(rest) > 0; {
		n, err := base.SendMessages(ctx, rest, 0, 0)
		if isWouldBlock(err) {
			n, err = base.SendMessages(ctx, rest, 0, batchPatience)
		}
		if err != nil {
			unsent.Add(1)
			n = 1 // the first: such as an address that cannot be reached
		}
		rest = rest[n:]
	}
	b.n, b.slab = 0, b.slab[:0]
}
