package wsserver

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	freeAttempts   = 5 // wrong passwords in a row; the last of them locks
	firstLock      = 2 * time.Second
	longestLock    = 15 * time.Minute
	forgetAttempts = time.Hour // after the last one
	maxAccounts    = 1 << 14   // that are remembered
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

// attempt is a password that is being tried.
type attempt struct {
	account uint64
	lock    time.Duration // how long the account is locked if the password is wrong
}

func newLockout() *lockout {
	return &lockout{seed: maphash.MakeSeed(), accounts: map[uint64]attempts{}}
}

// begin tells whether a password may be tried now. If so, it counts as wrong until
// something else is said of it, so that nobody gains by trying many at once.
func (l *lockout) begin(name string, now time.Time) (attempt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	this := attempt{account: maphash.String(l.seed, name)}
	a, known := l.accounts[this.account]
	if now.Before(a.locked) {
		return attempt{}, false
	}
	if now.Sub(a.last) > forgetAttempts {
		a = attempts{}
	}
	a.failed++
	a.last = now
	if beyond := a.failed - freeAttempts; beyond >= 0 {
		this.lock = min(firstLock<<min(beyond, 16), longestLock)
		a.locked = now.Add(this.lock)
	}
	if !known {
		l.makeRoom(now)
	}
	l.accounts[this.account] = a
	return this, true
}

// succeeded forgets what was wrong before.
func (l *lockout) succeeded(this attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, this.account)
}

// withdraw takes back an attempt whose password could not be looked at.
func (l *lockout) withdraw(this attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, known := l.accounts[this.account]
	if !known {
		return
	}
	a.failed = max(a.failed-1, 0)
	if this.lock > 0 {
		a.locked = time.Time{}
	}
	l.accounts[this.account] = a
}

// makeRoom keeps the number of accounts in bounds. Of some that it comes upon it
// forgets the one with the fewest attempts, so that many made-up names do not push out
// a name that is under attack.
func (l *lockout) makeRoom(now time.Time) {
	if len(l.accounts) < maxAccounts {
		return
	}
	const some = 16
	var chosen uint64
	fewest, seen := 0, 0
	for account, a := range l.accounts { // in random order
		if now.Sub(a.last) > forgetAttempts {
			chosen = account
			break
		}
		if seen == 0 || a.failed < fewest {
			chosen, fewest = account, a.failed
		}
		if seen++; seen == some {
			break
		}
	}
	delete(l.accounts, chosen)
}
