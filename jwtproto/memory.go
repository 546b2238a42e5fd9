package jwtproto

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// memoryRows is how many rows of each group NewMemory keeps, and with them the tokens
// that it remembers: about half a megabyte for a busy group.
const memoryRows = 4096

// memory is a Store that does not outlive the process.
type memory struct {
	mu      sync.Mutex
	closed  bool
	ledger  Ledger // of the batch at hand; kept for its room
	groups  map[string]*memoryGroup
	refused map[refusalKey]RefusalCount
}

// memoryGroup is what is kept of a group.
type memoryGroup struct {
	state   GroupState
	rows    []LedgerRow // the last ones, Seq without gaps
	seen    map[TokenID]uint64
	members map[int64]*MemberStatus
}

// refusalKey is what a RefusalCount counts.
type refusalKey struct {
	group        string
	registration int64
	why          Refusal
}

func (r *RefusalCount) key() refusalKey { return refusalKey{r.Group, r.Registration, r.Why} }

// NewMemory makes a Store in memory. It keeps the last 4,096 rows of each group, and
// remembers the tokens of these.
func NewMemory() Store {
	return &memory{groups: map[string]*memoryGroup{}, refused: map[refusalKey]RefusalCount{}}
}

func (s *memory) Apply(_ context.Context, rules Rules, batch *Batch) ([]Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrStoreClosed
	}
	l := &s.ledger
	l.Reset()
	l.Rules = rules
	for i := range batch.Moves {
		m := &batch.Moves[i]
		g := s.groups[m.Group]
		if g == nil {
			continue
		}
		put(&l.States, m.Group, g.state)
		if seq, ok := g.seen[m.Token]; ok {
			put(&l.Seen, TokenKey{m.Group, m.Token}, g.row(seq).Row)
		}
	}
	outcomes := make([]Outcome, len(batch.Moves))
	for i := range batch.Moves {
		outcomes[i] = l.Apply(&batch.Moves[i])
	}
	s.keep(l)
	for _, refused := range [][]RefusalCount{batch.Refusals, l.Refused} {
		for _, r := range refused {
			r.Count += s.refused[r.key()].Count
			s.refused[r.key()] = r
		}
	}
	return outcomes, nil
}

// keep does what a Ledger says.
func (s *memory) keep(l *Ledger) {
	for i := range l.Rows {
		g := s.group(l.Rows[i].Group)
		if len(g.rows) >= 2*memoryRows {
			old := g.rows[:len(g.rows)-memoryRows+1]
			for _, r := range old {
				delete(g.seen, r.Token)
			}
			g.rows = append(g.rows[:0], g.rows[len(old):]...)
		}
		g.rows = append(g.rows, l.Rows[i])
		if token := l.Rows[i].Token; token != (TokenID{}) {
			g.seen[token] = l.Rows[i].Seq
		}
		g.state = l.States[l.Rows[i].Group]
	}
	for key, n := range l.Repeats {
		if g := s.groups[key.Group]; key.Seq >= g.rows[0].Seq { // not just dropped
			g.row(key.Seq).Repeats += n
		}
	}
	for key, added := range l.Members {
		members := s.group(key.Group).members
		m := members[key.Registration]
		if m == nil {
			m = &MemberStatus{Registration: key.Registration}
			members[key.Registration] = m
		}
		m.Advanced += added.Advanced
		m.Restarted += added.Restarted
		m.Repeated += added.Repeated
		m.OutOfTurn += added.OutOfTurn
		m.Completed += added.Completed
		m.Seen = added.Seen
		if added.Moved {
			m.Last = added.Last
		}
	}
}

func (s *memory) group(name string) *memoryGroup {
	g := s.groups[name]
	if g == nil {
		g = &memoryGroup{seen: map[TokenID]uint64{}, members: map[int64]*MemberStatus{}}
		s.groups[name] = g
	}
	return g
}

// row finds a row that is kept.
func (g *memoryGroup) row(seq uint64) *LedgerRow { return &g.rows[seq-g.rows[0].Seq] }

func (s *memory) Status(context.Context) ([]GroupStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrStoreClosed
	}
	groups := map[string]*GroupStatus{}
	for name, g := range s.groups {
		status := &GroupStatus{
			Group: name, Last: g.state.Last, Rows: g.state.Row.Seq, Completed: g.state.Completed,
			Restarted: g.state.Restarted, Seen: g.state.Row.Time,
		}
		for _, m := range g.members {
			status.Members = append(status.Members, *m)
		}
		groups[name] = status
	}
	return AddRefusals(groups, slices.Collect(maps.Values(s.refused))), nil
}

// AddRefusals completes a report: it adds the counts to the groups and members that they
// belong to, which it makes if they are missing, and sorts all. It is for Stores.
func AddRefusals(groups map[string]*GroupStatus, refused []RefusalCount) []GroupStatus {
	for _, r := range refused {
		g := groups[r.Group]
		if g == nil {
			g = &GroupStatus{Group: r.Group}
			groups[r.Group] = g
		}
		put(&g.Refusals, r.Why, g.Refusals[r.Why]+r.Count)
		if r.Registration == 0 {
			continue
		}
		i := slices.IndexFunc(g.Members, func(m MemberStatus) bool { return m.Registration == r.Registration })
		if i < 0 {
			i = len(g.Members)
			g.Members = append(g.Members, MemberStatus{Registration: r.Registration})
		}
		m := &g.Members[i]
		put(&m.Refusals, r.Why, m.Refusals[r.Why]+r.Count)
	}
	all := make([]GroupStatus, 0, len(groups))
	for _, g := range groups {
		slices.SortFunc(g.Members, func(a, b MemberStatus) int { return cmp.Compare(a.Registration, b.Registration) })
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b GroupStatus) int { return cmp.Compare(a.Group, b.Group) })
	return all
}

func (s *memory) History(_ context.Context, group string, after uint64, limit int) ([]Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrStoreClosed
	}
	g := s.groups[group]
	if g == nil || limit <= 0 {
		return nil, nil
	}
	kept := g.rows[max(0, len(g.rows)-memoryRows):]
	first, _ := slices.BinarySearchFunc(kept, after, func(r LedgerRow, after uint64) int { return cmp.Compare(r.Seq, after+1) })
	var rows []Row
	for _, r := range kept[first:min(len(kept), first+limit)] {
		rows = append(rows, r.Row)
	}
	return rows, nil
}

func (s *memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
