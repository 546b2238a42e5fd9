package datagram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

// IOErrorCode is a code of the domain G_IO_ERROR with Gio's number (G186).
type IOErrorCode int

// The codes that datagram objects and DTLS use.
const (
	CodeFailed             IOErrorCode = 0
	CodeInvalidArgument    IOErrorCode = 13
	CodeNotSupported       IOErrorCode = 15
	CodeClosed             IOErrorCode = 18
	CodeCancelled          IOErrorCode = 19
	CodePending            IOErrorCode = 20
	CodeTimedOut           IOErrorCode = 24
	CodeWouldBlock         IOErrorCode = 27
	CodeHostUnreachable    IOErrorCode = 37
	CodeNetworkUnreachable IOErrorCode = 38
	CodeConnectionRefused  IOErrorCode = 39
	CodeNotInitialized     IOErrorCode = 32
	CodeConnectionClosed   IOErrorCode = 44 // also named G_IO_ERROR_BROKEN_PIPE
	CodeNotConnected       IOErrorCode = 45
	CodeMessageTooLarge    IOErrorCode = 46
)

// String returns Gio's name of the code, such as "G_IO_ERROR_WOULD_BLOCK".
func (c IOErrorCode) String() string {
	if s, ok := codeNames[c]; ok {
		return "G_IO_ERROR_" + s
	}
	return "G_IO_ERROR(" + strconv.Itoa(int(c)) + ")"
}

var codeNames = map[IOErrorCode]string{
	CodeFailed:             "FAILED",
	CodeInvalidArgument:    "INVALID_ARGUMENT",
	CodeNotSupported:       "NOT_SUPPORTED",
	CodeClosed:             "CLOSED",
	CodeCancelled:          "CANCELLED",
	CodePending:            "PENDING",
	CodeTimedOut:           "TIMED_OUT",
	CodeWouldBlock:         "WOULD_BLOCK",
	CodeHostUnreachable:    "HOST_UNREACHABLE",
	CodeNetworkUnreachable: "NETWORK_UNREACHABLE",
	CodeConnectionRefused:  "CONNECTION_REFUSED",
	CodeNotInitialized:     "NOT_INITIALIZED",
	CodeConnectionClosed:   "CONNECTION_CLOSED",
	CodeNotConnected:       "NOT_CONNECTED",
	CodeMessageTooLarge:    "MESSAGE_TOO_LARGE",
}

// IOError is a GError of the domain G_IO_ERROR. It is a net.Error.
//
// errors.Is finds any IOError of the same code, and context.Canceled in a
// CANCELLED, os.ErrDeadlineExceeded in a TIMED_OUT and net.ErrClosed in a
// CLOSED, beside the cause that Err holds. An IOError does not change once it
// is made.
type IOError struct {
	Code    IOErrorCode
	Message string // the whole text, the cause included
	Err     error  // the cause, nil if there is none
}

// The errors of each code, for use with errors.Is. They are also returned
// where there is nothing more to say.
var (
	ErrFailed             = &IOError{Code: CodeFailed, Message: "the operation failed"}
	ErrInvalidArgument    = &IOError{Code: CodeInvalidArgument, Message: "invalid argument"}
	ErrNotSupported       = &IOError{Code: CodeNotSupported, Message: "the operation is not supported"}
	ErrClosed             = &IOError{Code: CodeClosed, Message: "already closed"}
	ErrCancelled          = &IOError{Code: CodeCancelled, Message: "the operation was cancelled"}
	ErrPending            = &IOError{Code: CodePending, Message: "another operation is pending"}
	ErrTimedOut           = &IOError{Code: CodeTimedOut, Message: "the operation timed out"}
	ErrWouldBlock         = &IOError{Code: CodeWouldBlock, Message: "the operation would block"}
	ErrNotInitialized     = &IOError{Code: CodeNotInitialized, Message: "the object is not initialized"}
	ErrConnectionClosed   = &IOError{Code: CodeConnectionClosed, Message: "the peer closed the connection"}
	ErrNotConnected       = &IOError{Code: CodeNotConnected, Message: "not connected"}
	ErrMessageTooLarge    = &IOError{Code: CodeMessageTooLarge, Message: "the message is too large"}
	ErrHostUnreachable    = &IOError{Code: CodeHostUnreachable, Message: "the host is unreachable"}
	ErrNetworkUnreachable = &IOError{Code: CodeNetworkUnreachable, Message: "the network is unreachable"}
	ErrConnectionRefused  = &IOError{Code: CodeConnectionRefused, Message: "the peer refused: nothing listens at its address"}
)

// ErrBrokenPipe is Gio's other name for ErrConnectionClosed.
var ErrBrokenPipe = ErrConnectionClosed

var _ net.Error = (*IOError)(nil)

// NewError returns an error with a formatted message. A cause given with the
// verb %w unwraps.
func NewError(code IOErrorCode, format string, args ...any) *IOError {
	e := fmt.Errorf(format, args...)
	cause := errors.Unwrap(e)
	if _, several := e.(interface{ Unwrap() []error }); several {
		cause = e
	}
	return &IOError{Code: code, Message: e.Error(), Err: cause}
}

// WrapError returns an error whose message is doing, a colon and the cause's,
// and which unwraps to the cause.
func WrapError(code IOErrorCode, cause error, doing string) *IOError {
	return &IOError{Code: code, Message: doing + ": " + cause.Error(), Err: cause}
}

// ErrorFromContext returns the CANCELLED of a context that is done. It unwraps
// to the context's error and to its cause.
func ErrorFromContext(ctx context.Context) *IOError {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err != nil && cause != nil && !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	if err == nil {
		return ErrCancelled
	}
	return WrapError(CodeCancelled, err, ErrCancelled.Message)
}

// ErrorFromSystem turns an error of the operating system or of package net into
// an IOError of the code that Gio gives it (g_io_error_from_errno), FAILED if
// there is none. The message begins with doing, and the cause unwraps. An
// IOError is returned as it is, nil as nil.
func ErrorFromSystem(err error, doing string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*IOError](err); ok {
		return e
	}
	code := CodeFailed
	switch netErr, isNet := errors.AsType[net.Error](err); {
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		code = CodeClosed
	case errors.Is(err, os.ErrDeadlineExceeded), isNet && netErr.Timeout() && !isErrno(err):
		code = CodeTimedOut
	case errors.Is(err, net.ErrWriteToConnected):
		code = CodeInvalidArgument
	default:
		code = codeOfErrno(err)
	}
	if code == CodeNotConnected {
		return &IOError{Code: code, Err: err, Message: doing + ": " + err.Error() +
			"; set the message's address or connect the socket"}
	}
	return WrapError(code, err, doing)
}

// Error returns the message.
func (e *IOError) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *IOError) Unwrap() error { return e.Err }

// Is reports whether target is an IOError of the same code, or the standard
// library's error for it.
func (e *IOError) Is(target error) bool {
	if t, ok := target.(*IOError); ok {
		return t.Code == e.Code
	}
	switch e.Code {
	case CodeTimedOut:
		return target == os.ErrDeadlineExceeded
	case CodeClosed:
		return target == net.ErrClosed
	case CodeCancelled:
		return e.Err == nil && target == context.Canceled
	}
	return false
}

// Timeout reports whether time ran out: the call's timeout, or the context's
// deadline.
func (e *IOError) Timeout() bool {
	return e.Code == CodeTimedOut || e.Code == CodeCancelled && errors.Is(e.Err, context.DeadlineExceeded)
}

// Temporary reports whether the same call may succeed when made again without
// anything else changing.
func (e *IOError) Temporary() bool {
	return e.Code == CodeTimedOut || e.Code == CodeWouldBlock || e.Code == CodePending
}
