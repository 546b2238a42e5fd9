package wsserver

import (
	"errors"
	"net/http"
	"time"

	"gdtls/conn"
)

// An Authenticator tells who makes a request, before anything is done for it. An error
// refuses it: one that is [ErrForbidden] with status 403, [ErrUnavailable] with 503, and
// any other with 401. Validate is called by several goroutines at once, once for each
// request that is not refused already; it should be quick, and need no network.
//
// Three more methods are used if an Authenticator has them, as [BearerAuthenticator] has:
//
//	Renewed(now Identity, token string) (Identity, error) // for Connection.Renew
//	StillValid(Identity) error                            // asked again at every ping
//	ConnectRevoked(func(loginID string)) conn.SignalHandlerID
type Authenticator interface {
	Validate(*http.Request) (Identity, error)
}

// AuthenticatorFunc makes a function an Authenticator.
type AuthenticatorFunc func(*http.Request) (Identity, error)

// Validate calls the function.
func (f AuthenticatorFunc) Validate(r *http.Request) (Identity, error) { return f(r) }

type (
	renewer interface {
		Renewed(Identity, string) (Identity, error)
	}
	validator interface{ StillValid(Identity) error }
	revoker   interface {
		ConnectRevoked(func(loginID string)) conn.SignalHandlerID
	}
)

// Identity is who a request or a connection belongs to.
type Identity struct {
	// Name is the account's.
	Name string
	// LoginID names the login for revocation; empty if it cannot be revoked. All tokens
	// that come from one login by renewals have the same.
	LoginID string
	// Expires is when the login ends, leeway included; zero: never.
	Expires time.Time
	// Since is when the person logged in; renewals do not change it. Zero: unknown.
	Since time.Time
	// Method is how the person logged in: MethodPassword, MethodTicket, or what the
	// Authenticator calls it.
	Method string

	// password is the fingerprint of the password's hash at the login, so that a token
	// is not renewed with which somebody has come in by an older password.
	password string
}

// The methods of login, by their names in RFC 8176.
const (
	MethodPassword = "pwd"
	MethodTicket   = "otp"
)

// Errors by which an Authenticator refuses. They are matched by errors.Is.
var (
	// ErrForbidden is for somebody who is known and may not.
	ErrForbidden = errors.New("wsserver: not allowed")
	// ErrUnavailable is for a check that could not be made, such as by a database
	// that is away.
	ErrUnavailable = errors.New("wsserver: cannot be checked now")
	// ErrNoToken is for a request without a token.
	ErrNoToken = errors.New("wsserver: no token: send one in the Authorization header, a subprotocol or the cookie")
	// ErrInvalidToken is for a token that nobody with a known key has issued for this
	// audience, or that is not one.
	ErrInvalidToken = errors.New("wsserver: invalid token")
	// ErrExpiredToken is for a token, or a PSK identity, whose time is over.
	ErrExpiredToken = errors.New("wsserver: expired token")
	// ErrRevokedToken is for a token, or a PSK identity, of a login that was revoked, by
	// logout for instance.
	ErrRevokedToken = errors.New("wsserver: revoked token")
)
