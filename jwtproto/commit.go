package jwtproto

import (
	"context"
	"sync"
	"time"
)

const (
	// maxBatch is how many moves the Store gets at once.
	maxBatch = 256
	// storeTime is how long it may take for them.
	storeTime = 5 * time.Second
	// longTime is after which time a Store takes long, and maxGather how long requests
	// wait for others at most before it gets them.
	longTime  = 100 * time.Microsecond
	maxGather = 2 * time.Millisecond
	// refusalInterval is after which time the refusals are counted in the Store if
	// nothing else is to be kept.
	refusalInterval = time.Second
	// firstBackoff is how long the Store is let alone after an error, and then twice as
	// long each time up to maxBackoff.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 3 * time.Second
)

// move is a job whose request was accepted.
type move struct {
	Move
	job job
}

// commit gives moves to the Store, and acknowledges those that it has kept. What gathers
// while it keeps some goes together the next time, so that a Store that takes long to
// make things durable does that for many at once.
func (s *Server) commit() error {
	ticker := time.NewTicker(refusalInterval)
	defer ticker.Stop()
	c := committer{server: s}
	for {
		select {
		case <-s.done:
			c.keep(nil)
			return nil
		case <-ticker.C:
			c.keep(nil)
		case m := <-s.moves:
			moves := c.gather(append(c.moves[:0], m))
			c.keep(moves)
			c.moves = moves
			clear(moves)
		}
	}
}

// committer is what the goroutine that commits has for itself.
type committer struct {
	server *Server
	took   time.Duration // Apply, the last time

	// For their room.
	moves []move
	batch Batch

	// Of a Store that fails.
	backoff time.Duration // zero: it works
	until   time.Time     // it is let alone
	dropped uint64        // moves since it failed first
}

// gather adds what else is to be kept with moves. Before a Store that takes long it waits
// for two thirds of the requests under way, but no longer than the Store took the last time:
// their signatures are being checked, and those of others can be while these are kept.
func (c *committer) gather(moves []move) []move {
	s := c.server
	for more := true; more && len(moves) < maxBatch; {
		select {
		case m := <-s.moves:
			moves = append(moves, m)
		default:
			more = false
		}
	}
	if c.took < longTime {
		return moves
	}
	timeout := time.NewTimer(min(c.took, maxGather))
	defer timeout.Stop()
	for len(moves) < maxBatch && int64(3*len(moves)) < 2*s.queued.Load() {
		select {
		case m := <-s.moves:
			moves = append(moves, m)
		case <-timeout.C:
			return moves
		}
	}
	return moves
}

// keep gives moves and the refusals so far to the Store.
func (c *committer) keep(moves []move) {
	s := c.server
	if c.backoff > 0 && time.Now().Before(c.until) {
		c.drop(moves)
		return
	}
	c.batch = Batch{c.batch.Moves[:0], s.refusals.take(c.batch.Refusals[:0])}
	for i := range moves {
		c.batch.Moves = append(c.batch.Moves, moves[i].Move)
	}
	if len(c.batch.Moves)+len(c.batch.Refusals) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	begun := time.Now()
	outcomes, err := s.config.Store.Apply(ctx, Rules{s.machine, s.config.Strict}, &c.batch)
	c.took = time.Since(begun)
	cancel()
	if err != nil {
		for _, r := range c.batch.Refusals {
			s.refusals.add(r)
		}
		c.failed(err)
		c.drop(moves)
		return
	}
	c.recovered()
	for i, outcome := range outcomes {
		j := moves[i].job
		if outcome.Why == accepted {
			s.acknowledge(j, outcome.Row)
			continue
		}
		j.why = outcome.Why
		s.refuse(j, time.Now())
	}
}

// drop leaves moves without an answer: their clients repeat them.
func (c *committer) drop(moves []move) {
	c.dropped += uint64(len(moves))
	c.server.counters.unstored.Add(uint64(len(moves)))
	for i := range moves {
		c.server.leave(moves[i].job)
	}
}

// failed tells once that the Store fails, and lets it alone for a while.
func (c *committer) failed(err error) {
	log := c.server.config.Logger
	if c.backoff == 0 {
		log.Error("the store fails: no request is acknowledged until it works again", "error", err)
	} else {
		log.Debug("the store still fails", "error", err)
	}
	c.backoff = min(max(2*c.backoff, firstBackoff), maxBackoff)
	c.until = time.Now().Add(c.backoff)
}

// recovered tells that the Store works again.
func (c *committer) recovered() {
	if c.backoff > 0 {
		c.server.config.Logger.Info("the store works again", "requests_not_acknowledged", c.dropped)
	}
	c.backoff, c.dropped = 0, 0
}

// refusals counts refused requests for the Store. There are no more counts than known
// members times reasons.
type refusals struct {
	mu     sync.Mutex
	counts map[refusalKey]RefusalCount
}

func (r *refusals) add(more RefusalCount) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := more.key()
	more.Count += r.counts[key].Count
	put(&r.counts, key, more)
}

// take appends what was counted since the last time.
func (r *refusals) take(to []RefusalCount) []RefusalCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, count := range r.counts {
		to = append(to, count)
	}
	clear(r.counts)
	return to
}
