package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"gdtls/jwtproto"
)

// Of a long history the last rows stay, and their tokens are known, also to a Store that
// was opened later.
func TestRows(t *testing.T) {
	const keep, rows, batch = 1000, 4000, 200
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	open := func() *Store {
		t.Helper()
		s, err := Open(t.Context(), path, func(s *Store) { s.keep, s.remembered = keep, keep })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	move := func(i int) jwtproto.Move {
		id := jwtproto.RequestID{byte(i), byte(i >> 8), byte(i >> 16), 1}
		at := time.Unix(1_800_000_000, 0)
		return jwtproto.Move{Time: at, Group: "REDS", Registration: 1, Number: i % 7, ID: id, Token: jwtproto.TokenID(id[:16]), Expires: at.Add(time.Hour)}
	}
	say := func(s *Store, moves ...jwtproto.Move) []jwtproto.Outcome {
		t.Helper()
		outcomes, err := s.Apply(t.Context(), jwtproto.Rules{}, &jwtproto.Batch{Moves: moves})
		if err != nil {
			t.Fatal(err)
		}
		return outcomes
	}
	s := open()
	for i := 0; i < rows; {
		var moves []jwtproto.Move
		for range batch {
			moves = append(moves, move(i))
			i++
		}
		say(s, moves...)
	}
	kept, err := s.History(t.Context(), "REDS", 0, rows)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(kept); n < keep || n > keep+batch || kept[n-1].Seq != rows || kept[0].Seq != uint64(rows-n+1) {
		t.Errorf("%d rows are left, %d to %d", n, kept[0].Seq, kept[n-1].Seq)
	}
	for _, when := range []string{"at once", "later"} {
		for i, o := range say(s, move(rows-1), move(rows-keep)) {
			if o.Row.Step != jwtproto.Repeated || o.Row.Seq != []uint64{rows, rows - keep + 1}[i] {
				t.Errorf("%s: %+v of a token that came before", when, o)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open()
	}
	if o := say(s, move(0))[0]; o.Row.Seq != rows+1 || o.Row.Step != jwtproto.Restarted {
		t.Errorf("%+v of a token that is long forgotten", o)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// As many rows are kept as are needed to answer for the tokens that are known.
func TestMinRows(t *testing.T) {
	for n, want := range map[int]int64{-1: MinRows, 1: MinRows, MinRows + 1: MinRows + 1} {
		s := new(Store)
		if WithRows(n)(s); s.keep != want {
			t.Errorf("of %d rows %d are kept, want %d", n, s.keep, want)
		}
	}
}
