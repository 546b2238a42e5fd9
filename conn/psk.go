package conn

import "gdtls/internal/handshake"

// PreSharedKeyAuthenticator carries what a PskRequiredHandler needs and decides
// (QSslPreSharedKeyAuthenticator, Q039-Q042). It belongs to the handler while it runs.
type PreSharedKeyAuthenticator struct {
	hint, identity, key []byte
}

// IdentityHint is the server's hint as a client sees it; empty if there was none.
func (a *PreSharedKeyAuthenticator) IdentityHint() []byte { return a.hint }

// Identity is, on a server, what the client claims to be: known to be true once
// the handshake has succeeded.
func (a *PreSharedKeyAuthenticator) Identity() []byte { return a.identity }

// SetIdentity names the key that a client uses. What is longer than
// MaximumIdentityLength is cut.
func (a *PreSharedKeyAuthenticator) SetIdentity(identity []byte) {
	a.identity = append([]byte(nil), identity[:min(len(identity), handshake.MaxPSKIdentity)]...)
}

// PreSharedKey is the key that was set.
func (a *PreSharedKeyAuthenticator) PreSharedKey() []byte { return a.key }

// SetPreSharedKey sets the key; an empty one refuses. What is longer than
// MaximumPreSharedKeyLength is cut.
func (a *PreSharedKeyAuthenticator) SetPreSharedKey(key []byte) {
	a.key = append([]byte(nil), key[:min(len(key), handshake.MaxPSK)]...)
}

// MaximumIdentityLength is the longest identity, in bytes.
func (a *PreSharedKeyAuthenticator) MaximumIdentityLength() int { return handshake.MaxPSKIdentity }

// MaximumPreSharedKeyLength is the longest key, in bytes.
func (a *PreSharedKeyAuthenticator) MaximumPreSharedKeyLength() int { return handshake.MaxPSK }
