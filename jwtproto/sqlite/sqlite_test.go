package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
	"gdtls/jwtproto/storetest"
)

// kind is how stores are opened: each test has a file.
var kind = storetest.Kind{Shared: true, New: func(t testing.TB) func() (jwtproto.Store, error) {
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	return func() (jwtproto.Store, error) { return sqlite.Open(context.Background(), path) }
}}

func TestStore(t *testing.T) { storetest.Run(t, kind) }

func TestSecrets(t *testing.T) { storetest.RunSecrets(t, kind) }

// Of a long history the last rows stay, and their tokens are known, also to a Store that
// was opened later.
func TestRows(t *testing.T) {
	const rows, batch = sqlite.MinRows + 4464, 500
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	open := func() *sqlite.Store {
		t.Helper()
		s, err := sqlite.Open(t.Context(), path, sqlite.WithRows(1))
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
	say := func(s *sqlite.Store, moves ...jwtproto.Move) []jwtproto.Outcome {
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
	if n := len(kept); n < sqlite.MinRows || n > sqlite.MinRows+batch || kept[n-1].Seq != rows || kept[0].Seq != uint64(rows-n+1) {
		t.Errorf("%d rows are left, %d to %d", n, kept[0].Seq, kept[n-1].Seq)
	}
	for _, when := range []string{"at once", "later"} {
		for i, o := range say(s, move(rows-1), move(rows-sqlite.MinRows)) {
			if o.Row.Step != jwtproto.Repeated || o.Row.Seq != []uint64{rows, rows - sqlite.MinRows + 1}[i] {
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
