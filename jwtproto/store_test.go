package jwtproto

import (
	"testing"
	"time"
)

// reset forgets everything.
func (s *memory) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.groups)
}

// history is what a server has acknowledged to a group.
func history(t testing.TB, s *Server, group string) []Row {
	t.Helper()
	rows, err := s.Store().History(t.Context(), group, 0, memoryRows)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// last is the last number that a group said in turn.
func last(t testing.TB, s *Server, group string) int {
	t.Helper()
	groups, err := s.Store().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if g.Group == group {
			return g.Last
		}
	}
	return 0
}

func TestMemoryIsBounded(t *testing.T) {
	s := NewMemory().(*memory)
	const all = 5*memoryRows + 3
	for i := range all {
		m := Move{Time: time.Unix(int64(i), 0), Group: "REDS", Registration: 11, Number: i % 7, Token: TokenID{1, byte(i), byte(i >> 8)}, ID: RequestID{byte(i), byte(i >> 8)}}
		if _, err := s.Apply(t.Context(), Rules{}, &Batch{Moves: []Move{m}}); err != nil {
			t.Fatal(err)
		}
	}
	g := s.groups["REDS"]
	if cap(g.rows) > 4*memoryRows || len(g.seen) > 2*memoryRows {
		t.Errorf("room for %d rows, %d tokens", cap(g.rows), len(g.seen))
	}
	rows, err := s.History(t.Context(), "REDS", 0, all)
	if err != nil || len(rows) != memoryRows || rows[0].Seq != all-memoryRows+1 || rows[len(rows)-1].Seq != all {
		t.Errorf("%d rows: %v", len(rows), err)
	}
}
