package main

import (
	"fmt"

	"gdtls/cmd/gdtls/internal/bench"
	"gdtls/cmd/gdtls/internal/chart"
)

// benchJWT is "gdtls bench jwt".
type benchJWT struct {
	Alg       []string `enum:"RS256,ES256" default:"RS256,ES256" placeholder:"RS256,ES256" help:"What requests are signed with. (default: ${default})"`
	Transport []string `enum:"udp,dtls" default:"udp,dtls" placeholder:"udp,dtls" help:"How they come. (default: ${default})"`
	Store     []string `default:"memory:" placeholder:"STORE,..." help:"Where servers keep their state, as --store of gdtls jwt serve has it; they take turns. (default: ${default})"`
	timing
	measurement
}

// Help tells what is measured.
func (*benchJWT) Help() string {
	return "Four groups walk through the states again and again, each with 16 requests under way, against a server in the same process. " +
		"The bound is how many signatures all processors can check, with an HMAC for each, and nothing else."
}

// Run measures.
func (j *benchJWT) Run(env *environment) error {
	if err := j.check(); err != nil {
		return err
	}
	plot := &chart.Chart{Title: "JWT requests", Subtitle: "Acknowledged, server and clients on one machine", Unit: "/s"}
	out := env.out.viewed(benchView)
	plan := bench.JWTPlan{Algs: j.Alg, Transports: j.Transport, Duration: j.Duration, Rounds: j.Rounds}
	for _, text := range j.Store {
		address, err := parseStore(text)
		if err != nil {
			return err
		}
		plan.Stores = append(plan.Stores, bench.JWTStore{Name: address.kind, Open: address.open})
	}
	return j.run(env, out, plot, func(b *bench.Bench, bar *progress) error {
		var results []bench.JWT
		err := b.JWT(env.ctx, plan, func(r bench.JWT) {
			bar.hide()
			results = append(results, r)
			out.emit(jwtMeasured{"jwt", r})
			plot.Add(r.Alg+" "+transportName(r.Transport), r.Store, r.PerSecond)
		})
		if err == nil {
			out.emit(jwtTable{results})
		}
		return err
	})
}

// jwtMeasured is what was measured of one combination.
type jwtMeasured struct {
	Bench string `json:"bench"`
	bench.JWT
}

// jwtTable is the same for people, side by side.
type jwtTable struct{ results []bench.JWT }

func (jwtMeasured) name() string { return "bench" }
func (jwtTable) name() string    { return "" }

func (t jwtTable) table(p palette) string {
	rows := [][]string{{"", "requests/s", "bound/s", "of the bound", "µs, half", "µs, 99 %"}}
	for _, r := range t.results {
		rows = append(rows, []string{
			r.Alg + " over " + transportName(r.Transport) + ", " + r.Store, grouped(r.PerSecond), grouped(r.Bound),
			fmt.Sprintf("%.2f", r.PerSecond/r.Bound), grouped(r.P50), grouped(r.P99),
		})
	}
	return table(p, "JWT requests", rows)
}
