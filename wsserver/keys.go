package wsserver

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

const (
	minSecret = 32 // bytes, as many as HS256 gives (RFC 7518 3.2)
	maxSecret = 256
	maxKeyID  = 16
)

// Key is a secret that tokens are signed with.
type Key struct {
	// ID names the key in tokens (kid): 1 to 16 letters, digits, "-" and "_".
	ID string
	// Secret has 32 to 256 random bytes.
	Secret []byte
}

// String names the key, and keeps its secret.
func (k Key) String() string { return "key " + k.ID }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// GenerateKey makes a key with a random name and secret.
func GenerateKey() Key {
	secret := make([]byte, minSecret)
	_, _ = rand.Read(secret) // never fails
	return Key{ID: randomID(6), Secret: secret}
}

// randomID gives the text of n random bytes, in the alphabet of base64url.
func randomID(n int) string {
	id := make([]byte, n)
	_, _ = rand.Read(id) // never fails
	return base64.RawURLEncoding.EncodeToString(id)
}

// Keys is a ring of keys: tokens are signed with the first, and good with any. So keys
// rotate without a gap: add a new one behind the first everywhere, then put it first
// everywhere, and take the old one away when its last token has expired.
type Keys struct {
	mu   sync.RWMutex
	ring []ringKey // not empty; what it points to is not changed
}

type ringKey struct {
	id     string
	secret []byte // of tokens
	psk    []byte // of pre-shared keys
}

// NewKeys makes a ring, at least of one key.
func NewKeys(keys ...Key) (*Keys, error) {
	k := new(Keys)
	if err := k.Set(keys...); err != nil {
		return nil, err
	}
	return k, nil
}

// Set replaces the keys. After an error the ring is as before.
func (k *Keys) Set(keys ...Key) error {
	if len(keys) == 0 {
		return errors.New("wsserver: a ring of keys needs one key at least")
	}
	ring := make([]ringKey, 0, len(keys))
	for _, key := range keys {
		switch {
		case !isID(key.ID, maxKeyID):
			return fmt.Errorf("wsserver: %q is no name of a key: it has 1 to %d letters, digits, - and _", key.ID, maxKeyID)
		case len(key.Secret) < minSecret || len(key.Secret) > maxSecret:
			return fmt.Errorf("wsserver: secret of key %s has %d bytes, not %d to %d", key.ID, len(key.Secret), minSecret, maxSecret)
		case slices.ContainsFunc(ring, func(other ringKey) bool { return other.id == key.ID }):
			return fmt.Errorf("wsserver: two keys have the name %s", key.ID)
		}
		// A secret of its own, so that no signature of a token can ever be a
		// pre-shared key.
		psk, err := hkdf.Key(sha256.New, key.Secret, nil, "gdtls psk", sha256.Size)
		if err != nil {
			return fmt.Errorf("wsserver: key %s: %w", key.ID, err)
		}
		ring = append(ring, ringKey{key.ID, slices.Clone(key.Secret), psk})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring = ring
	return nil
}

// signing gives the key for new tokens.
func (k *Keys) signing() ringKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.ring[0]
}

// find gives the key of a name.
func (k *Keys) find(id string) (ringKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.ring {
		if key.id == id {
			return key, true
		}
	}
	return ringKey{}, false
}

// isID tells whether a text has 1 to most characters of base64url.
func isID(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
