package wsserver

import (
	"gdtls/conn"
	sig "gdtls/internal/signal"
)

// signal is one of an object's signals, and signalIDs numbers the handlers of all.
type (
	signal[F any] = sig.Signal[F, conn.SignalHandlerID]
	signalIDs     = sig.IDs[conn.SignalHandlerID]
)

// serverSignals are the signals of a server.
type serverSignals struct {
	newConnection, closed        signal[func()]
	originAuthenticationRequired signal[func(*CorsAuthenticator)]
	refused                      signal[func(Refusal)]
	serverError                  signal[func(error)]
}

// ConnectNewConnection connects a handler that is told when NextPendingConnection has
// one more to give.
func (s *WebSocketServer) ConnectNewConnection(call func()) conn.SignalHandlerID {
	return s.signals.newConnection.Connect(&s.signalIDs, call)
}

// ConnectOriginAuthenticationRequired connects a handler that may allow or forbid the
// origin of a page. The handlers are asked one after another, each with the answer so
// far.
func (s *WebSocketServer) ConnectOriginAuthenticationRequired(call func(*CorsAuthenticator)) conn.SignalHandlerID {
	return s.signals.originAuthenticationRequired.Connect(&s.signalIDs, call)
}

// ConnectRefused connects a handler to the refusals, which holds up the answer.
func (s *WebSocketServer) ConnectRefused(call func(Refusal)) conn.SignalHandlerID {
	return s.signals.refused.Connect(&s.signalIDs, call)
}

// ConnectServerError connects a handler to what goes wrong with the server itself.
func (s *WebSocketServer) ConnectServerError(call func(error)) conn.SignalHandlerID {
	return s.signals.serverError.Connect(&s.signalIDs, call)
}

// ConnectClosed connects a handler that is told when the server has stopped listening.
func (s *WebSocketServer) ConnectClosed(call func()) conn.SignalHandlerID {
	return s.signals.closed.Connect(&s.signalIDs, call)
}

// Disconnect removes a handler. One that is running is not waited for.
func (s *WebSocketServer) Disconnect(id conn.SignalHandlerID) {
	g, ids := &s.signals, &s.signalIDs
	g.newConnection.Disconnect(ids, id)
	g.closed.Disconnect(ids, id)
	g.originAuthenticationRequired.Disconnect(ids, id)
	g.refused.Disconnect(ids, id)
	g.serverError.Disconnect(ids, id)
}
