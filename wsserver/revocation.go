package wsserver

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Revocations is where revoked logins are kept: by their LoginID, each until no token of
// it can be good any more. It has builtin types only, so that a database
// can have these methods without this package.
type Revocations interface {
	// Revoke adds one. To add it again does nothing.
	Revoke(ctx context.Context, loginID string, until time.Time) error
	// Revoked gives all whose time is not over. The map is the caller's.
	Revoked(ctx context.Context) (map[string]time.Time, error)
}

// MemoryRevocations are Revocations that are forgotten with the program. The zero value
// is empty.
type MemoryRevocations struct{ list revocationList }

// Revoke adds one.
func (m *MemoryRevocations) Revoke(_ context.Context, loginID string, until time.Time) error {
	m.list.add(loginID, until, time.Now())
	return nil
}

// Revoked gives all whose time is not over.
func (m *MemoryRevocations) Revoked(context.Context) (map[string]time.Time, error) {
	return m.list.all(time.Now()), nil
}

// revocationList keeps revocations in memory, until their time is over. The zero value
// is empty.
type revocationList struct {
	mu    sync.RWMutex
	until map[string]time.Time
	sweep int // how many there may be before the old ones are looked for
}

func (l *revocationList) has(loginID string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, found := l.until[loginID]
	return found
}

// add adds one, and tells whether it is new.
func (l *revocationList) add(loginID string, until, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, found := l.until[loginID]; found || !until.After(now) {
		return false
	}
	if l.until == nil {
		l.until = map[string]time.Time{}
	}
	if len(l.until) >= l.sweep {
		maps.DeleteFunc(l.until, func(_ string, until time.Time) bool { return !until.After(now) })
		l.sweep = max(2*len(l.until), 64)
	}
	l.until[loginID] = until
	return true
}

func (l *revocationList) all(now time.Time) map[string]time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := maps.Clone(l.until)
	maps.DeleteFunc(all, func(_ string, until time.Time) bool { return !until.After(now) })
	return all
}

// Revoke makes all tokens of a login worthless: for requests, for DTLS handshakes, and for
// connections, which are closed. It holds from now on even if there is an error, which
// means that it could not be written down.
func (b *BearerAuthenticator) Revoke(ctx context.Context, loginID string) error {
	until := time.Now().Add(b.config.MaxLife + 2*b.config.Leeway)
	b.revoke(loginID, until)
	if err := b.config.Revocations.Revoke(ctx, loginID, until); err != nil {
		return fmt.Errorf("wsserver: revocation is not written down: %w", err)
	}
	return nil
}

// Reload reads the revocations again, which other programs may have added to.
func (b *BearerAuthenticator) Reload(ctx context.Context) error {
	all, err := b.config.Revocations.Revoked(ctx)
	if err != nil {
		return fmt.Errorf("wsserver: cannot read the revoked logins: %w", err)
	}
	for id, until := range all {
		b.revoke(id, until)
	}
	return nil
}

// revoke notes a revocation and tells of it.
func (b *BearerAuthenticator) revoke(loginID string, until time.Time) {
	if !b.revoked.add(loginID, until, time.Now()) {
		return
	}
	for call := range b.signals.revoked.Calls() {
		call(loginID)
	}
}
