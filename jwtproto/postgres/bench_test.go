//go:build unix

package postgres

import (
	"fmt"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
)

// BenchmarkApply measures batches of moves of four groups.
func BenchmarkApply(b *testing.B) {
	for _, bench := range []struct {
		name    string
		moves   int
		options []Option
	}{
		{"1", 1, nil}, {"16", 16, nil}, {"64", 64, nil}, {"256", 256, nil}, {"256 with events", 256, []Option{WithEvents()}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := openStore(b, pgtest.Database(b), bench.options...)
			now := time.Unix(1_800_000_000, 0)
			serial := 0
			moves := make([]jwtproto.Move, bench.moves)
			for b.Loop() {
				for i := range moves {
					moves[i] = said(fmt.Sprint("GROUP", i%4), serial, now)
					serial++
				}
				apply(b, s, moves...)
			}
			b.ReportMetric(float64(serial)/b.Elapsed().Seconds(), "moves/s")
		})
	}
}
