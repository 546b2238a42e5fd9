//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
)

// ledgerRows are new rows of some groups.
func ledgerRows(n int, group func(i int) string) []jwtproto.LedgerRow {
	rows := make([]jwtproto.LedgerRow, n)
	for i := range rows {
		rows[i].Group = group(i)
		rows[i].Row = jwtproto.Row{Seq: uint64(i + 1), Time: time.UnixMicro(1_800_000_000_123_456 + int64(i)), Registration: int64(i) << 40, Number: i % 7, Next: (i + 1) % 7, Step: jwtproto.Advanced, ID: jwtproto.RequestID{byte(i), 0xff, 3}}
	}
	return rows
}

func TestNotices(t *testing.T) {
	for _, n := range []int{0, 1, 2, 60, 256, 1000} {
		rows := ledgerRows(n, func(i int) string { return strings.Repeat("É\"", i%32) + fmt.Sprint(i) })
		var all []jwtproto.GroupRow
		payloads := pack("node", rows)
		for _, p := range payloads {
			if len(p) > maxPayload {
				t.Errorf("%d rows: a payload has %d bytes", n, len(p))
			}
			all = append(all, unpack(p)...)
		}
		if len(all) != n || len(payloads) > n/30+1 {
			t.Fatalf("%d rows went into %d payloads, and %d came out", n, len(payloads), len(all))
		}
		for i, r := range rows {
			if all[i].Group != r.Group || all[i].Row != r.Row {
				t.Fatalf("row %d: %+v became %+v", i, r, all[i])
			}
		}
	}
	if all := pack("node", ledgerRows(3, func(i int) string { return strings.Repeat("x", i*maxPayload/2) })); len(all) != 1 || len(unpack(all[0])) != 2 {
		t.Errorf("%d payloads, want one with the two rows that fit", len(all))
	}
}

func FuzzNotice(f *testing.F) {
	for _, p := range pack("node", ledgerRows(3, func(int) string { return "REDS" })) {
		f.Add(p)
	}
	f.Add(`{"node":"","rows":[{"i":"AA=="}]}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, payload string) {
		for _, row := range unpack(payload) {
			if len(row.Group) > len(payload)*4 {
				t.Errorf("a group of %d bytes out of %d", len(row.Group), len(payload))
			}
		}
	})
}

// TestEvents has three servers with one database, of which two tell.
func TestEvents(t *testing.T) {
	address := pgtest.Database(t)
	viewer, first, second := openStore(t, address, WithEvents()), openStore(t, address, WithEvents()), openStore(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan []jwtproto.GroupRow, 1000)
	ended := make(chan error, 1)
	go func() { ended <- viewer.Events(ctx, func(rows []jwtproto.GroupRow) { told <- slices.Clone(rows) }) }()
	now := time.Unix(1_800_000_000, 0)
	serial := 0
	say := func(s *Store, group string, n int) {
		var moves []jwtproto.Move
		for range n {
			moves = append(moves, said(group, serial, now))
			serial++
		}
		apply(t, s, moves...)
	}
	for listening := false; !listening; { // until it listens, it is told of nothing
		say(first, "BEGIN", 1)
		select {
		case <-told:
			listening = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	say(second, "SILENT", 3)
	say(viewer, "OWN", 3)
	say(first, "REDS", 250)
	say(first, "REDS", 6)
	var reds []jwtproto.Row
	for len(reds) < 256 {
		select {
		case rows := <-told:
			for _, r := range rows {
				if r.Group == "REDS" {
					reds = append(reds, r.Row)
				} else if r.Group != "BEGIN" {
					t.Errorf("told of %+v", r)
				}
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("told of %d rows", len(reds))
		}
	}
	kept, err := viewer.History(t.Context(), "REDS", 0, 1000)
	if err != nil || !slices.EqualFunc(reds, kept, func(a, b jwtproto.Row) bool {
		return a.Time.Equal(b.Time) && a.Seq == b.Seq && a.ID == b.ID && a.Next == b.Next && a.Step == b.Step && a.Number == b.Number && a.Registration == b.Registration
	}) {
		t.Errorf("told %+v, kept %+v: %v", reds, kept, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Events ended with %v", err)
	}
}

// TestListenersReconnect stops and starts the database while somebody watches secrets.
func TestListenersReconnect(t *testing.T) {
	address := pgtest.Database(t)
	server := pgtest.Shared(t)
	s := openStore(t, address)
	told := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- s.WatchSecrets(t.Context(), func() { told <- struct{}{} }) }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatal("not told ", what)
		}
	}
	wait("when it listens")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secrets(t.Context()); err == nil {
		t.Error("secrets come from a database that is stopped")
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	wait("when it listens again")
	execute(t, address, "INSERT INTO gdtls.secrets VALUES ('reply', '', 1, 'by hand', now())")
	wait("of a change by hand")
	s.Close()
	if err := <-ended; !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("the watcher ended with %v", err)
	}
}

// TestListenersNotice has nothing happen for a while, and then the network fail without a
// word.
func TestListenersNotice(t *testing.T) {
	s, p := through(t)
	s.patience = 100 * time.Millisecond
	var begun, told atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.listen(ctx, secretsChannel, func() { begun.Add(1) }, func(string) { told.Add(1) })
	}()
	wait := func(what string, n *atomic.Int64, want int64) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); n.Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it never came about: ", what)
			}
		}
	}
	wait("that it listens", &begun, 1)
	time.Sleep(5 * s.patience) // it asks several times
	before := begun.Load()
	if err := jwtproto.RotateSecret(t.Context(), s, jwtproto.NewSecret(jwtproto.CookieSecret, "", time.Now())); err != nil {
		t.Fatal(err)
	}
	for told.Load() == 0 && begun.Load() == before { // a machine that is too busy looks like a network that fails
		time.Sleep(time.Millisecond)
	}
	before = begun.Load()
	p.stalled.Store(true)
	time.Sleep(5 * s.patience)
	p.stalled.Store(false)
	wait("that it listens again", &begun, before+1)
	cancel()
	<-ended
}
