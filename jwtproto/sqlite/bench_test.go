package sqlite_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
)

// BenchmarkApply keeps batches of moves of four groups.
func BenchmarkApply(b *testing.B) {
	for _, test := range []struct {
		name  string
		token bool
	}{{"token", true}, {"no token", false}} {
		for _, moves := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/%d", test.name, moves), func(b *testing.B) {
				s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "gdtls.sqlite"))
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				batch := jwtproto.Batch{Moves: make([]jwtproto.Move, moves)}
				serial := uint64(0)
				for b.Loop() {
					for i := range batch.Moves {
						serial++
						m := &batch.Moves[i]
						*m = jwtproto.Move{Time: time.Now(), Group: []string{"REDS", "GREENS", "BLUES", "VIOLETS"}[serial%4], Registration: 1, Number: int(serial/4) % 7}
						binary.BigEndian.PutUint64(m.ID[:], serial*0x9e3779b97f4a7c15) // as if at random
						if test.token {
							m.Token, m.Expires = jwtproto.TokenID(m.ID[:16]), m.Time.Add(time.Minute)
						}
					}
					if _, err := s.Apply(b.Context(), jwtproto.Rules{}, &batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*moves), "µs/move")
			})
		}
	}
}
