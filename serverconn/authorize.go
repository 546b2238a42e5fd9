package serverconn

import (
	"slices"
	"sync"
	"sync/atomic"

	"gdtls/conn"
)

// AuthorizeHandler judges a client by its hello. An error refuses it.
type AuthorizeHandler func(hello *ClientHello) error

// authorization holds the handlers of the signal authorize.
type authorization struct {
	mu       sync.Mutex // held while handlers is replaced
	last     conn.SignalHandlerID
	handlers atomic.Pointer[[]authorizer] // what it points to is not changed
}

type authorizer struct {
	id   conn.SignalHandlerID
	call AuthorizeHandler
}

func (a *authorization) change(change func([]authorizer) []authorizer) {
	var next []authorizer
	if now := a.handlers.Load(); now != nil {
		next = slices.Clone(*now)
	}
	next = change(next)
	a.handlers.Store(&next)
}

// ConnectAuthorize connects a handler that may refuse a client before it costs
// anything: it is called with a hello whose cookie was right, before anything is
// kept about the client and before any operation with a key. If a handler returns an
// error, the client gets the alert access_denied and is counted as Unauthorized.
//
// Handlers run on the goroutine that reads for all peers, so they must not wait for
// anything. What needs time belongs into the listener's function that configures
// connections, which runs for each handshake by itself.
func (l *DtlsListener) ConnectAuthorize(call AuthorizeHandler) conn.SignalHandlerID {
	a := &l.authorization
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	a.change(func(h []authorizer) []authorizer { return append(h, authorizer{a.last, call}) })
	return a.last
}

// Disconnect removes a handler of ConnectAuthorize. One that is running is not
// waited for.
func (l *DtlsListener) Disconnect(id conn.SignalHandlerID) {
	a := &l.authorization
	a.mu.Lock()
	defer a.mu.Unlock()
	a.change(func(h []authorizer) []authorizer {
		return slices.DeleteFunc(h, func(h authorizer) bool { return h.id == id })
	})
}

// allow asks the handlers.
func (a *authorization) allow(hello *ClientHello) bool {
	handlers := a.handlers.Load()
	if handlers == nil {
		return true
	}
	for _, h := range *handlers {
		if h.call(hello) != nil {
			return false
		}
	}
	return true
}
