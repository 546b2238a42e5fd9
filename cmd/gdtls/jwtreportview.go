package main

import (
	"fmt"
	"strconv"
	"strings"

	"gdtls/jwtproto"
)

// jwtGroup: how far a group is.
type jwtGroup struct {
	Group     string                      `json:"group"` // empty: requests of no known group
	Last      int                         `json:"last"`  // number that it said in turn
	Rows      uint64                      `json:"rows"`
	Completed uint64                      `json:"completed"` // walks
	Restarted string                      `json:"restarted"`
	Seen      string                      `json:"seen"`
	Refusals  map[jwtproto.Refusal]uint64 `json:"refusals"`
	Members   []jwtMember                 `json:"members"`
}

// jwtMember is the same of a member.
type jwtMember struct {
	Registration int64                       `json:"registration"`
	Last         int                         `json:"last"`
	Advanced     uint64                      `json:"advanced"`
	Restarted    uint64                      `json:"restarted"`
	Repeated     uint64                      `json:"repeated"`
	OutOfTurn    uint64                      `json:"out_of_turn"`
	Completed    uint64                      `json:"completed"`
	Seen         string                      `json:"seen"`
	Refusals     map[jwtproto.Refusal]uint64 `json:"refusals"`
}

func newJWTGroup(g jwtproto.GroupStatus) jwtGroup {
	e := jwtGroup{
		Group: g.Group, Last: g.Last, Rows: g.Rows, Completed: g.Completed, Restarted: timestamp(g.Restarted), Seen: timestamp(g.Seen),
		Refusals: orEmpty(g.Refusals), Members: []jwtMember{},
	}
	for _, m := range g.Members {
		e.Members = append(e.Members, jwtMember{
			Registration: m.Registration, Last: m.Last, Advanced: m.Advanced, Restarted: m.Restarted, Repeated: m.Repeated,
			OutOfTurn: m.OutOfTurn, Completed: m.Completed, Seen: timestamp(m.Seen), Refusals: orEmpty(m.Refusals),
		})
	}
	return e
}

// orEmpty has JSON show an object where there is nothing.
func orEmpty(refusals map[jwtproto.Refusal]uint64) map[jwtproto.Refusal]uint64 {
	if refusals == nil {
		return map[jwtproto.Refusal]uint64{}
	}
	return refusals
}

// jwtRow: an accepted request and its acknowledgement.
type jwtRow struct {
	Group        string `json:"group"`
	Seq          uint64 `json:"seq"`
	Time         string `json:"time"`
	Registration int64  `json:"registration"`
	Number       int    `json:"number"`
	Next         int    `json:"next"`
	Step         string `json:"step"`
	Repeats      uint64 `json:"repeats"` // how often the same request came again
	ID           string `json:"id"`
	shown        string // the time for people
}

func newJWTRow(group string, r jwtproto.Row) jwtRow {
	return jwtRow{
		Group: group, Seq: r.Seq, Time: timestamp(r.Time), Registration: r.Registration, Number: r.Number, Next: r.Next,
		Step: r.Step.String(), Repeats: r.Repeats, ID: r.ID.String(), shown: r.Time.Local().Format("2006-01-02 15:04:05.000"),
	}
}

// jwtStatusTable is the status for people.
type jwtStatusTable struct {
	groups   []jwtproto.GroupStatus
	states   int
	terminal bool
}

func (jwtGroup) name() string       { return "jwt_group" }
func (jwtRow) name() string         { return "jwt_row" }
func (jwtStatusTable) name() string { return "" }

// jwtReportView shows reports.
func jwtReportView(p palette, e event) string {
	switch e := e.(type) {
	case jwtGroup:
		return "" // in the table
	case jwtStatusTable:
		return e.table(p)
	case jwtRow:
		text := fmt.Sprintf("%s  %6d  member %d says %d, %s %s", p.faint(e.shown), e.Seq, e.Registration, e.Number, p.colour(e.Number, jwtproto.Colour(e.Number)), e.Step)
		if e.Step == jwtproto.Refused.String() {
			text = p.warning(fmt.Sprintf("%s  %6d  member %d says %d, out of turn", e.shown, e.Seq, e.Registration, e.Number))
		}
		text += p.faint(fmt.Sprintf("  next %d", e.Next))
		if e.Repeats > 0 {
			text += p.faint(fmt.Sprintf(", came %d times more", e.Repeats))
		}
		return text
	}
	return plainView(p, e)
}

func (t jwtStatusTable) table(p palette) string {
	if len(t.groups) == 0 {
		return "Nothing has been asked of the server yet."
	}
	rows := [][]string{{"", "progress", "walks", "requests", "repeated", "out of turn", "refused", "last seen"}}
	var reasons []string
	for _, g := range t.groups {
		name := clean(g.Group)
		if name == "" {
			name = "no known group"
		}
		refused, why := refusalsText(g.Refusals)
		if refused > 0 {
			reasons = append(reasons, "  "+p.warning(name+" refused: "+why))
		}
		rows = append(rows, t.row(p, p.strong(name), total(g), g.Rows > 0))
		for _, m := range g.Members {
			rows = append(rows, t.row(p, "  "+strconv.FormatInt(m.Registration, 10), m, m.Advanced+m.Restarted > 0))
		}
	}
	text := strings.TrimPrefix(table(p, "Groups and members", rows), "\n")
	if len(reasons) > 0 {
		text += "\n\n" + strings.Join(reasons, "\n")
	}
	return text
}

// row is the line of a group or member, which moved or never has.
func (t jwtStatusTable) row(p palette, name string, m jwtproto.MemberStatus, moved bool) []string {
	on, off := rainbowMarks(t.terminal)
	progress, state := rainbowBar(p, -1, t.states, on, off), ""
	if moved {
		progress = rainbowBar(p, m.Last, t.states, on, off)
		state = fmt.Sprintf("%d %s", m.Last, jwtproto.Colour(m.Last))
	}
	progress += "  " + p.colour(m.Last, state) + strings.Repeat(" ", max(0, len("6 VIOLET")-len(state)))
	seen := ""
	if !m.Seen.IsZero() {
		seen = m.Seen.Local().Format("2006-01-02 15:04:05")
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	refused, _ := refusalsText(m.Refusals)
	return []string{name, progress, number(m.Completed), number(m.Advanced + m.Restarted + m.Repeated + m.OutOfTurn),
		number(m.Repeated), number(m.OutOfTurn), number(refused), seen}
}
