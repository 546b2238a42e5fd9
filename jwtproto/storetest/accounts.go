package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gdtls/jwtproto"
)

// Accounts is what a Store has that keeps accounts and revoked logins, too. Package
// wsserver describes them.
type Accounts interface {
	PasswordHash(ctx context.Context, name string) (hash string, err error)
	SetPasswordHash(ctx context.Context, name, hash string) error
	RemoveAccount(ctx context.Context, name string) (removed bool, err error)
	Accounts(ctx context.Context) (names []string, err error)

	Revoke(ctx context.Context, login string, until time.Time) error
	Revoked(ctx context.Context) (logins map[string]time.Time, err error)
	WatchRevocations(ctx context.Context, changed func()) error
}

// RunAccounts runs the tests of Stores that are Accounts, too, and shared.
func RunAccounts(t *testing.T, kind Kind) {
	t.Run("Accounts", func(t *testing.T) { testAccounts(t, kind) })
	t.Run("Revocations", func(t *testing.T) { testRevocations(t, kind) })
}

// twoAccounts opens a Store twice.
func twoAccounts(t testing.TB, kind Kind) (s, other Accounts) {
	t.Helper()
	opener := kind.New(t)
	var ok, okToo bool
	s, ok = open(t, opener).(Accounts)
	other, okToo = open(t, opener).(Accounts)
	if !ok || !okToo {
		t.Fatal("the store has no accounts")
	}
	return s, other
}

// testAccounts has one set hashes of passwords, and the other read them.
func testAccounts(t *testing.T, kind Kind) {
	s, other := twoAccounts(t, kind)
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

// testRevocations has one revoke logins, and the other hear of it.
func testRevocations(t *testing.T, kind Kind) {
	s, other := twoAccounts(t, kind)
	told := make(chan struct{}, 100)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
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
	if err := s.(jwtproto.Store).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoked(t.Context()); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.Revoke(t.Context(), "three", now.Add(time.Hour)); !errors.Is(err, jwtproto.ErrStoreClosed) {
		t.Errorf("closed: %v", err)
	}
}
