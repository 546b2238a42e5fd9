package jwtproto

import (
	"slices"
	"sync"
	"time"
)

// historyLength is how many rows are kept for each group; older ones are dropped.
const historyLength = 1000

// A Row of a group's history is one accepted request and its acknowledgement.
type Row struct {
	Time         time.Time
	Registration int64  // of the member who signed
	ID           string // of the request: the SHA-256 of its payload
	Number       int
	Next         int // as acknowledged
	Step         Step
}

// store keeps the states of the groups and their histories in memory.
type store struct {
	machine Machine

	mu     sync.Mutex
	groups map[string]*progress
}

// progress is how far a group is.
type progress struct {
	last    int
	id      string // of the request that was taken last
	history []Row
}

func newStore(machine Machine) *store {
	return &store{machine: machine, groups: map[string]*progress{}}
}

// apply moves a group by an accepted request and gives the row of its history. The
// request of a 0 that comes again, while nothing else was taken, is a retransmission
// and no further restart.
func (s *store) apply(group string, r *request, id string, now time.Time) Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.groups[group]
	if p == nil {
		p = &progress{}
		s.groups[group] = p
	}
	row := Row{Time: now, Registration: r.registration, ID: id, Number: r.number}
	row.Next, p.last, row.Step = s.machine.Next(p.last, r.number)
	switch {
	case row.Step == Restarted && p.id == id:
		row.Step = Repeated
	case row.Step == Restarted || row.Step == Advanced:
		p.id = id
	}
	if len(p.history) >= 2*historyLength {
		p.history = append(p.history[:0], p.history[len(p.history)-historyLength+1:]...)
	}
	p.history = append(p.history, row)
	return row
}

// history is the last rows of a group, the oldest first.
func (s *store) history(group string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.groups[group]
	if p == nil {
		return nil
	}
	return slices.Clone(p.history[max(0, len(p.history)-historyLength):])
}

// last is the last number that a group said in turn.
func (s *store) last(group string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.groups[group]; p != nil {
		return p.last
	}
	return 0
}
