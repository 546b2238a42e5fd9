package conn

import "fmt"

// EngineErrorCode tells what kind of failure an engine met (QDtlsError, Q036-Q038).
type EngineErrorCode int

// The kinds. Qt's UnderlyingSocketError cannot be, since an engine has no socket.
const (
	EngineNoError EngineErrorCode = iota
	// EngineInvalidInputParameters: an argument is wrong.
	EngineInvalidInputParameters
	// EngineInvalidOperation: not possible in this state.
	EngineInvalidOperation
	// EngineRemoteClosedConnection: the peer's close_notify was received.
	EngineRemoteClosedConnection
	// EnginePeerVerification: something is wrong with the peer's certificate.
	EnginePeerVerification
	// EngineTlsInitialization: the handshake could not begin.
	EngineTlsInitialization
	// EngineTlsFatal: the association is over.
	EngineTlsFatal
	// EngineTlsNonFatal: what was received is of no use; the association goes on.
	EngineTlsNonFatal
)

var engineErrorNames = [...]string{"NoError", "InvalidInputParameters", "InvalidOperation", "RemoteClosedConnectionError",
	"PeerVerificationError", "TlsInitializationError", "TlsFatalError", "TlsNonFatalError"}

// String gives the name of Qt's member.
func (c EngineErrorCode) String() string {
	if c < 0 || int(c) >= len(engineErrorNames) {
		return fmt.Sprintf("QDtlsError(%d)", int(c))
	}
	return engineErrorNames[c]
}

// EngineError is the error of all methods of an engine.
type EngineError struct {
	Code EngineErrorCode
	// Message is the whole text for people, the cause included.
	Message string
	// Err is the underlying error, or nil: that of the connection.
	Err error
}

// Error gives Message.
func (e *EngineError) Error() string { return e.Message }

// Unwrap gives Err.
func (e *EngineError) Unwrap() error { return e.Err }

func newEngineError(code EngineErrorCode, cause error, format string, args ...any) *EngineError {
	e := &EngineError{Code: code, Message: fmt.Sprintf(format, args...), Err: cause}
	if cause != nil {
		e.Message += ": " + cause.Error()
	}
	return e
}
