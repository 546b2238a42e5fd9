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
