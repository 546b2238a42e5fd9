package conn

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"gdtls/datagram"
)

// Priorities of asynchronous calls, with GLib's values: the lower, the sooner. Any
// other int may be used too.
const (
	PriorityHigh        = -100 // G_PRIORITY_HIGH
	PriorityDefault     = 0    // G_PRIORITY_DEFAULT
	PriorityHighIdle    = 100  // G_PRIORITY_HIGH_IDLE
	PriorityDefaultIdle = 200  // G_PRIORITY_DEFAULT_IDLE
	PriorityLow         = 300  // G_PRIORITY_LOW
)

// AsyncReadyCallback is called once, on a goroutine of its own, when an asynchronous
// call has ended (GAsyncReadyCallback): source is the object that was called, result
// is for the finish function that belongs to the call. It may call anything.
type AsyncReadyCallback func(source any, result *AsyncResult)

// AsyncResult stands for an asynchronous call, which every function FooAsync starts
// and returns (GAsyncResult, GTask). FooFinish gives the outcome, as often as it is
// asked, and waits for it if need be. Its methods may be called from any goroutine.
//
// The io priority orders the calls that wait to begin: at most ten begin at once, in
// the whole process, and the others follow in the order of their priority and, where
// that is equal, of their call. One that has gone on for 10 ms does not count any
// more, so that nothing waits for a peer or a person. A call whose context ends does
// not wait for its turn.
type AsyncResult struct {
	source    any
	operation string
	done      chan struct{}

	// Valid once done is closed.
	value any
	err   error
}

// Done gives a channel that is closed when the call has ended.
func (r *AsyncResult) Done() <-chan struct{} { return r.done }

// Source gives the object that was called (g_async_result_get_source_object).
func (r *AsyncResult) Source() any { return r.source }

// startAsync runs work as an asynchronous call of an object.
func startAsync[T any](ctx context.Context, source any, operation string, ioPriority int, callback AsyncReadyCallback, work func() (T, error)) *AsyncResult {
	r := &AsyncResult{source: source, operation: operation, done: make(chan struct{})}
	asyncCalls.begin(ctx, &asyncCall{priority: ioPriority, run: func() {
		var value T
		value, r.err = work()
		r.value = value
		close(r.done)
	}, then: func() {
		if callback != nil {
			callback(source, r)
		}
	}})
	return r
}

// finishAsync waits for a call of an operation and gives its outcome.
func finishAsync[T any](r *AsyncResult, operation string) (T, error) {
	var none T
	if r == nil || r.operation != operation {
		return none, errForeignResult(operation)
	}
	<-r.done
	return r.value.(T), r.err
}

func errForeignResult(operation string) error {
	return datagram.NewError(datagram.CodeInvalidArgument, "result is not of a call that %s finishes: give it what its own function has returned", operation)
}

const (
	asyncSlots = 10 // as many threads as GTask's pool begins with
	asyncGrace = 10 * time.Millisecond
)

// asyncCalls begins the asynchronous calls of the process.
var asyncCalls asyncQueue

// asyncQueue lets a bounded number of calls begin at once.
type asyncQueue struct {
	mu      sync.Mutex
	busy    int       // calls that count; guarded by mu
	serial  uint64    // guarded by mu
	waiting asyncHeap // guarded by mu
}

type asyncCall struct {
	priority int
	run      func()
	then     func() // tells the caller; does not count

	// Guarded by the queue's mu.
	serial uint64
	index  int // in waiting; -1: not there
}

// begin runs a call when it is its turn, or when its context ends.
func (q *asyncQueue) begin(ctx context.Context, call *asyncCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	call.index = -1
	if q.busy < asyncSlots {
		q.busy++
		go q.serve(call)
		return
	}
	q.serial++
	call.serial = q.serial
	heap.Push(&q.waiting, call)
	stop := context.AfterFunc(ctx, func() {
		if q.remove(call) {
			call.run()
			call.then()
		}
	})
	then := call.then
	call.then = func() { stop(); then() }
}

// serve runs a call that has a slot.
func (q *asyncQueue) serve(call *asyncCall) {
	release := sync.OnceFunc(q.next)
	timer := time.AfterFunc(asyncGrace, release)
	call.run()
	timer.Stop()
	release()
	call.then()
}

// next gives a slot that has become free to the first who waits.
func (q *asyncQueue) next() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy--
		return
	}
	go q.serve(heap.Pop(&q.waiting).(*asyncCall))
}

// remove takes a call out of those that wait, and tells whether it was there.
func (q *asyncQueue) remove(call *asyncCall) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if call.index < 0 {
		return false
	}
	heap.Remove(&q.waiting, call.index)
	return true
}

// asyncHeap implements [heap.Interface].
type asyncHeap []*asyncCall

func (h asyncHeap) Len() int { return len(h) }

func (h asyncHeap) Less(i, j int) bool {
	if h[i].priority != h[j].priority {
		return h[i].priority < h[j].priority
	}
	return h[i].serial < h[j].serial
}

func (h asyncHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *asyncHeap) Push(x any) {
	call := x.(*asyncCall)
	call.index = len(*h)
	*h = append(*h, call)
}

func (h *asyncHeap) Pop() any {
	last := len(*h) - 1
	call := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	call.index = -1
	return call
}
