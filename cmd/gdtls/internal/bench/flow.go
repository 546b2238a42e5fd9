package bench

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// No more datagrams than a window are under way, so that the slower side sets
	// the pace and no buffer overflows: so many bytes and so many datagrams at most,
	// but room for two batches.
	windowBytes = 256 << 10
	maxWindow   = 1024

	// After so long without progress what is under way counts as lost. In the end
	// the wait costs nothing, since the time counts up to the last arrival.
	lossPatience = 10 * time.Millisecond
	lastPatience = 100 * time.Millisecond
)

// tally is what a round of a throughput measurement has moved.
type tally struct {
	sent    int64
	arrived int64         // in time
	took    time.Duration // from the first send to the last of these arrivals
	lost    int64
	allocs  uint64 // of the whole process
}

// flow moves datagrams between two ends in this process.
type flow struct {
	client, server end
	batch          int
	// pinned: each end keeps to its own processor, tied to a thread. That steadies a
	// flow, but whenever such a goroutine waits, it costs two switches between
	// threads. So it is not for ends that wait for every batch, nor for those with
	// goroutines of their own, which cannot be pinned along and hand over to ours.
	pinned bool

	window, widest int64
}

func newFlow(client, server end, s Setting, pinned bool) *flow {
	widest := min(max(windowBytes/s.Size, 2*s.Batch), maxWindow)
	return &flow{client: client, server: server, batch: s.Batch, pinned: pinned, window: int64(widest), widest: int64(widest)}
}

func (f *flow) close() error { return errors.Join(f.client.close(), f.server.close()) }

// round moves datagrams for a while, in one direction or there and back.
func (f *flow) round(d time.Duration, echo bool) (tally, error) {
	serve, drive := f.take, f.pour
	if echo {
		serve, drive = f.answer, f.converse
	}
	f.client.begin()
	f.server.begin()
	runtime.GC() // of what others have left
	var (
		t        tally
		arrived  atomic.Int64
		stop     atomic.Bool
		failures [2]error
		sides    sync.WaitGroup
		before   = allocations()
	)
	sides.Go(func() {
		f.pin(1)
		failures[1] = serve(&arrived, &stop)
	})
	sides.Go(func() {
		f.pin(0)
		t, failures[0] = drive(d, &arrived)
		stop.Store(true)
		f.server.interrupt()
	})
	sides.Wait()
	t.allocs = allocations() - before
	t.lost = max(0, t.sent-arrived.Load())
	return t, errors.Join(failures[:]...)
}

func (f *flow) pin(processor int) {
	if f.pinned {
		pin(processor)
	}
}

// take receives until it is to stop.
func (f *flow) take(arrived *atomic.Int64, stop *atomic.Bool) error {
	for {
		n, err := f.server.receive()
		arrived.Add(int64(n))
		if err != nil || n == 0 && stop.Load() {
			return err
		}
	}
}

// pour sends for a while, as fast as datagrams arrive.
func (f *flow) pour(d time.Duration, arrived *atomic.Int64) (t tally, err error) {
	var lost, whole int64 // whole: batches since the last loss
	start := time.Now()
	last := start // progress
	settle := func(most int64, patience time.Duration) {
		seen := arrived.Load()
		since := time.Now()
		for spins := 0; ; spins++ {
			now := arrived.Load()
			if now != seen {
				seen, since = now, time.Now()
			}
			if t.arrived = now; lost > t.sent-now { // it was late
				lost, f.window = t.sent-now, f.widest
			}
			if t.sent-lost-now <= most {
				last = since
				return
			}
			if spins%64 == 63 && time.Since(since) > patience {
				lost, whole, last = t.sent-now, 0, since
				f.window = max(f.window/2, int64(f.batch))
				return
			}
			breathe(spins, f.pinned)
		}
	}
	for time.Since(start) < d {
		settle(f.window-int64(f.batch), lossPatience)
		if err := f.client.send(f.batch); err != nil {
			return t, err
		}
		t.sent += int64(f.batch)
		if whole++; whole%256 == 0 {
			f.window = min(f.window+int64(f.batch), f.widest)
		}
	}
	settle(0, lastPatience)
	t.took = last.Sub(start)
	return t, nil
}

// answer sends back what it receives, until it is to stop.
func (f *flow) answer(_ *atomic.Int64, stop *atomic.Bool) error {
	for {
		n, err := f.server.receive()
		if err != nil || n == 0 && stop.Load() {
			return err
		}
		if err := f.server.send(n); err != nil {
			return err
		}
	}
}

// converse sends a batch and waits until all of it has come back, for a while.
func (f *flow) converse(d time.Duration, arrived *atomic.Int64) (t tally, err error) {
	watching := make(chan struct{})
	defer close(watching)
	go func() { // wakes the client when something must have been lost
		ticker := time.NewTicker(lastPatience)
		defer ticker.Stop()
		for seen := int64(-1); ; {
			select {
			case <-watching:
				return
			case <-ticker.C:
				now := arrived.Load()
				if now == seen {
					f.client.interrupt()
				}
				seen = now
			}
		}
	}()
	start := time.Now()
	for time.Since(start) < d {
		if err := f.client.send(f.batch); err != nil {
			return t, err
		}
		t.sent += int64(f.batch)
		for got := 0; got < f.batch; {
			n, err := f.client.receive()
			if err != nil {
				return t, err
			}
			if n == 0 {
				f.client.begin()
				break
			}
			got += n
			arrived.Add(int64(n))
		}
	}
	t.took = time.Since(start)
	t.arrived = arrived.Load()
	return t, nil
}

// allocations counts what the process has allocated so far.
func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// lonely: there is one processor only, so that who waits for another goroutine must
// let it run.
var lonely = runtime.GOMAXPROCS(0) < 2

// breathe is called in a loop that waits for the other end. A goroutine that is tied
// to its thread leaves the thread alone if it can: giving it up costs two switches
// between threads.
func breathe(spins int, pinned bool) {
	switch {
	case spins%1000 != 999:
	case pinned && !lonely:
		yield()
	default:
		runtime.Gosched()
	}
}
