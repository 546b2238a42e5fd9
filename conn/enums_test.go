package conn

import (
	"fmt"
	"testing"
)

func TestEnumerationNumbersAndNames(t *testing.T) { // G176-G178, G180-G185
	for _, test := range []struct {
		value  fmt.Stringer
		number int
		name   string
	}{
		{CertificateNoFlags, 0, "NO_FLAGS"},
		{CertificateUnknownCA, 1, "UNKNOWN_CA"},
		{CertificateBadIdentity, 2, "BAD_IDENTITY"},
		{CertificateNotActivated, 4, "NOT_ACTIVATED"},
		{CertificateExpired, 8, "EXPIRED"},
		{CertificateRevoked, 16, "REVOKED"},
		{CertificateInsecure, 32, "INSECURE"},
		{CertificateGenericError, 64, "GENERIC_ERROR"},
		{CertificateValidateAll, 127, "UNKNOWN_CA|BAD_IDENTITY|NOT_ACTIVATED|EXPIRED|REVOKED|INSECURE|GENERIC_ERROR"},
		{CertificateUnknownCA | CertificateExpired, 9, "UNKNOWN_CA|EXPIRED"},
		{TlsCertificateFlags(0x181), 0x181, "UNKNOWN_CA|0x180"},
		{AuthenticationNone, 0, "none"},
		{AuthenticationRequested, 1, "requested"},
		{AuthenticationRequired, 2, "required"},
		{TlsAuthenticationMode(3), 3, "TlsAuthenticationMode(3)"},
		{ProtocolUnknown, 0, "unknown"},
		{ProtocolSSL30, 1, "ssl-3-0"},
		{ProtocolTLS10, 2, "tls-1-0"},
		{ProtocolTLS11, 3, "tls-1-1"},
		{ProtocolTLS12, 4, "tls-1-2"},
		{ProtocolTLS13, 5, "tls-1-3"},
		{ProtocolDTLS10, 201, "dtls-1-0"},
		{ProtocolDTLS12, 202, "dtls-1-2"},
		{TlsProtocolVersion(-1), -1, "TlsProtocolVersion(-1)"},
		{ChannelBindingTLSUnique, 0, "tls-unique"},
		{ChannelBindingTLSServerEndPoint, 1, "tls-server-end-point"},
		{ChannelBindingTLSExporter, 2, "tls-exporter"},
		{RehandshakeNever, 0, "never"},
		{RehandshakeSafely, 1, "safely"},
		{RehandshakeUnsafely, 2, "unsafely"},
		{InteractionUnhandled, 0, "unhandled"},
		{InteractionHandled, 1, "handled"},
		{InteractionFailed, 2, "failed"},
	} {
		number := 0
		switch value := test.value.(type) {
		case TlsCertificateFlags:
			number = int(value)
		case TlsAuthenticationMode:
			number = int(value)
		case TlsProtocolVersion:
			number = int(value)
		case TlsChannelBindingType:
			number = int(value)
		case TlsRehandshakeMode:
			number = int(value)
		case TlsInteractionResult:
			number = int(value)
		}
		if number != test.number || test.value.String() != test.name {
			t.Errorf("got %d %q, want %d %q", number, test.value, test.number, test.name)
		}
	}
	if DatabaseVerifyNone != 0 || DatabaseLookupNone != 0 || DatabaseLookupKeypair != 1 || CertificateRequestNone != 0 {
		t.Error("flags of databases and requests differ from Gio's")
	}
	for i, flag := range []TlsPasswordFlags{PasswordNone, PasswordRetry, PasswordManyTries, PasswordFinalTry, PasswordPKCS11User, PasswordPKCS11SecurityOfficer, PasswordPKCS11ContextSpecific} {
		if want := []TlsPasswordFlags{0, 2, 4, 8, 16, 32, 64}[i]; flag != want {
			t.Errorf("password flag %d is %d, want %d", i, flag, want)
		}
	}
}
