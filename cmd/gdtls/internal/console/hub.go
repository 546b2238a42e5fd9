package console

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultEvents and DefaultBytes bound what a hub keeps.
	DefaultEvents = 10_000
	DefaultBytes  = 8 << 20

	// pace is how often viewers are woken at most: a flood of events comes to them in
	// frames, and waking them costs the publisher nothing.
	pace = 100 * time.Millisecond

	// frameEvents and frameBytes bound one message to a viewer, of which each gets one in
	// pace. allBytes is what all viewers get in that time, so that many of them do not
	// take the processors when there is a flood of events: each misses more then, but for
	// leastBytes.
	frameEvents = 500
	frameBytes  = 128 << 10
	allBytes    = 4 << 20
	leastBytes  = 4 << 10
)

// Hub keeps the latest events and numbers them from 1. Safe for concurrent use.
type Hub struct {
	// Constant.
	epoch    string // of this hub: numbers of another mean nothing here
	maxBytes int

	news    chan struct{} // holds one signal that something was published
	viewers atomic.Int64

	mu      sync.Mutex
	ring    []entry       // event n is at n modulo its length
	first   uint64        // number of the oldest event that is kept
	next    uint64        // number of the next event
	bytes   int           // of those that are kept
	changed chan struct{} // closed to wake the viewers
}

// entry is an event as it is kept.
type entry []byte // what encode gave

// NewHub makes a hub that keeps so many events and bytes at most; 0 means DefaultEvents
// and DefaultBytes.
func NewHub(events, bytes int) *Hub {
	if events <= 0 {
		events = DefaultEvents
	}
	if bytes <= 0 {
		bytes = DefaultBytes
	}
	return &Hub{
		epoch: rand.Text(), maxBytes: bytes, news: make(chan struct{}, 1),
		ring: make([]entry, events), first: 1, next: 1, changed: make(chan struct{}),
	}
}

// Publish adds an event. It waits for nobody, and who watches makes no difference to
// what it costs.
func (h *Hub) Publish(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	encoded := entry(e.encode())
	h.mu.Lock()
	slot := &h.ring[h.next%uint64(len(h.ring))]
	if h.next-h.first == uint64(len(h.ring)) {
		h.evict()
	}
	*slot = encoded
	h.next++
	h.bytes += len(encoded)
	for h.bytes > h.maxBytes && h.next-h.first > 1 {
		h.evict()
	}
	h.mu.Unlock()
	h.Touch()
}

// evict drops the oldest event. The caller holds mu.
func (h *Hub) evict() {
	slot := &h.ring[h.first%uint64(len(h.ring))]
	h.bytes -= len(*slot)
	*slot = nil
	h.first++
}

// Touch has viewers look for what is new, such as a change of the groups.
func (h *Hub) Touch() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// run wakes the viewers when there is news, until ctx is done. before is called then,
// if anybody watches.
func (h *Hub) run(ctx context.Context, before func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.news:
		}
		if h.viewers.Load() > 0 {
			before()
			h.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace):
		}
	}
}

func (h *Hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait gives a channel that is closed at the next change.
func (h *Hub) wait() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// isBehind tells whether there are events after a number.
func (h *Hub) isBehind(after uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return after+1 < h.next
}

// Last is the number of the last event, 0 before any.
func (h *Hub) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next - 1
}

// bounds gives the numbers of the oldest and of the next event.
func (h *Hub) bounds() (first, next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first, h.next
}

// read appends a frame with the events after a number, as many as a viewer may get now,
// and gives the number of the last in it. gone is how many of them were dropped before
// they could be read. With nothing to tell it appends nothing.
func (h *Hub) read(frame []byte, after uint64) (_ []byte, last, gone uint64) {
	var batch [frameEvents]entry
	most := min(frameBytes, max(allBytes/int(max(h.viewers.Load(), 1)), leastBytes))
	h.mu.Lock()
	if after+1 < h.first {
		gone = h.first - 1 - after
		after = h.first - 1
	}
	first, bytes, n := after+1, 0, 0
	for ; n < len(batch) && first+uint64(n) < h.next && bytes < most; n++ {
		batch[n] = h.ring[(first+uint64(n))%uint64(len(h.ring))]
		bytes += len(batch[n])
	}
	h.mu.Unlock()
	if n == 0 && gone == 0 {
		return frame, after, 0
	}
	frame = append(frame, `{"type":"events","dropped":`...)
	frame = strconv.AppendUint(frame, gone, 10)
	frame = append(frame, `,"events":[`...)
	for i, e := range batch[:n] {
		if i > 0 {
			frame = append(frame, ',')
		}
		frame = strconv.AppendUint(append(frame, `{"n":`...), first+uint64(i), 10)
		frame = append(frame, e...)
	}
	return append(frame, "]}"...), after + uint64(n), gone
}
