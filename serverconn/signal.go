package serverconn

import (
	"gdtls/conn"
	sig "gdtls/internal/signal"
)

// signal is one of an object's signals, and signalIDs numbers the handlers of all.
type (
	signal[F any] = sig.Signal[F, conn.SignalHandlerID]
	signalIDs     = sig.IDs[conn.SignalHandlerID]
)
