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

// What is to be kept of a long history depends on the tokens in it.
func TestRows(t *testing.T) {
	const keep = 200
	for _, test := range []struct {
		name        string
		life        func(i int) time.Duration // of the token of a row; 0: it has none
		least, most int                       // rows that may be left of 1,000
	}{
		{"no tokens", func(int) time.Duration { return 0 }, keep, keep + 128},
		{"expired", func(int) time.Duration { return time.Second }, keep, keep + 128},
		{"valid", func(int) time.Duration { return time.Hour }, 2 * keep, 2*keep + 128},
		{"one valid", func(i int) time.Duration {
			if i == 700 {
				return time.Hour
			}
			return time.Second
		}, 300, 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gdtls.sqlite")
			s, err := sqlite.Open(t.Context(), path, sqlite.WithRows(keep))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			start := time.Unix(1_800_000_000, 0)
			for i := 0; i < 1000; {
				var batch jwtproto.Batch
				for range 20 {
					m := jwtproto.Move{Time: start.Add(time.Duration(i) * time.Second), Group: "REDS", Registration: 1, Number: i % 7, ID: jwtproto.RequestID{byte(i), byte(i >> 8)}}
					if life := test.life(i); life > 0 {
						m.Token, m.Expires = jwtproto.TokenID{byte(i), byte(i >> 8), 1}, m.Time.Add(life)
					}
					batch.Moves = append(batch.Moves, m)
					i++
				}
				if _, err := s.Apply(t.Context(), jwtproto.Rules{}, &batch); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := s.History(t.Context(), "REDS", 0, 2000)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) < test.least || len(rows) > test.most {
				t.Errorf("%d rows are left, want %d to %d", len(rows), test.least, test.most)
			}
			for i, row := range rows {
				if want := uint64(1000 - len(rows) + i + 1); row.Seq != want {
					t.Fatalf("row %d has number %d, want %d", i, row.Seq, want)
				}
			}
		})
	}
}
