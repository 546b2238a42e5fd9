package handshake

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// MemoryStore is a [SessionStore] in memory. When it is full the oldest session
// gives way. Safe for concurrent use.
type MemoryStore struct {
	maxSessions, maxBytes int

	mu    sync.Mutex
	byID  map[[sha256.Size]byte]*list.Element // guarded by mu; by the id's hash, so that looking up tells nothing of it by time
	order list.List                           // guarded by mu; of *storedSession, oldest first
	bytes int                                 // guarded by mu
}

type storedSession struct {
	id      [sha256.Size]byte
	sealed  []byte
	expires time.Time
}

// NewMemoryStore makes a store for so many sessions and bytes of them.
func NewMemoryStore(sessions, bytes int) *MemoryStore {
	return &MemoryStore{maxSessions: sessions, maxBytes: bytes, byID: make(map[[sha256.Size]byte]*list.Element)}
}

// Load gives a session.
func (s *MemoryStore) Load(id []byte, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[sha256.Sum256(id)]
	if e == nil {
		return nil
	}
	stored := e.Value.(*storedSession)
	if !now.Before(stored.expires) {
		s.remove(e)
		return nil
	}
	return stored.sealed
}

// Save keeps a session.
func (s *MemoryStore) Save(id, sealed []byte, expires, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256(id)
	if e := s.byID[key]; e != nil {
		s.remove(e)
	}
	if len(sealed) > s.maxBytes {
		return
	}
	for e := s.order.Front(); e != nil; e = s.order.Front() {
		full := len(s.byID) >= s.maxSessions || s.bytes+len(sealed) > s.maxBytes
		if !full && now.Before(e.Value.(*storedSession).expires) {
			break
		}
		s.remove(e)
	}
	s.byID[key] = s.order.PushBack(&storedSession{key, sealed, expires})
	s.bytes += len(sealed)
}

// Delete forgets a session.
func (s *MemoryStore) Delete(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[sha256.Sum256(id)]; e != nil {
		s.remove(e)
	}
}

// remove forgets a session. The caller holds mu.
func (s *MemoryStore) remove(e *list.Element) {
	stored := s.order.Remove(e).(*storedSession)
	delete(s.byID, stored.id)
	s.bytes -= len(stored.sealed)
}
