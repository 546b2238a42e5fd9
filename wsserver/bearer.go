package wsserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gdtls/conn"
)

// The defaults of a BearerConfig.
const (
	DefaultIssuer     = "gdtls"
	DefaultAudience   = "gdtls"
	DefaultCookieName = "gdtls_token"
	DefaultLeeway     = 5 * time.Second
	DefaultMaxLife    = 24 * time.Hour
)

// subprotocolPrefix begins the subprotocol that is a token.
const subprotocolPrefix = "bearer."

// BearerConfig says which tokens a [BearerAuthenticator] takes and issues.
type BearerConfig struct {
	// Keys sign the tokens.
	Keys *Keys
	// Issuer is the claim iss, Audience is in the claim aud. Empty: DefaultIssuer,
	// DefaultAudience.
	Issuer, Audience string
	// Leeway is how far clocks may differ between those who issue and those who check;
	// 0: DefaultLeeway, negative: not at all.
	Leeway time.Duration
	// MaxLife is how long a token may live: none is issued that lives longer, and none
	// is taken that will. So a revocation is forgotten after this time. 0:
	// DefaultMaxLife.
	MaxLife time.Duration
	// Revocations keep the logins that were revoked; nil: those are forgotten with the
	// program.
	Revocations Revocations
	// CookieName is the cookie's; empty: DefaultCookieName.
	CookieName string
	// Origins are further origins whose pages may use the cookie, besides the server's
	// own.
	Origins []string
}

// BearerAuthenticator is the [Authenticator] of signed tokens (JWT). A request brings
// one in one of three places, and the first that is there counts:
//
//   - the header Authorization: Bearer TOKEN;
//   - a subprotocol bearer.TOKEN beside the real one, for pages, which cannot set headers:
//     new WebSocket(url, ["chat", "bearer." + token]);
//   - the cookie of [Login], if the browser says that the page is of the same origin.
//
// Tokens are signed by HMAC with SHA-256 (HS256) and no other way.
type BearerAuthenticator struct {
	config  BearerConfig // with its defaults
	keys    *Keys
	revoked revocationList

	signalIDs signalIDs
	signals   struct{ revoked signal[func(loginID string)] }
}

// NewBearerAuthenticator makes one, and reads the revocations.
func NewBearerAuthenticator(ctx context.Context, config BearerConfig) (*BearerAuthenticator, error) {
	if config.Keys == nil {
		return nil, errors.New("wsserver: a BearerAuthenticator needs Keys, such as NewKeys makes")
	}
	config.Issuer = cmp.Or(config.Issuer, DefaultIssuer)
	config.Audience = cmp.Or(config.Audience, DefaultAudience)
	config.CookieName = cmp.Or(config.CookieName, DefaultCookieName)
	if !isID(config.CookieName, 64) {
		return nil, fmt.Errorf("wsserver: %q is no name of a cookie: it has letters, digits, - and _", config.CookieName)
	}
	if config.Leeway == 0 {
		config.Leeway = DefaultLeeway
	}
	config.Leeway = max(config.Leeway, 0)
	setDefault(&config.MaxLife, DefaultMaxLife)
	if config.Revocations == nil {
		config.Revocations = new(MemoryRevocations)
	}
	config.Origins = slices.Clone(config.Origins)
	b := &BearerAuthenticator{config: config, keys: config.Keys}
	if err := b.Reload(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// ConnectRevoked connects a handler that is told of each login that is revoked. A
// [WebSocketServer] closes the login's connections by itself.
func (b *BearerAuthenticator) ConnectRevoked(call func(loginID string)) conn.SignalHandlerID {
	return b.signals.revoked.Connect(&b.signalIDs, call)
}

// Disconnect removes a handler. One that is running is not waited for.
func (b *BearerAuthenticator) Disconnect(id conn.SignalHandlerID) {
	b.signals.revoked.Disconnect(&b.signalIDs, id)
}

// Validate tells who makes a request, by its token.
func (b *BearerAuthenticator) Validate(r *http.Request) (Identity, error) {
	token, err := b.find(r)
	if err != nil {
		return Identity{}, err
	}
	return b.Verify(token)
}

// Renewed checks the token that is to replace a login: it must be the same person's.
func (b *BearerAuthenticator) Renewed(now Identity, token string) (Identity, error) {
	next, err := b.Verify(token)
	if err != nil {
		return Identity{}, err
	}
	if next.Name != now.Name {
		return Identity{}, fmt.Errorf("%w: token is another person's", ErrForbidden)
	}
	return next, nil
}

// StillValid tells whether a login was revoked.
func (b *BearerAuthenticator) StillValid(who Identity) error {
	if b.revoked.has(who.LoginID) {
		return ErrRevokedToken
	}
	return nil
}

// find gives the token of a request.
func (b *BearerAuthenticator) find(r *http.Request) (string, error) {
	if values := r.Header["Authorization"]; len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return "", fmt.Errorf("%w: Authorization must be one Bearer token", ErrInvalidToken)
		}
		return token, nil
	}
	for _, value := range r.Header["Sec-Websocket-Protocol"] {
		for entry := range strings.SplitSeq(value, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(entry), subprotocolPrefix); ok {
				return token, nil
			}
		}
	}
	return b.cookie(r)
}

// cookie gives the token of a request's cookie.
func (b *BearerAuthenticator) cookie(r *http.Request) (string, error) {
	cookies := r.CookiesNamed(b.config.CookieName)
	switch {
	case len(cookies) == 0:
		return "", ErrNoToken
	case len(cookies) > 1:
		return "", fmt.Errorf("%w: cookie is there more than once", ErrInvalidToken)
	case provenanceOf(r, b.config.Origins) != samePage:
		return "", fmt.Errorf("%w: cookie of a request that no page of this server has made", ErrForbidden)
	}
	return cookies[0].Value, nil
}
