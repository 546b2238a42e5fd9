package wsserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxPSKIdentity is what all DTLS implementations take (RFC 4279 5.3).
const maxPSKIdentity = 128

// pskIdentity is the short form of a token: NAME.EXPIRY.LOGIN.KEY, with the expiry in
// seconds since 1970. It is shown in clear by DTLS, and is worth nothing without the key.
func pskIdentity(who Identity, kid string) string {
	return who.Name + "." + strconv.FormatInt(who.Expires.Unix(), 10) + "." + who.LoginID + "." + kid
}

// pskOf derives the pre-shared key of an identity, as TURN servers do their passwords:
// who knows the secret needs no list of logins.
func pskOf(key ringKey, identity string) []byte {
	mac := hmac.New(sha256.New, key.psk)
	mac.Write([]byte(identity))
	return mac.Sum(nil)
}

// PSK gives the pre-shared key of an identity that came from a token, and tells whose it
// is, for the handler of pskRequired of a DTLS server. What has the wrong shape, names
// an unknown key, has expired or was revoked has no key, and its handshake fails.
// Otherwise the peer still has to prove in the handshake that it knows the key: the
// Identity must not be trusted before.
func (b *BearerAuthenticator) PSK(identity []byte) (key []byte, who Identity, err error) {
	return b.pskAt(identity, time.Now())
}

func (b *BearerAuthenticator) pskAt(identity []byte, now time.Time) ([]byte, Identity, error) {
	text := string(identity[:min(len(identity), maxPSKIdentity+1)])
	who, expiry, kid, err := parsePSKIdentity(text)
	if err != nil {
		return nil, Identity{}, err
	}
	key, ok := b.keys.find(kid)
	if !ok {
		return nil, Identity{}, fmt.Errorf("%w: unknown key %q", ErrInvalidToken, kid)
	}
	if who, err = b.admit(who, expiry, now); err != nil {
		return nil, Identity{}, err
	}
	return pskOf(key, text), who, nil
}

// parsePSKIdentity takes the short form of a token apart. The name may have dots.
func parsePSKIdentity(text string) (who Identity, expiry time.Time, kid string, err error) {
	malformed := func(what string) (Identity, time.Time, string, error) {
		return Identity{}, time.Time{}, "", fmt.Errorf("%w: PSK identity %s", ErrInvalidToken, what)
	}
	if len(text) > maxPSKIdentity {
		return malformed("is too long")
	}
	rest, kid, ok := cutLast(text)
	if !ok || !isID(kid, maxKeyID) {
		return malformed("names no key")
	}
	rest, id, ok := cutLast(rest)
	if !ok || !isID(id, maxLoginID) {
		return malformed("names no login")
	}
	name, end, ok := cutLast(rest)
	seconds, err := strconv.ParseInt(end, 10, 64)
	// Only one way to write a number, and one that a time can be made of.
	if !ok || err != nil || strconv.FormatInt(seconds, 10) != end || seconds < 0 || seconds > 1<<40 {
		return malformed("has no time of expiry")
	}
	if err := checkName(name); err != nil {
		return malformed("names no account")
	}
	return Identity{Name: name, LoginID: id}, time.Unix(seconds, 0), kid, nil
}

// cutLast splits a text at its last dot.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}
