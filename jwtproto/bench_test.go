package jwtproto

import (
	"testing"
	"time"
)

// BenchmarkRequest is what a request costs a server besides the transport: RS256 tokens
// and ES256 tokens, checked, kept in memory and answered.
func BenchmarkRequest(b *testing.B) {
	lab := testLab(b)
	for _, alg := range []struct {
		name  string
		token func(fields) []byte
		group string
	}{{"RS256", redToken, "REDS"}, {"ES256", blueToken, "BLUES"}} {
		b.Run(alg.name, func(b *testing.B) {
			var tokens [7][]byte
			for n := range tokens {
				tokens[n] = alg.token(claimsFor(alg.group, n).without("jti"))
			}
			store := NewMemory()
			directory := lab.current.Load()
			now := time.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, why := decodeRequest(tokens[i%7], MaxRequest)
				if why == accepted {
					why = r.find(directory.groups, "", now)
				}
				if why == accepted {
					why = r.verify(Machine{}, DefaultLeeway, now)
				}
				if why != accepted {
					b.Fatal(why)
				}
				m := r.move(now)
				outcomes, err := store.Apply(b.Context(), Rules{}, &Batch{Moves: []Move{m}})
				if err != nil || outcomes[0].Why != accepted {
					b.Fatal(outcomes, err)
				}
				directory.sealer.seal(acknowledgement(m.Group, m.ID, outcomes[0].Row.Next, now))
			}
		})
	}
}
