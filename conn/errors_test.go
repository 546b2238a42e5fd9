package conn

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
)

func TestTlsErrorCodes(t *testing.T) { // G174
	sentinels := map[TlsErrorCode]struct {
		err  *TlsError
		name string
	}{
		0:  {ErrUnavailable, "G_TLS_ERROR_UNAVAILABLE"},
		1:  {ErrMisc, "G_TLS_ERROR_MISC"},
		2:  {ErrBadCertificate, "G_TLS_ERROR_BAD_CERTIFICATE"},
		3:  {ErrNotTLS, "G_TLS_ERROR_NOT_TLS"},
		4:  {ErrHandshake, "G_TLS_ERROR_HANDSHAKE"},
		5:  {ErrCertificateRequired, "G_TLS_ERROR_CERTIFICATE_REQUIRED"},
		6:  {ErrEOF, "G_TLS_ERROR_EOF"},
		7:  {ErrInappropriateFallback, "G_TLS_ERROR_INAPPROPRIATE_FALLBACK"},
		8:  {ErrBadCertificatePassword, "G_TLS_ERROR_BAD_CERTIFICATE_PASSWORD"},
		9:  {newTlsError(9, nil, "x"), "G_TLS_ERROR(9)"},
		-1: {newTlsError(-1, nil, "x"), "G_TLS_ERROR(-1)"},
	}
	for code, want := range sentinels {
		if want.err.Code != code || code.String() != want.name {
			t.Errorf("code %d is %v of %q, want %s", int(code), code, want.err, want.name)
		}
		for other, sentinel := range sentinels {
			if errors.Is(newTlsError(code, io.EOF, "x"), sentinel.err) != (other == code) {
				t.Errorf("errors.Is of %v and %v is wrong", code, other)
			}
		}
	}
}

func TestTlsErrorCause(t *testing.T) {
	err := error(newTlsError(TlsErrorMisc, io.ErrUnexpectedEOF, "reading %s", "x"))
	if err.Error() != "reading x: unexpected EOF" {
		t.Errorf("text is %q", err)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Error("the cause does not unwrap")
	}
	var netError net.Error
	if !errors.As(err, &netError) || netError.Timeout() {
		t.Error("an EOF is no time-out")
	}
	if e := newTlsError(TlsErrorMisc, context.DeadlineExceeded, "waiting"); !e.Timeout() || !e.Temporary() {
		t.Error("a deadline is a time-out")
	}
	if newTlsError(TlsErrorMisc, io.EOF, "reading").Temporary() {
		t.Error("an EOF is not temporary")
	}
	if ErrMisc.Timeout() {
		t.Error("an error without cause is no time-out")
	}
}

func TestChannelBindingErrorCodes(t *testing.T) { // G179
	sentinels := []*ChannelBindingError{
		ErrChannelBindingNotImplemented, ErrChannelBindingInvalidState, ErrChannelBindingNotAvailable,
		ErrChannelBindingNotSupported, ErrChannelBindingGeneralError,
	}
	names := []string{"NOT_IMPLEMENTED", "INVALID_STATE", "NOT_AVAILABLE", "NOT_SUPPORTED", "GENERAL_ERROR"}
	for code, sentinel := range sentinels {
		if int(sentinel.Code) != code || sentinel.Code.String() != "G_TLS_CHANNEL_BINDING_ERROR_"+names[code] {
			t.Errorf("code %d is %v of %q", code, sentinel.Code, sentinel)
		}
		for other := range sentinels {
			err := newChannelBindingError(ChannelBindingErrorCode(other), "x")
			if errors.Is(err, sentinel) != (other == code) {
				t.Errorf("errors.Is of %v and %v is wrong", err.Code, sentinel.Code)
			}
		}
	}
	if name := ChannelBindingErrorCode(5).String(); name != "G_TLS_CHANNEL_BINDING_ERROR(5)" {
		t.Errorf("unknown code is %q", name)
	}
	if errors.Is(ErrMisc, ErrChannelBindingInvalidState) {
		t.Error("domains are mixed up")
	}
}
