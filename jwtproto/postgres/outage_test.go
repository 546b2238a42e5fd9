//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/postgres/pgtest"
)

// inTransaction is how PostgreSQL says that it waits for the next statement of a
// transaction.
var inTransaction = []byte("Z\x00\x00\x00\x05T")

// proxy stands between a Store and the database.
type proxy struct {
	listener net.Listener
	server   string
	passing  sync.WaitGroup

	stalled    atomic.Bool // nothing passes
	loseCommit atomic.Bool // connections end instead of telling how a transaction did
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server}
	p.passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.passing.Go(func() { p.pass(client) })
		}
	})
	t.Cleanup(func() {
		p.stalled.Store(false)
		listener.Close()
		p.passing.Wait()
	})
	return p
}

// pass joins a client to the server until one of them leaves.
func (p *proxy) pass(client net.Conn) {
	p.wait()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close()
		return
	}
	begun := false // a transaction has, and its end is to be lost
	p.passing.Go(func() { p.forward(server, client, func([]byte) bool { return true }) })
	p.forward(client, server, func(data []byte) bool {
		if begun {
			return false
		}
		begun = p.loseCommit.Load() && bytes.HasSuffix(data, inTransaction)
		return true
	})
}

func (p *proxy) wait() {
	for p.stalled.Load() {
		time.Sleep(time.Millisecond)
	}
}

// forward passes on what comes as long as it may, and then closes both.
func (p *proxy) forward(to, from net.Conn, may func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		p.wait()
		if err != nil || !may(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// through opens a Store that reaches its database through a proxy.
func through(t *testing.T) (*Store, *proxy) {
	t.Helper()
	address := pgtest.Database(t)
	p := newProxy(t, pgtest.Shared(t).Address())
	return openStore(t, changed(t, address, func(u *url.URL) { u.Host = p.listener.Addr().String() })), p
}

// try applies moves as one batch within a time.
func try(t *testing.T, s *Store, within time.Duration, moves ...jwtproto.Move) ([]jwtproto.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	begun := time.Now()
	outcomes, err := s.Apply(ctx, jwtproto.Rules{}, &jwtproto.Batch{Moves: moves})
	if took := time.Since(begun); took > within+time.Second {
		t.Errorf("Apply took %v of %v", took, within)
	}
	return outcomes, err
}

// TestLostCommit keeps a batch and loses the answer: it must not be told, and the batch
// must get the same answer when it comes again.
func TestLostCommit(t *testing.T) {
	s, p := through(t)
	now := time.Unix(1_800_000_000, 0)
	apply(t, s, said("REDS", 0, now))
	p.loseCommit.Store(true)
	outcomes, err := try(t, s, 5*time.Second, said("REDS", 1, now), said("REDS", 2, now))
	wantError(t, err, "not known whether it was")
	if outcomes != nil {
		t.Errorf("outcomes %+v", outcomes)
	}
	p.loseCommit.Store(false)
	kept, err := s.History(t.Context(), "REDS", 0, 10)
	if err != nil || len(kept) != 3 {
		t.Fatalf("rows %+v: %v", kept, err)
	}
	for i, o := range apply(t, s, said("REDS", 1, now), said("REDS", 2, now), said("REDS", 3, now)) {
		if o.Row.Next != i+2 || o.Row.Seq != uint64(i+2) || (o.Row.Step == jwtproto.Repeated) != (i < 2) {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
}

func TestDatabaseHangs(t *testing.T) {
	s, p := through(t)
	now := time.Unix(1_800_000_000, 0)
	apply(t, s, said("REDS", 0, now))
	for n := 1; n < 3; n++ {
		p.stalled.Store(true)
		for range 2 {
			if _, err := try(t, s, 100*time.Millisecond, said("REDS", n, now)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while it hangs: %v", err)
			}
		}
		p.stalled.Store(false)
		o, err := try(t, s, 10*time.Second, said("REDS", n, now))
		if err != nil || o[0].Row.Next != n+1 {
			t.Fatalf("afterwards: %+v, %v", o, err)
		}
	}
}

func TestDatabaseStops(t *testing.T) {
	address := pgtest.Database(t)
	server := pgtest.Shared(t)
	s := openStore(t, address)
	now := time.Unix(1_800_000_000, 0)
	apply(t, s, said("REDS", 0, now))
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		begun := time.Now()
		_, err := try(t, s, 5*time.Second, said("REDS", 1, now))
		wantError(t, err, "nobody listens there")
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v to say so", took)
		}
	}
	// What was connected before the server stopped is of no use; that must not show.
	for n := 1; n < 3; n++ {
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		if o := apply(t, s, said("REDS", n, now)); o[0].Row.Next != n+1 {
			t.Errorf("afterwards: %+v", o)
		}
	}
}

// TestHungServer has a server stop in the middle of a batch: others get its groups.
func TestHungServer(t *testing.T) {
	address := pgtest.Database(t)
	other := openStore(t, address)
	hung := openStore(t, changed(t, address, func(u *url.URL) { u.RawQuery = "idle_in_transaction_session_timeout=200" }))
	now := time.Unix(1_800_000_000, 0)
	apply(t, hung, said("REDS", 0, now))
	c, err := hung.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, err := load(t.Context(), c, &jwtproto.Batch{Moves: []jwtproto.Move{said("REDS", 1, now)}}, &jwtproto.Ledger{States: map[string]jwtproto.GroupState{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, other, 50*time.Millisecond, said("REDS", 2, now)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the group is held: %v", err)
	}
	if o, err := try(t, other, 10*time.Second, said("REDS", 1, now)); err != nil || o[0].Row.Next != 2 {
		t.Errorf("afterwards: %+v, %v", o, err)
	}
}

// TestStandby has the connections of a Store lead to a server that only reads, as after a
// failover, and new ones to one that writes.
func TestStandby(t *testing.T) {
	s := openStore(t, pgtest.Database(t))
	now := time.Unix(1_800_000_000, 0)
	apply(t, s, said("REDS", 0, now))
	readOnly := func(c *Store) {
		t.Helper()
		if _, err := c.pool.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
	}
	readOnly(s)
	if o := apply(t, s, said("REDS", 1, now)); o[0].Row.Next != 2 {
		t.Errorf("outcome %+v", o)
	}
	always := openStore(t, pgtest.Database(t))
	execute(t, always.pool.Config().ConnString(), "DO $$BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_read_only = on'; END$$")
	readOnly(always)
	_, err := try(t, always, 5*time.Second, said("REDS", 1, now))
	wantError(t, err, "the server is a standby")
}
