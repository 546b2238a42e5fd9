package jwtproto

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// SecretKind is what a Secret is for.
type SecretKind string

// The kinds of secrets.
const (
	ReplySecret  SecretKind = "reply"  // signs the replies
	CookieSecret SecretKind = "cookie" // makes the cookies of DTLS
	TicketSecret SecretKind = "ticket" // seals the sessions of DTLS, so that they are resumed
	PSKSecret    SecretKind = "psk"    // pre-shared key of the group that it is named after
	TokenSecret  SecretKind = "token"  // signs the tokens by which people log in elsewhere
)

// SecretKinds are all kinds.
var SecretKinds = []SecretKind{ReplySecret, CookieSecret, TicketSecret, PSKSecret, TokenSecret}

// A Secret is one that servers share. Neither its String nor a log shows the value.
type Secret struct {
	Kind SecretKind
	Name string // the group of a PSKSecret
	// Value has 32 bytes for cookies and tickets.
	Value []byte
	// Since is from when on it is used. A while before, servers accept what others have
	// made with it, so that all know it when the first uses it.
	Since time.Time
}

// SecretStore is a Store that keeps secrets, too. Servers that share the Store share the
// secrets: they override those of the lab folder.
type SecretStore interface {
	// Secrets gives all, those of a kind and name the newest first.
	Secrets(ctx context.Context) ([]Secret, error)
	// ChangeSecrets replaces the secrets of a kind and name by what change makes of them,
	// the newest first, all or nothing; nobody else changes them meanwhile. If change
	// gives back the same secrets, nothing is written. It may be called several times.
	ChangeSecrets(ctx context.Context, kind SecretKind, name string, change func([]Secret) []Secret) error
	// WatchSecrets calls changed whenever secrets may have changed, by whomever, until ctx
	// ends, and gives the error of ctx. It calls it as soon as it watches, too, and again
	// after the database was away, since changes before that may have been missed.
	WatchSecrets(ctx context.Context, changed func()) error
}

// A GroupRow is a row and the group whose history it is of.
type GroupRow struct {
	Group string
	Row
}

// EventStore is a Store that tells what other servers have acknowledged.
type EventStore interface {
	// Events calls told with the rows that other servers add to the Store, in order for
	// each group, until ctx ends, and gives the error of ctx. What is added while the
	// database is away is not told. told must not keep rows, nor take long.
	Events(ctx context.Context, told func(rows []GroupRow)) error
}

const (
	// secretSize is how many bytes a secret has that is made here.
	secretSize = 32
	// maxSecret is how many bytes one has at most.
	maxSecret = maxKeyFile
	// secretDelay is how long servers have to learn of a secret before it is used.
	secretDelay = 10 * time.Second
	// fingerprintSize is how many bytes of a hash stand for a secret.
	fingerprintSize = 4
)

// overlaps are how long secrets of a kind are accepted after newer ones have taken their
// place. Of other kinds there is one at a time: the newest that is used.
var overlaps = map[SecretKind]time.Duration{
	CookieSecret: time.Minute,
	TicketSecret: ticketLifetime,
	TokenSecret:  24 * time.Hour,
}

// ticketLifetime is how long after its full handshake a session can be resumed.
const ticketLifetime = 10 * time.Minute

// Fingerprint stands for the value where that must not be shown: people compare it.
func (s Secret) Fingerprint() string {
	sum := sha256.Sum256(append([]byte("gdtls secret "+s.Kind+" "), s.Value...))
	return hex.EncodeToString(sum[:fingerprintSize])
}

// String names the secret without its value.
func (s Secret) String() string {
	if s.Name != "" {
		return fmt.Sprintf("%s of %s (%s)", s.Kind, s.Name, s.Fingerprint())
	}
	return fmt.Sprintf("%s (%s)", s.Kind, s.Fingerprint())
}

// GoString is String: %#v must not show the value either.
func (s Secret) GoString() string { return s.String() }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Equal reports whether two are the same, with microseconds for their times.
func (s Secret) Equal(other Secret) bool {
	return s.Kind == other.Kind && s.Name == other.Name && bytes.Equal(s.Value, other.Value) &&
		s.Since.Truncate(time.Microsecond).Equal(other.Since.Truncate(time.Microsecond))
}

// Check refuses a secret that cannot be used.
func (s Secret) Check() error {
	if !slices.Contains(SecretKinds, s.Kind) {
		return fmt.Errorf("jwtproto: there are no secrets of kind %q; there are those of kind %v", s.Kind, SecretKinds)
	}
	n := len(s.Value)
	switch s.Kind {
	case CookieSecret, TicketSecret:
		if n != secretSize {
			return fmt.Errorf("jwtproto: a secret of kind %s has %d bytes, and not %d", s.Kind, secretSize, n)
		}
	case PSKSecret:
		if err := checkName(s.Name); err != nil {
			return fmt.Errorf("jwtproto: a secret of kind %s is named after its group: %w", s.Kind, err)
		}
		if n < minPSK || n > maxSecret {
			return fmt.Errorf("jwtproto: a secret of kind %s has at least %d bytes, and not %d", s.Kind, minPSK, n)
		}
		return nil
	}
	if n == 0 || n > maxSecret {
		return fmt.Errorf("jwtproto: a secret of kind %s has 1 to %d bytes, and not %d", s.Kind, maxSecret, n)
	}
	if s.Name != "" && s.Kind != TokenSecret {
		return fmt.Errorf("jwtproto: a secret of kind %s has no name", s.Kind)
	}
	return nil
}

// NewSecret makes a random one, which is used at once.
func NewSecret(kind SecretKind, name string, now time.Time) Secret {
	s := Secret{kind, name, make([]byte, secretSize), now}
	rand.Read(s.Value) // never fails
	return s
}

// Rotate puts a new secret before those of its kind and name, the newest first, and leaves
// out those that nobody needs any more. It sets since when the new one is used: if others
// go on being accepted, that is ten seconds from now, until when all servers know it.
func Rotate(old []Secret, s Secret, now time.Time) []Secret {
	overlap, several := overlaps[s.Kind]
	s.Since = now
	if several && len(old) > 0 {
		s.Since = now.Add(secretDelay)
	}
	kept := []Secret{s}
	for _, o := range old {
		if replaced := kept[len(kept)-1].Since; !several || now.Sub(replaced) > overlap {
			break
		}
		kept = append(kept, o)
	}
	return kept
}

// RotateSecret puts a secret before those of its kind and name in a Store, as Rotate does.
func RotateSecret(ctx context.Context, store SecretStore, s Secret) error {
	if err := s.Check(); err != nil {
		return err
	}
	now := time.Now()
	return store.ChangeSecrets(ctx, s.Kind, s.Name, func(old []Secret) []Secret { return Rotate(old, s, now) })
}

// inUse gives the values of secrets of a kind and name: the one that is used, and then
// those that are only accepted. all are as a Store gives them.
func inUse(all []Secret, kind SecretKind, name string, now time.Time) [][]byte {
	var values [][]byte
	var coming [][]byte
	for _, s := range all {
		switch {
		case s.Kind != kind || s.Name != name:
		case len(values) == 0 && s.Since.After(now):
			coming = append(coming, s.Value)
		default:
			values = append(values, s.Value)
		}
	}
	return append(values, coming...)
}
