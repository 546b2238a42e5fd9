package conn

import (
	"fmt"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// failure turns the machine's error into Gio's (G211).
func (c *DtlsConnection) failure(e *handshake.Error) error {
	switch e.Kind {
	case handshake.KindTimeout, handshake.KindUndecided:
		return datagram.NewError(datagram.CodeTimedOut, "%w", e)
	case handshake.KindNotDTLS, handshake.KindVersion:
		return &TlsError{Code: TlsErrorNotTLS, Message: e.Error(), Err: e}
	case handshake.KindBadCertificate:
		return &TlsError{Code: TlsErrorBadCertificate, Message: e.Error(), Err: e}
	case handshake.KindCertificateRequired:
		return &TlsError{Code: TlsErrorCertificateRequired, Message: e.Error(), Err: e}
	case handshake.KindFallback:
		return &TlsError{Code: TlsErrorInappropriateFallback, Message: e.Error(), Err: e}
	case handshake.KindPeerAlert:
		if owed, refusal := c.certificateOwed(); owed && complainsOfCertificate(e.Alert) {
			if refusal != nil {
				return refusal // G198
			}
			return newTlsError(TlsErrorCertificateRequired, e, "server required a certificate and none was set") // G064
		}
	}
	return &TlsError{Code: TlsErrorMisc, Message: e.Error(), Err: e}
}

// complainsOfCertificate tells whether a server may send an alert for the lack of a
// certificate.
func complainsOfCertificate(a alert.Description) bool {
	const certificateRequired = 116 // of TLS 1.3, sent by some for 1.2 too
	switch a {
	case alert.HandshakeFailure, alert.NoCertificate, alert.BadCertificate, alert.AccessDenied, certificateRequired:
		return true
	}
	return false
}

// refusalAlert is the alert that says best what was wrong (RFC 5246 7.2.2).
func refusalAlert(flags TlsCertificateFlags) alert.Description {
	switch {
	case flags&CertificateUnknownCA != 0:
		return alert.UnknownCA
	case flags&CertificateRevoked != 0:
		return alert.CertificateRevoked
	case flags&(CertificateExpired|CertificateNotActivated) != 0:
		return alert.CertificateExpired
	case flags&CertificateInsecure != 0:
		return alert.BadCertificate
	case flags == 0:
		return alert.AccessDenied
	}
	return alert.CertificateUnknown
}

func describe(flags TlsCertificateFlags, server bool) string {
	if flags == 0 && server {
		return "verification found no fault, but no handler of accept-certificate accepted it"
	}
	return fmt.Sprint(flags)
}
