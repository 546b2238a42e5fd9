package serverconn

import (
	"time"

	"gdtls/internal/handshake"
)

// Sessions is what servers remember of their clients, so that these may resume a
// session with one round trip and no public key: by tickets, which the clients keep
// (RFC 5077), and by session ids for clients that know no tickets or whose
// certificates are too long for one. A session can be resumed for ten minutes after
// its full handshake, however often; only sessions with extended master secret are
// (RFC 7627), and only while its cipher suite, the server's certificate, and the
// client's key or certificate are still acceptable. A session by id ends with a fatal
// alert of its client (RFC 5246 7.2.2); a ticket cannot be taken back, and it is up to
// the client not to use it any more.
//
// Servers with different rules about their clients must not share one: a client
// that one accepted is not asked about again by another, as long as its certificate
// verifies as well as it did. Safe for concurrent use.
type Sessions struct {
	machine *handshake.Sessions
}

// SessionStore keeps sealed sessions by their session id. Several nodes that have
// one in common, and ticket keys, resume each other's sessions. Its methods are
// called during handshakes, by several goroutines at once, and Delete also when the
// peer has ended a connection with a fatal alert: by the call that reads it.
type SessionStore interface {
	// Load gives the session, nil if it is not there or has expired.
	Load(id []byte, now time.Time) []byte
	// Save keeps a session until it expires, or less long.
	Save(id, sealed []byte, expires, now time.Time)
	// Delete forgets a session.
	Delete(id []byte)
}

// What the store in memory holds at most.
const (
	maxStoredSessions = 10_000
	maxStoredBytes    = 16 << 20
)

// NewSessions makes one with random keys. With nil as store, sessions are kept in
// memory: 10,000 of them, in 16 MiB at most.
func NewSessions(store SessionStore) *Sessions {
	if store == nil {
		store = handshake.NewMemoryStore(maxStoredSessions, maxStoredBytes)
	}
	return &Sessions{handshake.NewSessions(store)}
}

// SetTicketKeys sets the keys that seal sessions, for several nodes that share
// them, or to survive a restart: the first seals, all of them open. To rotate, put
// a new one second on every node, then first, and drop the old one once the
// lifetime is over. Without keys, random ones are used and rotated.
func (s *Sessions) SetTicketKeys(keys ...[32]byte) { s.machine.SetTicketKeys(keys...) }

// SetLifetime sets how long after its full handshake a session can be resumed; 0 or
// less restores the default of ten minutes.
func (s *Sessions) SetLifetime(lifetime time.Duration) { s.machine.SetLifetime(lifetime) }

// SetCookieAlways makes clients that resume a session show a cookie like all others
// (true), or spares those it that come with a ticket to the host where they got it
// (false, the default): that host has received before, within the lifetime, which is
// what a cookie shows, and RFC 6347 4.2.1 leaves the cookie to the server then. Without
// it a session is resumed a round trip sooner. What it costs: who has seen a client's
// hello on its way can repeat it as from any port of that client's host, and each
// begins a handshake.
func (s *Sessions) SetCookieAlways(always bool) { s.machine.SetCookieAlways(always) }
