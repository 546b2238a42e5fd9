// Package storetest has the tests that every jwtproto.Store must pass.
package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gdtls/jwtproto"
)

// A Kind says how Stores of a kind are opened.
type Kind struct {
	// New makes the place of a Store, empty, and gives what opens it. If Shared is true
	// it can be opened several times, also at once, and what one keeps the others see;
	// otherwise it is opened once. Stores are closed by the tests.
	New func(t testing.TB) (open func() (jwtproto.Store, error))
	// Shared says that what is kept outlives Close.
	Shared bool
}

const (
	group = "REDS"
	other = "BLUES"
)

var rules = jwtproto.Rules{}

// Run runs all tests.
func Run(t *testing.T, kind Kind) {
	for _, test := range []struct {
		name   string
		shared bool
		run    func(*testing.T, Kind)
	}{
		{"Model", false, testModel},
		{"Replays", false, testReplays},
		{"Strict", false, testStrict},
		{"Refusals", false, testRefusals},
		{"History", false, testHistory},
		{"Odd", false, testOdd},
		{"Closed", false, testClosed},
		{"Cancelled", false, testCancelled},
		{"Concurrent", false, testConcurrent},
		{"Reopened", true, testReopened},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.shared && !kind.Shared {
				t.Skip("what this kind of store keeps ends with it")
			}
			test.run(t, kind)
		})
	}
}

// one opens a new Store.
func one(t testing.TB, kind Kind) jwtproto.Store {
	t.Helper()
	return open(t, kind.New(t))
}

func open(t testing.TB, opener func() (jwtproto.Store, error)) jwtproto.Store {
	t.Helper()
	s, err := opener()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, jwtproto.ErrStoreClosed) {
			t.Error(err)
		}
	})
	return s
}

// start is when the tests take place: a time without parts of a microsecond.
var start = time.Unix(1_800_000_000, 123_456_000)

// said is a move of a member of a group, whose request has a token of its own unless
// token is 0.
func said(number int, token byte) jwtproto.Move {
	m := jwtproto.Move{
		Time: start.Add(time.Duration(token) * time.Second), Group: group, Registration: 11, Number: number,
		ID: jwtproto.RequestID{byte(number), token, 1}, Issued: time.Unix(start.Unix(), 0), Expires: time.Unix(start.Unix()+90, 0),
	}
	if token != 0 {
		m.Token = jwtproto.TokenID{token}
	}
	return m
}

// apply applies moves as one batch.
func apply(t testing.TB, s jwtproto.Store, r jwtproto.Rules, moves ...jwtproto.Move) []jwtproto.Outcome {
	t.Helper()
	outcomes, err := s.Apply(context.Background(), r, &jwtproto.Batch{Moves: moves})
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != len(moves) {
		t.Fatalf("%d outcomes of %d moves", len(outcomes), len(moves))
	}
	return outcomes
}

// says is an outcome in short.
func says(o jwtproto.Outcome) string {
	if o.Why != "" {
		return string(o.Why)
	}
	return fmt.Sprintf("%d %v", o.Row.Next, o.Row.Step)
}

func want(t testing.TB, what string, o jwtproto.Outcome, want string) {
	t.Helper()
	if got := says(o); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func rows(t testing.TB, s jwtproto.Store, group string) []jwtproto.Row {
	t.Helper()
	all, err := s.History(context.Background(), group, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func status(t testing.TB, s jwtproto.Store) map[string]jwtproto.GroupStatus {
	t.Helper()
	all, err := s.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]jwtproto.GroupStatus{}
	names := make([]string, 0, len(all))
	for _, g := range all {
		groups[g.Group] = g
		names = append(names, g.Group)
		if !slices.IsSortedFunc(g.Members, func(a, b jwtproto.MemberStatus) int { return cmp.Compare(a.Registration, b.Registration) }) {
			t.Errorf("the members of %s are not in order", g.Group)
		}
	}
	if !slices.IsSorted(names) || len(groups) != len(names) {
		t.Errorf("the groups are %q", names)
	}
	return groups
}

// sameRow compares all but the zone of the time.
func sameRow(a, b jwtproto.Row) bool {
	same := a.Time.Equal(b.Time)
	a.Time, b.Time = time.Time{}, time.Time{}
	return same && a == b
}

// testModel applies random batches, and compares all that can be asked with what one
// member's machine and list say.
func testModel(t *testing.T, kind Kind) {
	s := one(t, kind)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		names := []string{fmt.Sprint("A", run), fmt.Sprint("B", run), fmt.Sprint("C", run)}
		machine, _ := jwtproto.NewMachine(rapid.IntRange(2, 5).Draw(t, "states"))
		rules := jwtproto.Rules{Machine: machine}
		last := map[string]int{}
		history := map[string][]jwtproto.Row{}
		members := map[string]map[int64]*jwtproto.MemberStatus{}
		completed := map[string]uint64{}
		serial := 0
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			var batch jwtproto.Batch
			var expected []jwtproto.Row
			for range rapid.IntRange(1, 20).Draw(t, "moves") {
				serial++
				m := jwtproto.Move{
					Time: start.Add(time.Duration(serial) * time.Millisecond), Group: rapid.SampledFrom(names).Draw(t, "group"),
					Registration: rapid.Int64Range(1, 3).Draw(t, "member"), Number: rapid.IntRange(0, machine.Final()).Draw(t, "number"),
					ID: jwtproto.RequestID{byte(run), byte(run >> 8), byte(serial), byte(serial >> 8)},
				}
				if rapid.Bool().Draw(t, "has a jti") {
					m.Token, m.Expires = jwtproto.TokenID{byte(run), byte(run >> 8), byte(serial), 1}, m.Time.Add(time.Minute)
				}
				row := jwtproto.Row{Seq: uint64(len(history[m.Group]) + 1), Time: m.Time, Registration: m.Registration, ID: m.ID, Number: m.Number}
				row.Next, last[m.Group], row.Step = machine.Next(last[m.Group], m.Number)
				history[m.Group] = append(history[m.Group], row)
				expected = append(expected, row)
				batch.Moves = append(batch.Moves, m)
				if members[m.Group] == nil {
					members[m.Group] = map[int64]*jwtproto.MemberStatus{}
				}
				member := members[m.Group][m.Registration]
				if member == nil {
					member = &jwtproto.MemberStatus{Registration: m.Registration}
					members[m.Group][m.Registration] = member
				}
				member.Seen = m.Time
				switch row.Step {
				case jwtproto.Advanced:
					member.Advanced++
					member.Last = m.Number
					if m.Number == machine.Final() {
						member.Completed++
						completed[m.Group]++
					}
				case jwtproto.Restarted:
					member.Restarted++
					member.Last = 0
				case jwtproto.Repeated:
					member.Repeated++
				default:
					member.OutOfTurn++
				}
			}
			outcomes, err := s.Apply(context.Background(), rules, &batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomes {
				if o.Why != "" || !sameRow(o.Row, expected[i]) {
					t.Fatalf("outcome %+v, want the row %+v", o, expected[i])
				}
			}
		}
		reported, err := s.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			kept, err := s.History(context.Background(), name, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(kept, history[name], sameRow) {
				t.Fatalf("history of %s: %+v, want %+v", name, kept, history[name])
			}
			i := slices.IndexFunc(reported, func(g jwtproto.GroupStatus) bool { return g.Group == name })
			if len(kept) == 0 {
				if i >= 0 {
					t.Fatalf("%s never moved, and is reported", name)
				}
				continue
			}
			g := reported[i]
			if g.Last != last[name] || g.Rows != uint64(len(kept)) || g.Completed != completed[name] || !g.Seen.Equal(kept[len(kept)-1].Time) || len(g.Refusals) > 0 {
				t.Fatalf("status of %s: %+v", name, g)
			}
			if len(g.Members) != len(members[name]) {
				t.Fatalf("members of %s: %+v", name, g.Members)
			}
			for _, m := range g.Members {
				w := *members[name][m.Registration]
				if !m.Seen.Equal(w.Seen) {
					t.Fatalf("member %d was seen at %v, want %v", m.Registration, m.Seen, w.Seen)
				}
				m.Seen = w.Seen
				if fmt.Sprint(m) != fmt.Sprint(w) {
					t.Fatalf("member %+v, want %+v", m, w)
				}
			}
		}
	})
}

// testReplays has tokens come again: in the same batch, in later ones, and with other
// content.
func testReplays(t *testing.T, kind Kind) {
	s := one(t, kind)
	got := apply(t, s, rules, said(0, 1), said(1, 2), said(1, 2), said(2, 3))
	want(t, "0", got[0], "1 restarted")
	want(t, "1", got[1], "2 advanced")
	want(t, "the same 1 in the same batch", got[2], "2 repeated")
	want(t, "2", got[3], "3 advanced")
	got = apply(t, s, rules, said(0, 1), said(1, 2))
	want(t, "the same 0 later", got[0], "1 repeated")
	want(t, "the same 1 later", got[1], "2 repeated")
	if g := status(t, s)[group]; g.Last != 2 || g.Rows != 3 {
		t.Errorf("replays moved the group: %+v", g)
	}
	reused := said(3, 2)
	want(t, "another request with a jti that was used", apply(t, s, rules, reused)[0], string(jwtproto.TokenReused))
	elsewhere := said(0, 2)
	elsewhere.Group = other
	want(t, "the same jti in another group", apply(t, s, rules, elsewhere)[0], "1 restarted")
	// Without a jti only the last request is known again.
	got = apply(t, s, rules, said(3, 0), said(3, 0), said(0, 0), said(0, 0), said(1, 0), said(0, 0))
	for i, w := range []string{"4 advanced", "4 repeated", "1 restarted", "1 repeated", "2 advanced", "1 restarted"} {
		want(t, fmt.Sprintf("message %d without a jti", i), got[i], w)
	}
	want(t, "the last request without a jti, later", apply(t, s, rules, said(0, 0))[0], "1 repeated")
	repeats := []uint64{1, 2, 0, 1, 1, 0, 1}
	kept := rows(t, s, group)
	if len(kept) != len(repeats) {
		t.Fatalf("%d rows", len(kept))
	}
	for i, row := range kept {
		if row.Seq != uint64(i+1) || row.Repeats != repeats[i] || row.Step == jwtproto.Repeated {
			t.Errorf("row %+v, want %d repeats", row, repeats[i])
		}
	}
	g := status(t, s)[group]
	if m := g.Members[0]; m.Repeated != 6 || m.Refusals[jwtproto.TokenReused] != 1 || g.Refusals[jwtproto.TokenReused] != 1 {
		t.Errorf("member %+v", m)
	}
}

// testStrict shows that a walk which was recorded cannot be played again in strict mode.
func testStrict(t *testing.T, kind Kind) {
	s := one(t, kind)
	strict := jwtproto.Rules{Strict: true}
	at := func(number int, token byte, issued int) jwtproto.Move {
		m := said(number, token)
		m.Issued = time.Unix(start.Unix()+int64(issued), 0)
		return m
	}
	undated := said(1, 9)
	undated.Issued = time.Time{}
	leeway := int(jwtproto.RestartLeeway / time.Second)
	got := apply(t, s, strict, at(0, 1, 100), at(1, 2, 100-leeway), at(2, 3, 99-leeway), undated, at(0, 4, 0), at(2, 5, 100))
	old := string(jwtproto.TokenTooOld)
	for i, w := range []string{"1 restarted", "2 advanced", old, old, old, "3 advanced"} {
		want(t, fmt.Sprintf("message %d", i), got[i], w)
	}
	want(t, "an old one in another batch", apply(t, s, strict, at(0, 6, 50))[0], old)
	want(t, "an old one without strict mode", apply(t, s, rules, at(0, 7, 50))[0], "1 restarted")
	want(t, "one as old as this", apply(t, s, strict, at(1, 8, 50))[0], "2 advanced")
	if g := status(t, s)[group]; !g.Restarted.Equal(time.Unix(start.Unix()+50, 0)) || g.Refusals[jwtproto.TokenTooOld] != 4 {
		t.Errorf("status %+v", g)
	}
}

// testRefusals counts what servers refused.
func testRefusals(t *testing.T, kind Kind) {
	s := one(t, kind)
	for range 2 {
		batch := jwtproto.Batch{Moves: []jwtproto.Move{said(0, 0)}, Refusals: []jwtproto.RefusalCount{
			{Why: jwtproto.DecodeFailed, Count: 1 << 33, Last: start},
			{Group: group, Why: jwtproto.SignatureFailed, Count: 2, Last: start},
			{Group: group, Registration: 11, Why: jwtproto.WrongMaximum, Count: 3, Last: start},
			{Group: group, Registration: 12, Why: jwtproto.WrongMaximum, Count: 4, Last: start},
			{Group: other, Why: jwtproto.SignatureFailed, Count: 5, Last: start},
		}}
		if _, err := s.Apply(context.Background(), rules, &batch); err != nil {
			t.Fatal(err)
		}
	}
	if outcomes, err := s.Apply(context.Background(), rules, &jwtproto.Batch{}); err != nil || len(outcomes) != 0 {
		t.Errorf("an empty batch: %v, %v", outcomes, err)
	}
	groups := status(t, s)
	reds := groups[group]
	if len(groups) != 3 || groups[""].Refusals[jwtproto.DecodeFailed] != 1<<34 || groups[other].Refusals[jwtproto.SignatureFailed] != 10 ||
		reds.Refusals[jwtproto.SignatureFailed] != 4 || reds.Refusals[jwtproto.WrongMaximum] != 14 || len(reds.Members) != 2 {
		t.Fatalf("status %+v", groups)
	}
	if m := reds.Members[0]; m.Registration != 11 || m.Restarted != 1 || m.Refusals[jwtproto.WrongMaximum] != 6 || len(m.Refusals) != 1 {
		t.Errorf("member %+v", m)
	}
	if m := reds.Members[1]; m.Registration != 12 || m.Refusals[jwtproto.WrongMaximum] != 8 || !m.Seen.IsZero() {
		t.Errorf("member %+v", m)
	}
}

// testHistory reads a history in pieces.
func testHistory(t *testing.T, kind Kind) {
	s := one(t, kind)
	for i := range 5 {
		moves := make([]jwtproto.Move, 0, 20)
		for n := range 20 {
			moves = append(moves, said(n%7, byte(20*i+n+1)))
		}
		apply(t, s, rules, moves...)
	}
	read := func(group string, after uint64, limit int) []jwtproto.Row {
		all, err := s.History(context.Background(), group, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var pieces []jwtproto.Row
	for after := uint64(0); ; {
		piece := read(group, after, 7)
		if len(piece) == 0 {
			break
		}
		pieces = append(pieces, piece...)
		after = piece[len(piece)-1].Seq
	}
	if !slices.EqualFunc(pieces, rows(t, s, group), sameRow) || len(pieces) != 100 {
		t.Errorf("%d rows in pieces, %d at once", len(pieces), len(rows(t, s, group)))
	}
	for _, empty := range [][]jwtproto.Row{read(group, 100, 10), read(group, 1<<62, 10), read(group, 0, 0), read(group, 0, -1), read("NOBODY", 0, 10)} {
		if len(empty) > 0 {
			t.Errorf("rows %+v", empty)
		}
	}
}

// testOdd keeps what is allowed and not usual.
func testOdd(t *testing.T, kind Kind) {
	s := one(t, kind)
	odd := said(0, 1)
	odd.Group, odd.Registration = `É'";--%_\`, -1<<63
	odd.Issued, odd.Expires = time.Time{}, time.Unix(1<<40, 0)
	far := said(0, 2)
	far.Group, far.Registration, far.Time = odd.Group, 1<<63-1, start.Add(-100*365*24*time.Hour)
	apply(t, s, rules, odd, far)
	g, kept := status(t, s)[odd.Group], rows(t, s, odd.Group)
	if len(kept) != 2 || len(g.Members) != 2 || kept[0].Registration != odd.Registration || kept[1].Registration != far.Registration || !kept[1].Time.Equal(far.Time) {
		t.Errorf("kept %+v, %+v", g, kept)
	}
}

// testClosed uses a Store that was closed.
func testClosed(t *testing.T, kind Kind) {
	s := one(t, kind)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(context.Background(), rules, &jwtproto.Batch{Moves: []jwtproto.Move{said(0, 1)}}); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := s.Status(context.Background()); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("Status: %v", err)
	}
	if _, err := s.History(context.Background(), group, 0, 1); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("History: %v", err)
	}
}

// testCancelled gives up batches at any moment: each is kept as a whole or not at all,
// and can be applied again.
func testCancelled(t *testing.T, kind Kind) {
	s := one(t, kind)
	token := byte(0)
	for i := range 20 {
		var moves []jwtproto.Move
		for n := range 7 {
			token++
			moves = append(moves, said(n, token))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*100*time.Microsecond)
		first, err := s.Apply(ctx, rules, &jwtproto.Batch{Moves: moves})
		cancel()
		again := apply(t, s, rules, moves...)
		for n, o := range again {
			if o.Why != "" || o.Row.Next != (n+1)%7 || o.Row.ID != moves[n].ID || err == nil && first[n].Row.Seq != o.Row.Seq {
				t.Fatalf("batch %d, number %d: first %v, then %+v", i, n, err, o)
			}
		}
		if kept := rows(t, s, group); len(kept) != 7*(i+1) {
			t.Fatalf("%d rows after %d batches of seven", len(kept), i+1)
		}
	}
}

// testConcurrent has several work on the same groups at once, each in its own Store if
// that can be. Every history must be what the machine says, and have what was told.
func testConcurrent(t *testing.T, kind Kind) {
	const writers, batches = 4, 25
	opener := kind.New(t)
	stores := []jwtproto.Store{open(t, opener)}
	for kind.Shared && len(stores) < writers {
		stores = append(stores, open(t, opener))
	}
	groups := []string{"A", "B", "C"}
	var mu sync.Mutex
	told := map[string]map[uint64]jwtproto.Row{"A": {}, "B": {}, "C": {}}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			s := stores[w%len(stores)]
			for b := range batches {
				var batch jwtproto.Batch
				for i := range 1 + random.IntN(8) {
					m := said(random.IntN(7), byte(i+1))
					m.Group = groups[random.IntN(len(groups))]
					m.Token = jwtproto.TokenID{byte(w + 1), byte(b), byte(i), 2}
					m.ID = jwtproto.RequestID(slices.Concat(m.Token[:], m.Token[:]))
					batch.Moves = append(batch.Moves, m)
				}
				outcomes, err := s.Apply(context.Background(), rules, &batch)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, o := range outcomes {
					name := batch.Moves[i].Group
					if _, twice := told[name][o.Row.Seq]; twice || o.Why != "" {
						t.Errorf("outcome %+v; told before: %v", o, twice)
					}
					told[name][o.Row.Seq] = o.Row
				}
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	for _, name := range groups {
		last, next, step := 0, 0, jwtproto.Refused
		kept := rows(t, stores[0], name)
		if len(kept) != len(told[name]) {
			t.Errorf("%s: %d rows kept, %d told", name, len(kept), len(told[name]))
		}
		for i, row := range kept {
			next, last, step = rules.Machine.Next(last, row.Number)
			if row.Seq != uint64(i+1) || row.Next != next || row.Step != step || !sameRow(row, told[name][row.Seq]) {
				t.Fatalf("%s: row %+v, told %+v; the machine says next %d, %v", name, row, told[name][row.Seq], next, step)
			}
		}
		if g := status(t, stores[len(stores)-1])[name]; g.Last != last || g.Rows != uint64(len(kept)) {
			t.Errorf("%s: status %+v, last %d", name, g, last)
		}
	}
}

// testReopened closes a Store and looks whether all is there again.
func testReopened(t *testing.T, kind Kind) {
	opener := kind.New(t)
	s := open(t, opener)
	apply(t, s, rules, said(0, 1), said(1, 2), said(1, 0), said(4, 3), said(2, 4))
	if _, err := s.Apply(context.Background(), rules, &jwtproto.Batch{Refusals: []jwtproto.RefusalCount{{Group: group, Registration: 12, Why: jwtproto.StateUndefined, Count: 3, Last: start}}}); err != nil {
		t.Fatal(err)
	}
	before, kept := fmt.Sprint(status(t, s)), rows(t, s, group)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, opener)
	if after := fmt.Sprint(status(t, s)); after != before {
		t.Errorf("status %s, before %s", after, before)
	}
	if !slices.EqualFunc(rows(t, s, group), kept, sameRow) {
		t.Errorf("history %+v, before %+v", rows(t, s, group), kept)
	}
	got := apply(t, s, rules, said(2, 4), said(4, 3), said(5, 1), said(3, 5))
	for i, w := range []string{"3 repeated", "0 repeated", string(jwtproto.TokenReused), "4 advanced"} {
		want(t, fmt.Sprintf("message %d", i), got[i], w)
	}
}
