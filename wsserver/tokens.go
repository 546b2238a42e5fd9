package wsserver

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// MaxNameLength is how many bytes the name of an account may have.
	MaxNameLength = 64

	maxToken   = 2048 // bytes
	maxLoginID = 22
	loginBytes = 12 // random, of a LoginID that is issued here: 16 characters
)

// algorithms are those of the keys: a token cannot choose another.
var algorithms = []jose.SignatureAlgorithm{jose.HS256}

// Token is a login, for its owner only.
type Token struct {
	// Text is the token (JWT) itself.
	Text string
	// Identity is whom it belongs to. Expires is without leeway here.
	Identity Identity
	// PSKIdentity and PSK open a DTLS server that asks [BearerAuthenticator.PSK].
	PSKIdentity string
	PSK         []byte
}

// String names the token's owner, and keeps the token.
func (t Token) String() string { return "token of " + t.Identity.Name }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// LogValue keeps the token out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// tokenClaims are the claims of a token.
type tokenClaims struct {
	jwt.Claims
	LoginID  string           `json:"sid"`                 // OpenID Connect
	Since    *jwt.NumericDate `json:"auth_time,omitempty"` // OpenID Connect
	Methods  []string         `json:"amr,omitempty"`       // RFC 8176
	Password string           `json:"pwh,omitempty"`       // fingerprint of the hash
}

// Issue makes a token for somebody who has logged in just now by a method. It lives
// for life, which is rounded up to seconds, and may be MaxLife at most.
func (b *BearerAuthenticator) Issue(name, method string, life time.Duration) (Token, error) {
	now := time.Now()
	return b.issue(newLogin(name, method, now), now, life)
}

// newLogin is the identity of somebody who logs in.
func newLogin(name, method string, now time.Time) Identity {
	return Identity{Name: name, LoginID: randomID(loginBytes), Method: method, Since: now}
}

// issue makes a token for an identity, with a new time of expiry.
func (b *BearerAuthenticator) issue(who Identity, now time.Time, life time.Duration) (Token, error) {
	if err := checkName(who.Name); err != nil {
		return Token{}, err
	}
	if life <= 0 || life > b.config.MaxLife {
		return Token{}, fmt.Errorf("wsserver: a token can live up to %v, not %v", b.config.MaxLife, life)
	}
	key := b.keys.signing()
	who.Since = who.Since.Truncate(time.Second)
	issued := now.Truncate(time.Second)
	who.Expires = now.Add(life + time.Second - 1).Truncate(time.Second)
	options := new(jose.SignerOptions).WithType("JWT").WithHeader("kid", key.id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithms[0], Key: key.secret}, options)
	if err != nil {
		return Token{}, fmt.Errorf("wsserver: cannot sign with key %s: %w", key.id, err)
	}
	text, err := jwt.Signed(signer).Claims(tokenClaims{
		Claims: jwt.Claims{
			Issuer:   b.config.Issuer,
			Audience: jwt.Audience{b.config.Audience},
			Subject:  who.Name,
			Expiry:   jwt.NewNumericDate(who.Expires),
			IssuedAt: jwt.NewNumericDate(issued),
		},
		LoginID:  who.LoginID,
		Since:    jwt.NewNumericDate(who.Since),
		Methods:  []string{who.Method},
		Password: who.password,
	}).Serialize()
	if err != nil {
		return Token{}, fmt.Errorf("wsserver: cannot sign with key %s: %w", key.id, err)
	}
	identity := pskIdentity(who, key.id)
	return Token{Text: text, Identity: who, PSKIdentity: identity, PSK: pskOf(key, identity)}, nil
}

// Verify tells whose a token is. Its error is ErrInvalidToken, ErrExpiredToken or
// ErrRevokedToken, with the details.
func (b *BearerAuthenticator) Verify(token string) (Identity, error) {
	return b.verify(token, time.Now())
}

func (b *BearerAuthenticator) verify(token string, now time.Time) (Identity, error) {
	if len(token) > maxToken || !isCompact(token) {
		return Identity{}, fmt.Errorf("%w: not a token in compact form of at most %d bytes", ErrInvalidToken, maxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrInvalidToken, err)
	}
	id := parsed.Headers[0].KeyID
	key, ok := b.keys.find(id)
	if !ok {
		return Identity{}, fmt.Errorf("%w: unknown key %q", ErrInvalidToken, clip(id))
	}
	var claims tokenClaims
	if err := parsed.Claims(key.secret, &claims); err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrInvalidToken, err)
	}
	who := Identity{Name: claims.Subject, LoginID: claims.LoginID, password: claims.Password}
	switch {
	case claims.Expiry == nil:
		return Identity{}, fmt.Errorf("%w: it never expires", ErrInvalidToken)
	case !isID(claims.LoginID, maxLoginID):
		return Identity{}, fmt.Errorf("%w: no name of the login (sid)", ErrInvalidToken)
	}
	if err := checkName(who.Name); err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrInvalidToken, err)
	}
	// The end is looked at below, to the second.
	expiry := claims.Expiry.Time()
	claims.Expiry = nil
	expected := jwt.Expected{Issuer: b.config.Issuer, AnyAudience: jwt.Audience{b.config.Audience}, Time: now}
	if err := claims.ValidateWithLeeway(expected, b.config.Leeway); err != nil {
		return Identity{}, fmt.Errorf("%w: %v", ErrInvalidToken, err)
	}
	if len(claims.Methods) > 0 {
		who.Method = claims.Methods[0]
	}
	if claims.Since != nil {
		who.Since = claims.Since.Time()
	}
	return b.admit(who, expiry, now)
}

// admit checks what may change after a token was issued: whether it has expired or was
// revoked. It completes the identity.
func (b *BearerAuthenticator) admit(who Identity, expiry, now time.Time) (Identity, error) {
	who.Expires = expiry.Add(b.config.Leeway)
	switch {
	case !now.Before(who.Expires):
		return Identity{}, fmt.Errorf("%w: %q, since %v", ErrExpiredToken, who.Name, expiry.UTC())
	case who.Expires.Sub(now) > b.config.MaxLife+2*b.config.Leeway+time.Second:
		return Identity{}, fmt.Errorf("%w: %q would be good for more than %v", ErrInvalidToken, who.Name, b.config.MaxLife)
	case b.revoked.has(who.LoginID):
		return Identity{}, fmt.Errorf("%w: %q", ErrRevokedToken, who.Name)
	}
	return who, nil
}

// isCompact tells whether a text has three parts in the alphabet of base64url. White
// space is refused, which decoders skip.
func isCompact(token string) bool {
	parts := 0
	for part := range strings.SplitSeq(token, ".") {
		parts++
		if !isID(part, maxToken) {
			return false
		}
	}
	return parts == 3
}

// checkName tells what is wrong with the name of an account: it has 1 to MaxNameLength
// bytes of printable UTF-8, and no space at its ends.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > MaxNameLength:
		return fmt.Errorf("wsserver: name of an account has %d bytes, not 1 to %d", len(name), MaxNameLength)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("wsserver: name %q of an account has characters that cannot be printed", name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("wsserver: name %q of an account begins or ends with a space", name)
	}
	return nil
}
