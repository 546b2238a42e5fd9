package conn

import (
	"fmt"
	"strconv"
)

// ChannelBindingErrorCode tells why there is no channel binding data. The numbers are
// those of Gio's GTlsChannelBindingError (G179).
type ChannelBindingErrorCode int

// The codes of GTlsChannelBindingError.
const (
	// ChannelBindingNotImplemented: this kind of binding is not known
	// (G_TLS_CHANNEL_BINDING_ERROR_NOT_IMPLEMENTED).
	ChannelBindingNotImplemented ChannelBindingErrorCode = 0
	// ChannelBindingInvalidState: the handshake is not complete
	// (G_TLS_CHANNEL_BINDING_ERROR_INVALID_STATE).
	ChannelBindingInvalidState ChannelBindingErrorCode = 1
	// ChannelBindingNotAvailable: the handshake is complete, but has no such data
	// (G_TLS_CHANNEL_BINDING_ERROR_NOT_AVAILABLE).
	ChannelBindingNotAvailable ChannelBindingErrorCode = 2
	// ChannelBindingNotSupported: the binding is not defined for this connection
	// (G_TLS_CHANNEL_BINDING_ERROR_NOT_SUPPORTED).
	ChannelBindingNotSupported ChannelBindingErrorCode = 3
	// ChannelBindingGeneralError: another failure
	// (G_TLS_CHANNEL_BINDING_ERROR_GENERAL_ERROR).
	ChannelBindingGeneralError ChannelBindingErrorCode = 4
)

// String gives the name of Gio's member, such as
// G_TLS_CHANNEL_BINDING_ERROR_INVALID_STATE.
func (c ChannelBindingErrorCode) String() string {
	const prefix = "G_TLS_CHANNEL_BINDING_ERROR"
	names := [...]string{"NOT_IMPLEMENTED", "INVALID_STATE", "NOT_AVAILABLE", "NOT_SUPPORTED", "GENERAL_ERROR"}
	if c < 0 || int(c) >= len(names) {
		return prefix + "(" + strconv.Itoa(int(c)) + ")"
	}
	return prefix + "_" + names[c]
}

// ChannelBindingError is an error of Gio's G_TLS_CHANNEL_BINDING_ERROR domain. Tell
// kinds apart with errors.Is and the sentinels below, or by Code after errors.As.
type ChannelBindingError struct {
	// Code is the kind of the failure.
	Code ChannelBindingErrorCode
	// Message is the whole text for people.
	Message string
}

// Sentinels for errors.Is, one for each code. They match by Code alone.
var (
	ErrChannelBindingNotImplemented = &ChannelBindingError{ChannelBindingNotImplemented, "channel binding is not implemented"}
	ErrChannelBindingInvalidState   = &ChannelBindingError{ChannelBindingInvalidState, "handshake is not finished"}
	ErrChannelBindingNotAvailable   = &ChannelBindingError{ChannelBindingNotAvailable, "channel binding data is not available"}
	ErrChannelBindingNotSupported   = &ChannelBindingError{ChannelBindingNotSupported, "channel binding is not supported here"}
	ErrChannelBindingGeneralError   = &ChannelBindingError{ChannelBindingGeneralError, "channel binding failed"}
)

func newChannelBindingError(code ChannelBindingErrorCode, format string, args ...any) *ChannelBindingError {
	return &ChannelBindingError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error gives the message.
func (e *ChannelBindingError) Error() string { return e.Message }

// Is reports whether target is a ChannelBindingError of the same code.
func (e *ChannelBindingError) Is(target error) bool {
	t, ok := target.(*ChannelBindingError)
	return ok && t.Code == e.Code
}
