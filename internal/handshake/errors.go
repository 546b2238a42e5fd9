package handshake

import (
	"fmt"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// Kind tells failures apart for those who act on them.
type Kind uint8

// The kinds of failure.
const (
	KindProtocol            Kind = iota + 1 // the peer broke the protocol
	KindNotDTLS                             // what came from the peer was not DTLS
	KindVersion                             // no common protocol version
	KindNoCommon                            // no common cipher suite, group or signature scheme
	KindBadCertificate                      // the peer's certificate cannot be used or was refused
	KindCertificateRequired                 // a certificate was required and none was given
	KindPeerAlert                           // the peer sent a fatal alert
	KindUnknownIdentity                     // no key for the pre-shared key's identity
	KindKeyMismatch                         // the peer's Finished is wrong: keys or handshake differ
	KindFallback                            // inappropriate fallback (RFC 7507)
	KindTimeout                             // the peer stopped answering
	KindUndecided                           // a question was not answered in time
	KindInternal                            // our own side failed, such as a private key that cannot sign
)

// Error is the end of a handshake.
type Error struct {
	Kind  Kind
	Alert alert.Description // sent to the peer, or received from it if Kind is KindPeerAlert
	msg   string
	cause error
}

// Error tells what was wrong.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.msg + ": " + e.cause.Error()
	}
	return e.msg
}

// Unwrap gives the cause, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Silent tells whether the failure is kept from the peer: it would not understand
// an alert, or has sent one itself.
func (e *Error) Silent() bool {
	return e.Kind == KindPeerAlert || e.Kind == KindNotDTLS || e.Kind == KindTimeout
}

// NewError makes the failure with which an answer refuses the peer.
func NewError(kind Kind, a alert.Description, format string, args ...any) *Error {
	return &Error{Kind: kind, Alert: a, msg: fmt.Sprintf(format, args...)}
}

func errDecode(what string) *Error {
	return NewError(KindProtocol, alert.DecodeError, "peer sent a malformed %s", what)
}

func errIllegal(format string, args ...any) *Error {
	return NewError(KindProtocol, alert.IllegalParameter, format, args...)
}

// errRenegotiates refuses a hello that continues a connection that we do not have
// (RFC 5746 3.4, 3.6).
func errRenegotiates(who string) *Error {
	return NewError(KindProtocol, alert.HandshakeFailure, "%s's hello is for the renegotiation of another connection", who)
}

func errInternal(cause error, format string, args ...any) *Error {
	e := NewError(KindInternal, alert.InternalError, format, args...)
	e.cause = cause
	return e
}

// Alerts that pion's list lacks.
const (
	alertInappropriateFallback alert.Description = 86
	alertUnknownPSKIdentity    alert.Description = 115
)

var alertNames = map[alert.Description]string{
	alert.CloseNotify:            "close_notify",
	alert.UnexpectedMessage:      "unexpected_message",
	alert.BadRecordMac:           "bad_record_mac",
	alert.DecryptionFailed:       "decryption_failed",
	alert.RecordOverflow:         "record_overflow",
	alert.DecompressionFailure:   "decompression_failure",
	alert.HandshakeFailure:       "handshake_failure",
	alert.NoCertificate:          "no_certificate",
	alert.BadCertificate:         "bad_certificate",
	alert.UnsupportedCertificate: "unsupported_certificate",
	alert.CertificateRevoked:     "certificate_revoked",
	alert.CertificateExpired:     "certificate_expired",
	alert.CertificateUnknown:     "certificate_unknown",
	alert.IllegalParameter:       "illegal_parameter",
	alert.UnknownCA:              "unknown_ca",
	alert.AccessDenied:           "access_denied",
	alert.DecodeError:            "decode_error",
	alert.DecryptError:           "decrypt_error",
	alert.ExportRestriction:      "export_restriction",
	alert.ProtocolVersion:        "protocol_version",
	alert.InsufficientSecurity:   "insufficient_security",
	alert.InternalError:          "internal_error",
	alertInappropriateFallback:   "inappropriate_fallback",
	alert.UserCanceled:           "user_canceled",
	alert.NoRenegotiation:        "no_renegotiation",
	alert.UnsupportedExtension:   "unsupported_extension",
	112:                          "unrecognized_name",
	113:                          "bad_certificate_status_response",
	alertUnknownPSKIdentity:      "unknown_psk_identity",
	116:                          "certificate_required",
	alert.NoApplicationProtocol:  "no_application_protocol",
}

// AlertName is the name of an alert in the RFCs, such as "unknown_ca".
func AlertName(d alert.Description) string {
	if name, ok := alertNames[d]; ok {
		return name
	}
	return fmt.Sprintf("alert %d", uint8(d))
}
