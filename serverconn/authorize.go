package serverconn

import "gdtls/conn"

// AuthorizeHandler judges a client by its hello. An error refuses it.
type AuthorizeHandler func(hello *ClientHello) error

// ConnectAuthorize connects a handler that may refuse a client before it costs
// anything: it is called with a hello whose address is verified, before anything is
// kept about the client and before any operation with a key. If a handler returns an
// error, the client gets the alert access_denied and is counted as Unauthorized.
//
// Handlers run on the goroutine that reads for all peers, so they must not wait for
// anything. What needs time belongs into the listener's function that configures
// connections, which runs for each handshake by itself.
func (l *DtlsListener) ConnectAuthorize(call AuthorizeHandler) conn.SignalHandlerID {
	return l.authorize.Connect(&l.signalIDs, call)
}

// Disconnect removes a handler of ConnectAuthorize. One that is running is not
// waited for.
func (l *DtlsListener) Disconnect(id conn.SignalHandlerID) {
	l.authorize.Disconnect(&l.signalIDs, id)
}

// authorized asks the handlers.
func (l *DtlsListener) authorized(hello *ClientHello) bool {
	for call := range l.authorize.Calls() {
		if call(hello) != nil {
			return false
		}
	}
	return true
}
