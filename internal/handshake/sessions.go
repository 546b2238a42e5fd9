package handshake

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// DefaultSessionLifetime is how long after its full handshake a session can be
// resumed (RFC 5246 F.1.4 allows a day).
const DefaultSessionLifetime = 10 * time.Minute

const (
	maxTicket        = 1 << 10 // bytes; a hello with a longer one would not fit into a datagram
	maxPeerTicket    = 1 << 12 // what a client keeps of a server's; its next hello must hold it
	maxStoredSession = 1 << 14 // bytes; what is longer, such as a long chain, is not stored
)

// SessionStore keeps sealed sessions by their session id. Several nodes that share
// one resume each other's sessions. Its methods are called during handshakes, by
// several goroutines at once, and Delete also when a connection has failed.
type SessionStore interface {
	// Load gives the session, nil if it is not there or has expired.
	Load(id []byte, now time.Time) []byte
	// Save keeps a session until it expires, or less long.
	Save(id, sealed []byte, expires, now time.Time)
	// Delete forgets a session.
	Delete(id []byte)
}

// Sessions is a server's memory of sessions: tickets, which its clients keep for
// it, and a store for clients that take none. Safe for concurrent use.
type Sessions struct {
	store SessionStore

	mu       sync.Mutex
	keys     []*ticketKey  // guarded by mu; the first seals. The slice is replaced, never changed
	lifetime time.Duration // guarded by mu
	fixed    bool          // guarded by mu; the keys were set, and do not rotate by themselves
	since    time.Time     // guarded by mu; when the first key was made

	cookieAlways bool // guarded by mu
}

// opened are buffers for what is in a ticket, which may turn out to be forged.
var opened = sync.Pool{New: func() any { return new([maxTicket]byte) }}

// NewSessions makes one with random keys. store may be nil: then only tickets are used.
func NewSessions(store SessionStore) *Sessions {
	return &Sessions{store: store, lifetime: DefaultSessionLifetime}
}

// SetTicketKeys sets the keys that seal sessions, for several nodes that share them
// or to survive a restart: the first seals, all of them open. Without a call, or with no key, keys are random and rotate by themselves.
func (s *Sessions) SetTicketKeys(keys ...[32]byte) {
	made := make([]*ticketKey, len(keys))
	for i := range keys {
		made[i] = newTicketKey(&keys[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.fixed = made, len(made) > 0
}

// SetLifetime sets how long after its full handshake a session can be resumed; 0 or
// less restores the default.
func (s *Sessions) SetLifetime(lifetime time.Duration) {
	if lifetime <= 0 {
		lifetime = DefaultSessionLifetime
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = lifetime
}

// at gives the keys and the lifetime for a time. A random key seals for one
// lifetime and opens for one more.
func (s *Sessions) at(now time.Time) ([]*ticketKey, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.since); !s.fixed && (len(s.keys) == 0 || age >= s.lifetime) {
		var key [32]byte
		rand.Read(key[:])
		keys := []*ticketKey{newTicketKey(&key)}
		if len(s.keys) > 0 && age < 2*s.lifetime {
			keys = append(keys, s.keys[0])
		}
		s.keys, s.since = keys, now
	}
	return s.keys, s.lifetime
}

// seal gives a session as a ticket, nil if it is too long.
func (s *Sessions) seal(saved *SavedSession, most int, now time.Time) []byte {
	plain, err := saved.marshal()
	if err != nil {
		return nil
	}
	keys, _ := s.at(now)
	if len(plain)+ticketOverhead > most {
		return nil
	}
	return keys[0].seal(plain)
}

// open gives the session of a ticket that is ours and has not expired, else nil.
func (s *Sessions) open(ticket []byte, now time.Time) *SavedSession {
	if len(ticket) < ticketOverhead {
		return nil
	}
	keys, lifetime := s.at(now)
	room := opened.Get().(*[maxTicket]byte)
	defer func() {
		clear(room[:])
		opened.Put(room)
	}()
	for _, key := range keys {
		if plain, ok := key.open(room[:0], ticket); ok {
			// A lifetime that was shortened holds for older tickets too, but the
			// clocks of nodes may differ a little.
			saved, ok := unmarshalSaved(bytes.Clone(plain))
			if !ok || !now.Before(saved.Expires) || saved.Expires.After(now.Add(lifetime+time.Minute)) {
				return nil
			}
			return saved
		}
	}
	return nil
}

// load gives the session of an id, nil if there is none.
func (s *Sessions) load(id []byte, now time.Time) *SavedSession {
	if s.store == nil || len(id) == 0 {
		return nil
	}
	saved := s.open(s.store.Load(id, now), now)
	if saved != nil {
		saved.ID = id
	}
	return saved
}

func (s *Sessions) save(saved *SavedSession, now time.Time) {
	if s.store == nil {
		return
	}
	if sealed := s.seal(saved, maxStoredSession, now); sealed != nil {
		s.store.Save(saved.ID, sealed, saved.Expires, now)
	}
}

// StoredSession is a session that a server keeps by its id.
type StoredSession struct {
	sessions *Sessions
	id       []byte
}

// Forget makes sure that the session is not resumed any more, as a fatal alert wants
// (RFC 5246 7.2.2). A ticket cannot be taken back. It may be called on nil.
func (s *StoredSession) Forget() {
	if s != nil {
		s.sessions.store.Delete(s.id)
	}
}

// stored names a session in the store, nil if it can be in none.
func (s *Sessions) stored(id []byte) *StoredSession {
	if s.store == nil || len(id) == 0 {
		return nil
	}
	return &StoredSession{s, id}
}

// ticketKey seals sessions by XChaCha20-Poly1305, whose random nonces are long
// enough for any number of nodes. A ticket is the key's name, the nonce and the
// sealed session.
type ticketKey struct {
	name [keyNameSize]byte
	aead cipher.AEAD
}

const (
	keyNameSize    = 16
	ticketOverhead = keyNameSize + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

func newTicketKey(key *[32]byte) *ticketKey {
	sum := sha256.Sum256(append([]byte("gdtls ticket key name"), key[:]...))
	k := &ticketKey{}
	copy(k.name[:], sum[:])
	k.aead, _ = chacha20poly1305.NewX(key[:]) // fails for other lengths only
	return k
}

func (k *ticketKey) seal(plain []byte) []byte {
	ticket := make([]byte, keyNameSize+chacha20poly1305.NonceSizeX, ticketOverhead+len(plain))
	copy(ticket, k.name[:])
	nonce := ticket[keyNameSize:]
	rand.Read(nonce)
	return k.aead.Seal(ticket, nonce, plain, k.name[:])
}

// open appends what is in a ticket to dst.
func (k *ticketKey) open(dst, ticket []byte) ([]byte, bool) {
	if !bytes.Equal(ticket[:keyNameSize], k.name[:]) {
		return nil, false
	}
	sealed := ticket[keyNameSize+chacha20poly1305.NonceSizeX:]
	plain, err := k.aead.Open(dst, ticket[keyNameSize:keyNameSize+chacha20poly1305.NonceSizeX], sealed, k.name[:])
	return plain, err == nil
}
