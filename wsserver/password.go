package wsserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

const (
	// MinPasswordLength is how many characters a password has at least.
	MinPasswordLength = 8
	// MaxPasswordLength is how many bytes a password has at most.
	MaxPasswordLength = 256
)

// argonParams are the costs of a hash.
type argonParams struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// argonCosts are those of new hashes: what OWASP's cheat sheet on password storage
// advises at least. The bounds keep a bad hash in a database from taking the machine.
var argonCosts = argonParams{memory: 19 << 10, passes: 2, threads: 1}

const (
	minArgonMemory  = 8 // KiB, of which argon2 needs 8 for each thread
	maxArgonMemory  = 64 << 10
	maxArgonPasses  = 16
	maxArgonThreads = 8

	saltLength    = 16 // bytes, of new hashes
	hashLength    = 32
	minSaltLength = 8
	minHashLength = 16
	maxFieldBytes = 64 // of salt and hash

	maxHashText = 256
)

// passwordHash is a hash of a password that has been taken apart.
type passwordHash struct {
	argonParams
	salt, hash []byte
}

// HashPassword gives the argon2id hash of a password for a store of accounts, in PHC
// string form: $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH. It takes 19 MiB and some tens
// of milliseconds.
func HashPassword(password string) (string, error) {
	switch {
	case utf8.RuneCountInString(password) < MinPasswordLength:
		return "", fmt.Errorf("wsserver: password is too short: it needs %d characters", MinPasswordLength)
	case len(password) > MaxPasswordLength:
		return "", fmt.Errorf("wsserver: password is too long: it may have %d bytes", MaxPasswordLength)
	}
	return hashPassword(password, argonCosts).String(), nil
}

func hashPassword(password string, costs argonParams) *passwordHash {
	h := &passwordHash{argonParams: costs, salt: make([]byte, saltLength), hash: make([]byte, hashLength)}
	_, _ = rand.Read(h.salt) // never fails
	h.hash = h.compute(password)
	return h
}

// compute hashes a password with the salt and the costs of a hash, to its length.
func (h *passwordHash) compute(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.hash)))
}

// String gives the PHC string form.
func (h *passwordHash) String() string {
	base := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		base.EncodeToString(h.salt), base.EncodeToString(h.hash))
}

// fingerprint names a password's hash. It is no help to guess the password for who does
// not know the salt.
func fingerprint(hash string) string {
	sum := sha256.Sum256([]byte(hash))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// parsePasswordHash takes a PHC string apart. Its costs are within bounds.
func parsePasswordHash(text string) (*passwordHash, error) {
	if len(text) > maxHashText {
		return nil, errors.New("wsserver: hash of a password is too long")
	}
	fields := strings.Split(text, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errors.New("wsserver: hash of a password is not of the form $argon2id$v=19$m=,t=,p=$SALT$HASH")
	}
	h := new(passwordHash)
	costs := strings.Split(fields[3], ",")
	if len(costs) != 3 {
		return nil, errors.New("wsserver: hash of a password needs the costs m, t and p, in this order")
	}
	var threads uint32
	for i, cost := range []struct {
		name      string
		to        *uint32
		min, most uint32
	}{
		{"m", &h.memory, minArgonMemory, maxArgonMemory},
		{"t", &h.passes, 1, maxArgonPasses},
		{"p", &threads, 1, maxArgonThreads},
	} {
		digits, ok := strings.CutPrefix(costs[i], cost.name+"=")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || uint32(n) < cost.min || uint32(n) > cost.most {
			return nil, fmt.Errorf("wsserver: cost %s of a password's hash is not %d to %d", cost.name, cost.min, cost.most)
		}
		*cost.to = uint32(n)
	}
	if h.memory < minArgonMemory*threads {
		return nil, fmt.Errorf("wsserver: cost m of a password's hash is too small for p=%d", threads)
	}
	h.threads = uint8(threads)
	var err error
	if h.salt, err = decodeField(fields[4], minSaltLength); err != nil {
		return nil, fmt.Errorf("wsserver: salt of a password's hash: %w", err)
	}
	if h.hash, err = decodeField(fields[5], minHashLength); err != nil {
		return nil, fmt.Errorf("wsserver: hash of a password: %w", err)
	}
	return h, nil
}

func decodeField(text string, least int) ([]byte, error) {
	field, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err == nil && strings.ContainsAny(text, "\r\n") {
		err = errors.New("line break")
	}
	if err == nil && (len(field) < least || len(field) > maxFieldBytes) {
		err = fmt.Errorf("%d bytes, not %d to %d", len(field), least, maxFieldBytes)
	}
	return field, err
}

// passwordChecker checks a few passwords at once: each check takes much memory and a
// processor. Further ones wait, and when too many do, are turned away.
type passwordChecker struct {
	decoy   *passwordHash // of a password that nobody has
	slots   chan struct{}
	waiting chan struct{}
}

const (
	checksWaiting   = 256
	maxChecksAtOnce = 4
)

func newPasswordChecker() *passwordChecker {
	decoy := &passwordHash{argonParams: argonCosts, salt: make([]byte, saltLength), hash: make([]byte, hashLength)}
	_, _ = rand.Read(decoy.salt) // never fails
	_, _ = rand.Read(decoy.hash)
	return &passwordChecker{
		decoy:   decoy,
		slots:   make(chan struct{}, min(runtime.GOMAXPROCS(0), maxChecksAtOnce)),
		waiting: make(chan struct{}, checksWaiting),
	}
}

// check tells whether a password belongs to a hash, in PHC string form. An empty hash,
// of somebody who is unknown, takes as long as another and has no password. The error
// is of a hash that cannot be used, or ErrUnavailable.
func (p *passwordChecker) check(ctx context.Context, hash, password string) (bool, error) {
	h := p.decoy
	if hash != "" {
		var err error
		if h, err = parsePasswordHash(hash); err != nil {
			return false, err
		}
	}
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return false, fmt.Errorf("%w: too many passwords wait for their check", ErrUnavailable)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	same := subtle.ConstantTimeCompare(h.compute(password), h.hash) == 1
	return same && hash != "", nil
}
