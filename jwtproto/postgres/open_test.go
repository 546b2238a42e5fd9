//go:build unix

package postgres

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
)

// openStore opens a Store that is closed with the test.
func openStore(t testing.TB, address string, options ...Option) *Store {
	t.Helper()
	s, err := Open(t.Context(), address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test may have done it
	return s
}

// execute runs statements beside a Store.
func execute(t testing.TB, address string, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, statement := range statements {
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// changed changes an address.
func changed(t testing.TB, address string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// wantError looks for words in an error, and for those that must not be there.
func wantError(t testing.TB, err error, words string, not ...string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %q, want one with %q", err, words)
		return
	}
	for _, secret := range not {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q has %q in it", err, secret)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	const password = "pass-5ecret"
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	address := pgtest.Database(t)
	execute(t, address, "DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN")
	tests := []struct {
		name, address, want string
	}{
		{"no address", "postgres://user:" + password + "@host:port/database", "one looks like postgres://user:password@host/database"},
		{"nobody there", "postgres://user:" + password + "@" + nobody.Addr().String() + "/database", "nobody listens there"},
		{"no such database", changed(t, address, func(u *url.URL) { u.Path = "nothing" }), "createdb makes a database"},
		{"no such user", changed(t, address, func(u *url.URL) { u.User = url.UserPassword("nobody", password) }), "pg_hba.conf"},
		{"a stranger", changed(t, address, func(u *url.URL) { u.User = url.UserPassword("stranger", password) }), "make the user the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), test.address)
			wantError(t, err, test.want, password)
			if s != nil {
				t.Error("a store came with the error")
			}
		})
	}
}

func TestOpenHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = Open(ctx, "postgres://user@"+silent.Addr().String()+"/database")
	wantError(t, err, "takes too long")
	if took := time.Since(begun); took > 2*time.Second || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v after %v", err, took)
	}
}

func TestOpenAtOnce(t *testing.T) {
	address := pgtest.Database(t)
	var opening sync.WaitGroup
	for range 6 {
		opening.Go(func() {
			s, err := Open(t.Context(), address)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Status(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
}

func TestNewerTables(t *testing.T) {
	address := pgtest.Database(t)
	openStore(t, address)
	execute(t, address, "INSERT INTO gdtls.versions (version_id, is_applied) VALUES (1000, true)")
	_, err := Open(t.Context(), address)
	wantError(t, err, "its tables have version 1000")
}

func TestWrongEncoding(t *testing.T) {
	address := pgtest.Database(t)
	execute(t, address, "DROP DATABASE IF EXISTS latin", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	_, err := Open(t.Context(), changed(t, address, func(u *url.URL) { u.Path = "latin" }))
	wantError(t, err, "its encoding is LATIN1")
}

func TestCommitsAreDurable(t *testing.T) {
	for _, setting := range []struct{ before, after string }{{"off", "on"}, {"remote_apply", "remote_apply"}} {
		s := openStore(t, changed(t, pgtest.Database(t), func(u *url.URL) { u.RawQuery = "synchronous_commit=" + setting.before }))
		var is string
		if err := s.pool.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&is); err != nil || is != setting.after {
			t.Errorf("synchronous_commit was %s and is %s: %v", setting.before, is, err)
		}
	}
}

// apply applies moves as one batch.
func apply(t testing.TB, s *Store, moves ...jwtproto.Move) []jwtproto.Outcome {
	t.Helper()
	outcomes, err := s.Apply(t.Context(), jwtproto.Rules{}, &jwtproto.Batch{Moves: moves})
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// said is the serial-th move of a group.
func said(group string, serial int, now time.Time) jwtproto.Move {
	name := [...]byte{byte(serial), byte(serial >> 8), byte(serial >> 16), 1}
	m := jwtproto.Move{Time: now, Group: group, Registration: 11, Number: serial % 7, Expires: now.Add(time.Hour)}
	copy(m.ID[:], name[:])
	copy(m.Token[:], name[:])
	return m
}

func TestOldRowsAreDropped(t *testing.T) {
	s := openStore(t, pgtest.Database(t), WithRows(100))
	now := time.Unix(1_800_000_000, 0)
	serial := 0
	say := func(rows int, now time.Time) {
		for rows > 0 {
			var moves []jwtproto.Move
			for ; rows > 0 && len(moves) < 256; rows-- {
				moves = append(moves, said("REDS", serial, now))
				serial++
			}
			apply(t, s, moves...)
		}
	}
	kept := func() []jwtproto.Row {
		rows, err := s.History(t.Context(), "REDS", 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	say(2*dropInterval, now)
	if rows := kept(); len(rows) != 2*dropInterval {
		t.Errorf("%d rows, of which none has an expired token", len(rows))
	}
	say(dropInterval, now.Add(2*time.Hour))
	rows := kept()
	if len(rows) != dropInterval || rows[0].Seq != 2*dropInterval+1 {
		t.Errorf("%d rows from %d on are kept", len(rows), rows[0].Seq)
	}
	if o := apply(t, s, said("REDS", serial-1, now), said("REDS", serial-dropInterval, now), said("REDS", serial, now)); o[0].Row.Seq != uint64(serial) || o[1].Row.Seq != 2*dropInterval+1 || o[2].Row.Seq != uint64(serial+1) {
		t.Errorf("outcomes %+v", o)
	}
}
