package wsserver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A locked account answers as for a wrong password, to the right one, too.
func TestLockedAccount(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"ada", "nobody"} {
		for range freeAttempts {
			s.post(t, "/login", credentials(name, "wrong horse"), nil)
		}
		answer, text := s.post(t, "/login", credentials(name, adasPassword), nil)
		if answer.StatusCode != 401 || text != "Unauthorized" || answer.Header.Get("Retry-After") != "" {
			t.Errorf("%s: %v %s %v", name, answer.Status, text, answer.Header)
		}
	}
	log := s.log.String()
	if !strings.Contains(log, "locked for 2s") || !strings.Contains(log, "account is locked") {
		t.Errorf("the log does not tell:\n%s", log)
	}
}

func TestLockout(t *testing.T) {
	l := newLockout()
	now := time.Unix(1000, 0)
	fail := func() time.Duration {
		t.Helper()
		attempt, ok := l.begin("ada", now)
		if !ok {
			t.Fatal("locked")
		}
		return attempt.lock
	}
	for i := range freeAttempts - 1 {
		if lock := fail(); lock != 0 {
			t.Fatalf("failure %d locks for %v", i+1, lock)
		}
	}
	var locks []time.Duration
	for range 12 {
		lock := fail()
		locks = append(locks, lock)
		now = now.Add(lock - 1)
		if _, ok := l.begin("ada", now); ok {
			t.Fatalf("not locked %v later", lock-1)
		}
		now = now.Add(1)
	}
	want := "[2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 15m0s 15m0s 15m0s]"
	if got := fmt.Sprint(locks); got != want {
		t.Errorf("locked for %s, not %s", got, want)
	}
	attempt, ok := l.begin("ada", now)
	if !ok {
		t.Fatal("locked")
	}
	l.succeeded(attempt)
	if lock := fail(); lock != 0 {
		t.Errorf("after a success a failure locks for %v", lock)
	}
	for range freeAttempts - 2 {
		fail()
	}
	now = now.Add(forgetAttempts + 1)
	if lock := fail(); lock != 0 {
		t.Errorf("after a long time a failure locks for %v", lock)
	}
	for range 3 {
		fail()
	}
	for range 3 {
		attempt, ok := l.begin("ada", now)
		if !ok || attempt.lock == 0 {
			t.Fatalf("attempt %+v, %v", attempt, ok)
		}
		l.withdraw(attempt)
	}
	l.withdraw(attempt)
}

// Made-up names neither fill the memory nor push out a name under attack.
func TestLockoutIsBounded(t *testing.T) {
	l := newLockout()
	now := time.Unix(1000, 0)
	for range freeAttempts {
		l.begin("ada", now)
	}
	for i := range 2 * maxAccounts {
		l.begin(fmt.Sprint("name ", i), now)
	}
	if len(l.accounts) > maxAccounts {
		t.Errorf("%d accounts", len(l.accounts))
	}
	if _, ok := l.begin("ada", now); ok {
		t.Error("ada's lock was pushed out")
	}
	now = now.Add(forgetAttempts + 1)
	l.begin("one more", now)
	if len(l.accounts) > maxAccounts {
		t.Errorf("%d accounts", len(l.accounts))
	}
}

// Many guesses at once are no more guesses than one after another.
func TestGuessesAtOnce(t *testing.T) {
	s := newSite(t)
	var looked sync.Map
	s.login.config.Accounts = accountsFunc(func(_ context.Context, name string) (string, error) {
		n, _ := looked.LoadOrStore(name, new(counter))
		n.(*counter).add()
		return adasHash(), nil
	})
	var guesses sync.WaitGroup
	for i := range 4 * freeAttempts {
		guesses.Go(func() {
			if _, err := s.login.checkPassword(t.Context(), "ada", fmt.Sprint("guess number ", i)); err == nil {
				t.Error("a guess is right")
			}
		})
	}
	guesses.Wait()
	n, _ := looked.Load("ada")
	if got := n.(*counter).n; got > freeAttempts {
		t.Errorf("%d guesses were looked at, not %d", got, freeAttempts)
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}
