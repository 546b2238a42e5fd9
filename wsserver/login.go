package wsserver

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// The defaults of a LoginConfig.
const (
	DefaultLife            = time.Hour
	DefaultMaxSession      = 30 * 24 * time.Hour
	DefaultTicketLife      = 10 * time.Minute
	DefaultLoginsPerSecond = 1
	DefaultLoginBurst      = 60 // a class behind one address
)

// LoginConfig says how a [Login] works.
type LoginConfig struct {
	// Accounts know the passwords; nil: only tickets let in.
	Accounts Accounts
	// Life is how long a token lives, at most the MaxLife of the BearerAuthenticator;
	// 0: DefaultLife.
	Life time.Duration
	// MaxSession is how long after the login tokens can be renewed; 0:
	// DefaultMaxSession.
	MaxSession time.Duration
	// TicketLife is how long a ticket may be used; 0: DefaultTicketLife.
	TicketLife time.Duration
	// LoginsPerSecond and LoginBurst are how many requests to log in an address (an
	// IPv4 address, or the /64 of an IPv6 address) may make. 0: DefaultLoginsPerSecond
	// and DefaultLoginBurst; LoginsPerSecond negative: no limit.
	LoginsPerSecond float64
	LoginBurst      int
	// ClientAddress is as in [Config].
	ClientAddress func(*http.Request) netip.Addr
	// Secure marks the cookie as one for HTTPS only, even on requests without TLS, for
	// servers behind a proxy that has it. With TLS it is always marked.
	Secure bool
	// Logger is told of logins, refusals and locked accounts; nil: nobody is.
	Logger *slog.Logger
}

// Login gives tokens to those who know a password or have a ticket. Its methods whose
// names begin with Serve are handlers of HTTP for the method POST; Handler mounts them
// at their usual paths.
//
// All take and give JSON. Requests whose Content-Type is another, or that a page of
// another origin has made, are refused: a form of another page can do nothing. All
// refusals of a login look alike.
type Login struct {
	bearer  *BearerAuthenticator
	config  LoginConfig // with its defaults
	rate    *rateLimiter
	lockout *lockout
	checker *passwordChecker
	tickets tickets
	log     refusalLog
}

// NewLogin makes a Login that gives tokens of bearer.
func NewLogin(bearer *BearerAuthenticator, config LoginConfig) *Login {
	setDefault(&config.Life, DefaultLife)
	config.Life = min(config.Life, bearer.config.MaxLife)
	setDefault(&config.MaxSession, DefaultMaxSession)
	setDefault(&config.TicketLife, DefaultTicketLife)
	setDefaultRate(&config.LoginsPerSecond, &config.LoginBurst, DefaultLoginsPerSecond, DefaultLoginBurst)
	if config.ClientAddress == nil {
		config.ClientAddress = remoteAddress
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Login{
		bearer:  bearer,
		config:  config,
		rate:    newRateLimiter(config.LoginsPerSecond, config.LoginBurst),
		lockout: newLockout(),
		checker: newPasswordChecker(),
		log:     refusalLog{logger: config.Logger},
	}
}

// Handler serves POST /login, /login/once, /logout and /renew.
func (l *Login) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", l.ServeLogin)
	mux.HandleFunc("POST /login/once", l.ServeOnce)
	mux.HandleFunc("POST /logout", l.ServeLogout)
	mux.HandleFunc("POST /renew", l.ServeRenew)
	return mux
}

// NewTicket makes a ticket that ServeOnce takes instead of a password, once: for a link
// that a program prints for the person at its terminal. The link should carry it behind
// a "#", which browsers send to nobody, and the page should post it.
func (l *Login) NewTicket(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	return l.tickets.add(name, time.Now(), l.config.TicketLife), nil
}

// grant is the answer to who may come in.
type grant struct {
	Token       string `json:"token"`
	Expires     int64  `json:"expires"` // in seconds since 1970
	PSKIdentity string `json:"psk_identity"`
	PSK         string `json:"psk"` // in hex
}

// Reasons why a login is refused.
var (
	errOtherPage   = fmt.Errorf("%w: page of another origin", ErrForbidden)
	errManyLogins  = errors.New("too many logins from this address")
	errLocked      = errors.New("account is locked")
	errPassword    = errors.New("wrong password, or no such account")
	errTicket      = errors.New("no such ticket, or it has expired")
	errNoAccounts  = errors.New("there are no accounts: only tickets let in")
	errSessionOver = errors.New("login is too old to be renewed")

	errOtherPassword = errors.New("account is gone, or has another password now")
)

// ServeLogin takes {"username": NAME, "password": PASSWORD} and gives {"token",
// "expires", "psk_identity", "psk"}; expires is in seconds since 1970, psk in hex. It
// sets the cookie, too.
func (l *Login) ServeLogin(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if !l.read(w, r, &body) {
		return
	}
	hash, err := l.checkPassword(r.Context(), body.Username, body.Password)
	if err != nil {
		l.refuse(w, r, body.Username, err)
		return
	}
	who := newLogin(body.Username, MethodPassword, time.Now())
	who.password = fingerprint(hash)
	l.grantTo(w, r, who)
}

// checkPassword gives the hash that the password belongs to, or tells why somebody may
// not come in.
func (l *Login) checkPassword(ctx context.Context, name, password string) (hash string, err error) {
	if l.config.Accounts == nil {
		return "", errNoAccounts
	}
	if checkName(name) != nil || len(password) > MaxPasswordLength {
		return "", errPassword
	}
	attempt, ok := l.lockout.begin(name, time.Now())
	if !ok {
		return "", errLocked
	}
	hash, err = l.config.Accounts.PasswordHash(ctx, name)
	if err != nil {
		l.lockout.withdraw(attempt)
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	good, err := l.checker.check(ctx, hash, password)
	switch {
	case err != nil:
		l.lockout.withdraw(attempt)
		return "", err
	case good:
		l.lockout.succeeded(attempt)
		return hash, nil
	case attempt.lock > 0:
		return "", fmt.Errorf("%w: account is locked for %v", errPassword, attempt.lock)
	}
	return "", errPassword
}

// ServeOnce takes {"ticket": TICKET} and answers as ServeLogin does.
func (l *Login) ServeOnce(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Ticket string `json:"ticket"`
	}
	if !l.read(w, r, &body) {
		return
	}
	name, ok := l.tickets.use(body.Ticket, time.Now())
	if !ok {
		l.refuse(w, r, "", errTicket)
		return
	}
	l.grantTo(w, r, newLogin(name, MethodTicket, time.Now()))
}

// ServeRenew takes {} with a token, wherever a [BearerAuthenticator] finds it, and
// answers as ServeLogin does, with a token that lives as long again. The old one stays
// good until it expires. A login by a password is not renewed when the account is gone
// or has another password.
func (l *Login) ServeRenew(w http.ResponseWriter, r *http.Request) {
	if !l.read(w, r, new(struct{})) {
		return
	}
	who, err := l.bearer.Validate(r)
	if err == nil {
		err = l.mayRenew(r.Context(), who)
	}
	if err != nil {
		l.refuse(w, r, who.Name, err)
		return
	}
	l.grantTo(w, r, who)
}

// mayRenew tells why a login may not be renewed: it is too old, its account is gone, or
// has another password.
func (l *Login) mayRenew(ctx context.Context, who Identity) error {
	if time.Since(who.Since) > l.config.MaxSession {
		return errSessionOver
	}
	if who.Method != MethodPassword || l.config.Accounts == nil {
		return nil
	}
	hash, err := l.config.Accounts.PasswordHash(ctx, who.Name)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case hash == "" || fingerprint(hash) != who.password:
		return errOtherPassword
	}
	return nil
}

// ServeLogout takes {} with a token, revokes all tokens of that login, and takes the
// cookie away. It is answered by status 204, or by 503 if the revocation holds but could not be written
// down.
func (l *Login) ServeLogout(w http.ResponseWriter, r *http.Request) {
	if !l.read(w, r, new(struct{})) {
		return
	}
	who, err := l.bearer.Validate(r)
	if err != nil {
		l.refuse(w, r, "", err)
		return
	}
	l.setCookie(w, r, "", -1)
	if err := l.bearer.Revoke(r.Context(), who.LoginID); err != nil {
		l.refuse(w, r, who.Name, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	l.config.Logger.Info("logged out", "name", who.Name)
	w.Header()["Cache-Control"] = valueNoStore
	w.WriteHeader(http.StatusNoContent)
}

// grantTo gives a token.
func (l *Login) grantTo(w http.ResponseWriter, r *http.Request, who Identity) {
	now := time.Now()
	token, err := l.bearer.issue(who, now, l.config.Life)
	if err != nil {
		l.refuse(w, r, who.Name, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	body, err := json.Marshal(grant{
		Token:       token.Text,
		Expires:     token.Identity.Expires.Unix(),
		PSKIdentity: token.PSKIdentity,
		PSK:         hex.EncodeToString(token.PSK),
	})
	if err != nil {
		l.refuse(w, r, who.Name, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	l.config.Logger.Info("logged in", "name", who.Name, "method", who.Method, "address", l.config.ClientAddress(r))
	l.setCookie(w, r, token.Text, int(token.Identity.Expires.Sub(now)/time.Second))
	writeJSON(w, http.StatusOK, body)
}

// setCookie sets the cookie for so many seconds, or takes it away if those are negative.
func (l *Login) setCookie(w http.ResponseWriter, r *http.Request, token string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name:     l.bearer.config.CookieName,
		Value:    token,
		Path:     "/",
		MaxAge:   seconds,
		Secure:   l.config.Secure || r.TLS != nil,
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	})
}
