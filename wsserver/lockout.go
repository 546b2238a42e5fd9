package wsserver

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	freeAttempts   = 5 // wrong passwords in a row that have no consequence
	firstLock      = 2 * time.Second
	longestLock    = 15 * time.Minute
	forgetAttempts = time.Hour // after the last one
	maxAttempts    = 1 << 14   // accounts that are remembered
)

// lockout locks accounts after wrong passwords, for a time that doubles with each. An
// account need not exist: the answer must not tell. Safe for concurrent use.
type lockout struct {
	seed maphash.Seed

	mu       sync.Mutex
	accounts map[uint64]attempts // by the hash of the name
}

type attempts struct {
	failed int
	locked time.Time // until then
	last   time.Time
}

func newLockout() *lockout {
	return &lockout{seed: maphash.MakeSeed(), accounts: map[uint64]attempts{}}
}

// begin tells whether a password may be tried now. If so it counts as wrong until
// succeeded is called, so that nobody gains by trying many at once; lock is for how
// long the account is locked if it is wrong.
func (l *lockout) begin(name string, now time.Time) (lock time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := maphash.String(l.seed, name)
	a := l.accounts[key]
	if now.Before(a.locked) {
		return 0, false
	}
	if now.Sub(a.last) > forgetAttempts {
		a = attempts{}
	}
	a.failed++
	a.last = now
	if beyond := a.failed - freeAttempts; beyond >= 0 {
		lock = min(firstLock<<min(beyond, 16), longestLock)
		a.locked = now.Add(lock)
	}
	l.makeRoom(now)
	l.accounts[key] = a
	return lock, true
}

// succeeded forgets what was wrong before.
func (l *lockout) succeeded(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, maphash.String(l.seed, name))
}

// makeRoom keeps the number of accounts in bounds. Of some that it comes upon it
// forgets the one with the fewest attempts, so that many made-up names do not push out
// a name that is under attack.
func (l *lockout) makeRoom(now time.Time) {
	if len(l.accounts) < maxAttempts {
		return
	}
	const some = 16
	var least uint64
	fewest, seen := 0, 0
	for key, a := range l.accounts { // in random order
		if seen == 0 || a.failed < fewest {
			least, fewest = key, a.failed
		}
		if now.Sub(a.last) > forgetAttempts {
			least = key
			break
		}
		if seen++; seen == some {
			break
		}
	}
	delete(l.accounts, least)
}
