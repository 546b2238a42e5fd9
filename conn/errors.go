package conn

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// TlsErrorCode tells what kind of TLS failure a [TlsError] reports. The
// numbers are those of Gio's GTlsError (G174, G175).
type TlsErrorCode int

// The codes of GTlsError.
const (
	// TlsErrorUnavailable: no TLS support is available
	// (G_TLS_ERROR_UNAVAILABLE).
	TlsErrorUnavailable TlsErrorCode = 0
	// TlsErrorMisc: a TLS failure that has no code of its own
	// (G_TLS_ERROR_MISC).
	TlsErrorMisc TlsErrorCode = 1
	// TlsErrorBadCertificate: a certificate could not be parsed, or was not
	// accepted (G_TLS_ERROR_BAD_CERTIFICATE).
	TlsErrorBadCertificate TlsErrorCode = 2
	// TlsErrorNotTLS: the peer does not seem to speak DTLS
	// (G_TLS_ERROR_NOT_TLS).
	TlsErrorNotTLS TlsErrorCode = 3
	// TlsErrorHandshake: the peer did not accept our certificate
	// (G_TLS_ERROR_HANDSHAKE).
	TlsErrorHandshake TlsErrorCode = 4
	// TlsErrorCertificateRequired: the server asked for a client certificate
	// and got none (G_TLS_ERROR_CERTIFICATE_REQUIRED).
	TlsErrorCertificateRequired TlsErrorCode = 5
	// TlsErrorEOF: the connection ended without a close_notify, which may be
	// an attack (G_TLS_ERROR_EOF).
	TlsErrorEOF TlsErrorCode = 6
	// TlsErrorInappropriateFallback: the peer saw the fallback signalling
	// suite of RFC 7507 without need (G_TLS_ERROR_INAPPROPRIATE_FALLBACK).
	TlsErrorInappropriateFallback TlsErrorCode = 7
	// TlsErrorBadCertificatePassword: a password did not open a certificate's
	// container (G_TLS_ERROR_BAD_CERTIFICATE_PASSWORD).
	TlsErrorBadCertificatePassword TlsErrorCode = 8
)

var tlsErrorNames = [...]string{
	TlsErrorUnavailable:            "G_TLS_ERROR_UNAVAILABLE",
	TlsErrorMisc:                   "G_TLS_ERROR_MISC",
	TlsErrorBadCertificate:         "G_TLS_ERROR_BAD_CERTIFICATE",
	TlsErrorNotTLS:                 "G_TLS_ERROR_NOT_TLS",
	TlsErrorHandshake:              "G_TLS_ERROR_HANDSHAKE",
	TlsErrorCertificateRequired:    "G_TLS_ERROR_CERTIFICATE_REQUIRED",
	TlsErrorEOF:                    "G_TLS_ERROR_EOF",
	TlsErrorInappropriateFallback:  "G_TLS_ERROR_INAPPROPRIATE_FALLBACK",
	TlsErrorBadCertificatePassword: "G_TLS_ERROR_BAD_CERTIFICATE_PASSWORD",
}

// String gives the name of Gio's member, such as G_TLS_ERROR_BAD_CERTIFICATE.
func (c TlsErrorCode) String() string {
	if c < 0 || int(c) >= len(tlsErrorNames) {
		return "G_TLS_ERROR(" + strconv.Itoa(int(c)) + ")"
	}
	return tlsErrorNames[c]
}

// TlsError is an error of Gio's G_TLS_ERROR domain. Tell kinds apart with
// errors.Is and the sentinels below, or by Code after errors.As. It is a
// [net.Error], which reports a time-out if its cause was one.
type TlsError struct {
	// Code is the kind of the failure.
	Code TlsErrorCode
	// Message is the whole text for people, the cause included.
	Message string
	// Err is the underlying error, or nil.
	Err error
}

var _ net.Error = (*TlsError)(nil)

// Sentinels for errors.Is, one for each code. They match by Code alone.
var (
	ErrUnavailable            = &TlsError{Code: TlsErrorUnavailable, Message: "TLS is not available"}
	ErrMisc                   = &TlsError{Code: TlsErrorMisc, Message: "TLS failure"}
	ErrBadCertificate         = &TlsError{Code: TlsErrorBadCertificate, Message: "bad certificate"}
	ErrNotTLS                 = &TlsError{Code: TlsErrorNotTLS, Message: "the peer does not speak DTLS"}
	ErrHandshake              = &TlsError{Code: TlsErrorHandshake, Message: "the peer did not accept the certificate"}
	ErrCertificateRequired    = &TlsError{Code: TlsErrorCertificateRequired, Message: "a certificate is required"}
	ErrEOF                    = &TlsError{Code: TlsErrorEOF, Message: "the connection ended without close_notify"}
	ErrInappropriateFallback  = &TlsError{Code: TlsErrorInappropriateFallback, Message: "inappropriate protocol fallback"}
	ErrBadCertificatePassword = &TlsError{Code: TlsErrorBadCertificatePassword, Message: "wrong certificate password"}
)

// newTlsError makes a TlsError. Its message is formatted from format and args
// and followed by the cause, which may be nil and unwraps.
func newTlsError(code TlsErrorCode, cause error, format string, args ...any) *TlsError {
	message := fmt.Sprintf(format, args...)
	if cause != nil {
		message += ": " + cause.Error()
	}
	return &TlsError{Code: code, Message: message, Err: cause}
}

// Error gives the message.
func (e *TlsError) Error() string { return e.Message }

// Unwrap gives the cause, or nil.
func (e *TlsError) Unwrap() error { return e.Err }

// Is reports whether target is a TlsError of the same code.
func (e *TlsError) Is(target error) bool {
	t, ok := target.(*TlsError)
	return ok && t.Code == e.Code
}

// Timeout reports whether the cause was a time-out.
func (e *TlsError) Timeout() bool {
	var cause interface{ Timeout() bool }
	return errors.As(e.Err, &cause) && cause.Timeout()
}

// Temporary is part of [net.Error]. Only a time-out is temporary.
func (e *TlsError) Temporary() bool { return e.Timeout() }
