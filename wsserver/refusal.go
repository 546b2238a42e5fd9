package wsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Refusal is a request that was refused, for the signal refused. It holds nothing that
// is secret.
type Refusal struct {
	Address netip.Addr // of the client; zero if unknown
	Origin  string     // what its browser says; may be any text
	Status  int        // of HTTP, as it was answered
	Reason  error      // is told to nobody else
}

// Reasons of refusals that are not an Authenticator's.
var (
	errTooMany    = errors.New("too many requests from this address")
	errNotUpgrade = errors.New("not a WebSocket request")
	errOrigin     = errors.New("page of another origin")
	errPaused     = errors.New("accepting is paused")
	errClosed     = errors.New("server is closed")
	errMaxOpen    = errors.New("maximum number of open connections is reached")
	errMaxPending = errors.New("maximum number of pending connections is reached: the application does not accept them")
	errNobodyAsks = errors.New("server has no Authenticator")
)

// Header values that all answers share, so that a refusal allocates none.
var (
	valueClose   = []string{"close"}
	valueNoStore = []string{"no-store"}
	valueText    = []string{"text/plain; charset=utf-8"}
	valueNosniff = []string{"nosniff"}
	valueSoon    = []string{"1"}
	valueUpgrade = []string{"websocket"}
	value13      = []string{"13"}
)

// writeRefusal answers with a status and its name, and ends the TCP connection: who is
// refused keeps nothing.
func writeRefusal(w http.ResponseWriter, status int, challenge []string) {
	h := w.Header()
	h["Cache-Control"] = valueNoStore
	h["Content-Type"] = valueText
	h["X-Content-Type-Options"] = valueNosniff
	h["Connection"] = valueClose
	switch status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = challenge
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h["Retry-After"] = valueSoon
	case http.StatusUpgradeRequired:
		h["Upgrade"] = valueUpgrade
		h["Sec-Websocket-Version"] = value13
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, http.StatusText(status)) // if it fails, the client is gone
}

// statusOf is the answer to what an Authenticator says.
func statusOf(reason error) int {
	switch {
	case errors.Is(reason, ErrForbidden):
		return http.StatusForbidden
	case errors.Is(reason, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// refusalLog writes at most refusalsPerSecond lines a second, and tells how many it
// left out, so that whoever is refused cannot fill the disk.
type refusalLog struct {
	logger *slog.Logger // nil: none

	mu      sync.Mutex
	second  time.Time // when the count began
	written int
	omitted int
}

const refusalsPerSecond = 10

// tell writes a line about a refusal.
func (l *refusalLog) tell(r Refusal, now time.Time) {
	if l.logger == nil || !l.logger.Enabled(context.Background(), slog.LevelWarn) {
		return
	}
	l.mu.Lock()
	omitted := 0
	if elapsed := now.Sub(l.second); elapsed < 0 || elapsed >= time.Second {
		omitted = l.omitted
		l.second, l.written, l.omitted = now, 0, 0
	}
	l.written++
	skip := l.written > refusalsPerSecond
	if skip {
		l.omitted++
	}
	l.mu.Unlock()
	if omitted > 0 {
		l.logger.Warn("further requests were refused", "count", omitted)
	}
	if !skip {
		l.logger.Warn("request refused", "address", r.Address, "origin", clip(r.Origin), "status", r.Status, "reason", r.Reason)
	}
}

// clip shortens what a stranger says for the log.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return fmt.Sprintf("%s... (%d bytes)", s[:most], len(s))
	}
	return s
}
