package wsserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"
)

const (
	ticketBytes = 16 // random
	maxTickets  = 256
)

// tickets are those that may be exchanged for a login, once. Only their hashes are
// kept. Safe for concurrent use.
type tickets struct {
	mu    sync.Mutex
	owner map[[sha256.Size]byte]ticket
}

type ticket struct {
	name    string
	expires time.Time
}

// add makes a ticket. When there are too many, the one that would expire first goes.
func (t *tickets) add(name string, now time.Time, life time.Duration) string {
	secret := make([]byte, ticketBytes)
	_, _ = rand.Read(secret) // never fails
	text := base64.RawURLEncoding.EncodeToString(secret)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.owner == nil {
		t.owner = map[[sha256.Size]byte]ticket{}
	}
	if len(t.owner) >= maxTickets {
		var first [sha256.Size]byte
		var soonest time.Time
		for hash, other := range t.owner {
			if soonest.IsZero() || other.expires.Before(soonest) {
				first, soonest = hash, other.expires
			}
		}
		delete(t.owner, first)
	}
	t.owner[sha256.Sum256([]byte(text))] = ticket{name, now.Add(life)}
	return text
}

// use takes a ticket, and tells whose it was.
func (t *tickets) use(text string, now time.Time) (name string, ok bool) {
	hash := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.owner[hash]
	delete(t.owner, hash)
	return found.name, ok && now.Before(found.expires)
}
