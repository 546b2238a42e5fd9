package main

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxUnprinted is how many lines wait for a slow reader of the output.
	maxUnprinted = 1024
	// drainTime is how long the end waits for them.
	drainTime = 2 * time.Second
)

// printQueue stands between a server and its output, so that a reader that stalls holds
// up nobody: what has no room is dropped, and the reader is told how much that was. Safe
// for concurrent use.
type printQueue struct {
	lines   chan printed
	dropped atomic.Uint64
	told    func(dropped uint64) printed // the line about those that were dropped

	closing sync.Once
	stop    chan struct{}
	done    chan struct{}
}

// printed is text on its way to a writer.
type printed struct {
	to   io.Writer
	text string
}

// newPrintQueue makes a queue for lines, which print writes.
func newPrintQueue(print func(printed), told func(dropped uint64) printed) *printQueue {
	q := &printQueue{lines: make(chan printed, maxUnprinted), told: told, stop: make(chan struct{}), done: make(chan struct{})}
	go q.run(print)
	return q
}

func (q *printQueue) run(print func(printed)) {
	defer close(q.done)
	for {
		select {
		case p := <-q.lines:
			print(p)
			if n := q.dropped.Swap(0); n > 0 {
				print(q.told(n))
			}
			continue
		default:
		}
		select { // what was there at the end is printed first
		case p := <-q.lines:
			print(p)
		case <-q.stop:
			return
		}
	}
}

// put queues a line, or drops it.
func (q *printQueue) put(p printed) {
	select {
	case q.lines <- p:
	default:
		q.dropped.Add(1)
	}
}

// close prints what is left, as far as the reader takes it within drainTime.
func (q *printQueue) close() {
	q.closing.Do(func() { close(q.stop) })
	select {
	case <-q.done:
	case <-time.After(drainTime):
	}
}
