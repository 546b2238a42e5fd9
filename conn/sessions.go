package conn

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"gdtls/internal/handshake"
)

// Bounds of a SessionCache (G213).
const (
	// DefaultSessionCacheSize is the number of sessions in a cache.
	DefaultSessionCacheSize = 50
	// SessionLifetime is how long after its full handshake a client resumes a
	// session, at most. Resuming it does not prolong that, so that a server cannot
	// follow a client for longer (arXiv:1810.07304).
	SessionLifetime = handshake.DefaultSessionLifetime
)

// SessionCache keeps sessions of clients, so that a further connection with the
// same server needs one round trip and no public key. When it is full, the oldest
// gives way. Safe for concurrent use.
type SessionCache struct {
	limit int

	mu    sync.Mutex
	byKey map[sessionKey]*list.Element // guarded by mu
	order list.List                    // guarded by mu; of *cachedSession, oldest first
}

type cachedSession struct {
	key     sessionKey
	session *handshake.SavedSession
}

// NewSessionCache makes a cache for so many sessions; 0 and less mean
// DefaultSessionCacheSize.
func NewSessionCache(sessions int) *SessionCache {
	if sessions <= 0 {
		sessions = DefaultSessionCacheSize
	}
	return &SessionCache{limit: sessions, byKey: make(map[sessionKey]*list.Element)}
}

var defaultSessionCache = sync.OnceValue(func() *SessionCache { return NewSessionCache(0) })

// DefaultSessionCache is the one that clients share unless they are given another.
func DefaultSessionCache() *SessionCache { return defaultSessionCache() }

// Clear forgets all sessions.
func (s *SessionCache) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byKey)
	s.order.Init()
}

func (s *SessionCache) get(key sessionKey, now time.Time) *handshake.SavedSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	session := e.Value.(*cachedSession).session
	if !now.Before(session.Expires) {
		s.remove(e)
		return nil
	}
	return session
}

// put keeps a session in place of the one with its key; nil only forgets that.
func (s *SessionCache) put(key sessionKey, session *handshake.SavedSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	switch {
	case e != nil && session != nil:
		e.Value.(*cachedSession).session = session
		s.order.MoveToBack(e)
		return
	case e != nil:
		s.remove(e)
		return
	case session == nil:
		return
	}
	if s.order.Len() == s.limit {
		s.remove(s.order.Front())
	}
	s.byKey[key] = s.order.PushBack(&cachedSession{key, session})
}

// remove forgets a session. The caller holds mu.
func (s *SessionCache) remove(e *list.Element) {
	delete(s.byKey, s.order.Remove(e).(*cachedSession).key)
}

// sessionKey names the sessions that a client may resume: with the same server, as
// the same client (G213). The zero value names none.
type sessionKey struct {
	identity string
	own      [sha256.Size]byte // hash of the own certificates; zero without one
}

// newSessionKey gives the key for a server's identity and the client's certificates;
// without an identity there is none.
func newSessionKey(identity SocketConnectable, own []*TlsCertificate) (key sessionKey) {
	if identity == nil {
		return key
	}
	key.identity = identity.String()
	if len(own) > 0 {
		hash := sha256.New()
		for _, certificate := range own {
			hash.Write(certificate.leaf.Raw)
		}
		hash.Sum(key.own[:0])
	}
	return key
}
