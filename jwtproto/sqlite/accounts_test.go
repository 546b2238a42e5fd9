package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gdtls/jwtproto"
	"gdtls/jwtproto/sqlite"
)

// two opens a file twice.
func two(t *testing.T) (a, b *sqlite.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gdtls.sqlite")
	var stores []*sqlite.Store
	for range 2 {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		stores = append(stores, s)
	}
	return stores[0], stores[1]
}

func TestAccounts(t *testing.T) {
	s, other := two(t)
	hash := func(name, want string) {
		t.Helper()
		if got, err := other.PasswordHash(t.Context(), name); err != nil || got != want {
			t.Errorf("the hash of %q is %q, want %q: %v", name, got, want, err)
		}
	}
	hash("ada", "")
	for _, set := range [][2]string{{"ada", "$1"}, {"O'Leary; --é", "$2"}, {"ada", "$3"}} {
		if err := s.SetPasswordHash(t.Context(), set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	hash("ada", "$3")
	hash("O'Leary; --é", "$2")
	if names, err := other.Accounts(t.Context()); err != nil || !slices.Equal(names, []string{"O'Leary; --é", "ada"}) {
		t.Errorf("accounts %q: %v", names, err)
	}
	for _, there := range []bool{true, false} {
		if removed, err := s.RemoveAccount(t.Context(), "ada"); err != nil || removed != there {
			t.Errorf("removed %v: %v", removed, err)
		}
	}
	hash("ada", "")
}

func TestRevocations(t *testing.T) {
	s, other := two(t)
	told := make(chan struct{}, 100)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- other.WatchRevocations(ctx, func() { told <- struct{}{} }) }()
	wait := func() {
		t.Helper()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody tells of it")
		}
	}
	wait() // it watches
	now := time.Now().Truncate(time.Microsecond)
	for login, until := range map[string]time.Time{"one": now.Add(time.Hour), "two": now.Add(2 * time.Hour), "over": now.Add(-time.Second), "old": now.Add(-time.Hour)} {
		if err := s.Revoke(t.Context(), login, until); err != nil {
			t.Fatal(err)
		}
	}
	wait()
	if err := s.Revoke(t.Context(), "one", now.Add(3*time.Hour)); err != nil {
		t.Errorf("again: %v", err)
	}
	all, err := other.Revoked(t.Context())
	if err != nil || len(all) != 2 || !all["one"].Equal(now.Add(time.Hour)) || !all["two"].Equal(now.Add(2*time.Hour)) {
		t.Errorf("revoked %v: %v", all, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the watcher ended with %v", err)
	}
	s.Close()
	if _, err := s.Revoked(t.Context()); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.Revoke(t.Context(), "three", now.Add(time.Hour)); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("closed: %v", err)
	}
}
