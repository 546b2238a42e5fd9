package main

import (
	"fmt"
	"strings"

	"gdtls/cmd/gdtls/internal/bench"
)

// What was measured of one peer in one setting. All are named bench.
type (
	throughputMeasured struct {
		Bench string `json:"bench"`
		bench.Throughput
	}
	handshakeMeasured struct {
		Bench string `json:"bench"`
		bench.Handshake
	}
	idleMeasured struct {
		Bench string `json:"bench"`
		bench.Idle
	}
)

func (throughputMeasured) name() string { return "bench" }
func (handshakeMeasured) name() string  { return "bench" }
func (idleMeasured) name() string       { return "bench" }

// The same side by side, for people.
type (
	throughputTable struct {
		setting bench.Setting
		peers   []bench.Throughput
	}
	handshakeTable struct {
		kind  string
		peers []bench.Handshake
	}
	idleTable struct{ sides []bench.Idle }
)

func (throughputTable) name() string { return "" }
func (handshakeTable) name() string  { return "" }
func (idleTable) name() string       { return "" }

// benchView shows tables.
func benchView(p palette, e event) string {
	switch e := e.(type) {
	case throughputTable:
		return e.table(p)
	case handshakeTable:
		return e.table(p)
	case idleTable:
		return e.table(p)
	case jwtTable:
		return e.table(p)
	}
	return plainView(p, e)
}

func (t throughputTable) table(p palette) string {
	rows := [][]string{{"", "ns/datagram", "datagrams/s", "Mbit/s", "lost", "allocations"}}
	for _, r := range t.peers {
		rows = append(rows, []string{
			r.Peer, grouped(r.NSPerDatagram), grouped(r.PerSecond), grouped(r.PerSecond * float64(r.Size) * 8 / 1e6),
			fmt.Sprintf("%.2f %%", 100*r.Lost), fmt.Sprintf("%.2f", r.AllocsPerDatagram),
		})
	}
	way := ""
	if t.setting.Echo {
		way = ", there and back"
	}
	return table(p, t.setting.String()+way, rows) + t.ratios(p)
}

// ratios tells how the connections of gdtls stand to the others.
func (t throughputTable) ratios(p palette) string {
	ns := map[string]float64{}
	for _, r := range t.peers {
		ns[r.Peer] = r.NSPerDatagram
	}
	line := ratioLine(p, ns, bench.Pion, bench.OpenSSL, bench.UDP)
	if own := ns[bench.GDTLS]; own > 0 && ns[bench.UDPGSO] > 0 && ns[bench.AEAD] > 0 {
		line += "\n" + p.good(fmt.Sprintf("  gdtls: %.2f of the limit, which is udp-gso and aead one after the other", (ns[bench.UDPGSO]+ns[bench.AEAD])/own))
	}
	return line
}

// ratioLine tells how fast gdtls is beside others, given the times of all; nothing if
// it or all others are missing.
func ratioLine(p palette, times map[string]float64, others ...string) string {
	var parts []string
	for _, peer := range others {
		if own := times[bench.GDTLS]; own > 0 && times[peer] > 0 {
			parts = append(parts, fmt.Sprintf("%.1f times as fast as %s", times[peer]/own, peer))
		}
	}
	if parts == nil {
		return ""
	}
	return "\n" + p.good("  gdtls: "+strings.Join(parts, ", "))
}

func (t handshakeTable) table(p palette) string {
	rows := [][]string{{"", "µs/handshake", "handshakes/s", "allocations", "bytes allocated"}}
	for _, r := range t.peers {
		rows = append(rows, []string{r.Peer, grouped(r.USPerPair), grouped(r.PerSecond), grouped(r.Allocs), grouped(r.Bytes)})
	}
	return table(p, t.kind+" handshakes, both sides together", rows) + t.ratios(p)
}

func (t handshakeTable) ratios(p palette) string {
	us := map[string]float64{}
	for _, r := range t.peers {
		us[r.Peer] = r.USPerPair
	}
	return ratioLine(p, us, bench.Pion, bench.OpenSSL)
}

func (t idleTable) table(p palette) string {
	rows := [][]string{{"", "bytes/connection", "goroutines/connection"}}
	for _, r := range t.sides {
		rows = append(rows, []string{r.Peer + " " + r.Side, grouped(r.BytesPerConnection), fmt.Sprintf("%.2f", r.GoroutinesPerConnection)})
	}
	return table(p, grouped(float64(t.sides[0].Connections))+" idle connections", rows)
}

// table sets rows, of which the first is the heading, in columns: names to the left,
// numbers to the right. Cells may be painted.
func table(p palette, title string, rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	b.WriteString("\n" + p.strong(title))
	for n, row := range rows {
		line := "  " + row[0] + strings.Repeat(" ", widths[0]-columns(row[0]))
		for i, cell := range row[1:] {
			line += "  " + strings.Repeat(" ", widths[i+1]-columns(cell)) + cell
		}
		if n == 0 {
			line = p.faint(line)
		}
		b.WriteString("\n" + line)
	}
	return b.String()
}

// columns is how many columns a text takes, paint left out.
func columns(text string) int {
	n, painting := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			painting = true
		case !painting:
			n++
		case r == 'm':
			painting = false
		}
	}
	return n
}

// grouped writes a number in groups of three digits; a small one with a decimal.
func grouped(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.1f", value)
	}
	digits := fmt.Sprintf("%.0f", value)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
