package conn

import (
	"fmt"
	"strconv"
	"strings"
)

// TlsCertificateFlags is a set of reasons why a certificate is not valid,
// with the values of Gio's GTlsCertificateFlags (G176). When a verification
// fails at least one bit is set, but not necessarily every bit that applies:
// never tolerate a single bit such as CertificateExpired and take the rest
// for checked (G088).
type TlsCertificateFlags uint32

// The bits of GTlsCertificateFlags.
const (
	// CertificateNoFlags: the certificate is valid.
	CertificateNoFlags TlsCertificateFlags = 0
	// CertificateUnknownCA: no trusted authority stands at the end of the
	// chain.
	CertificateUnknownCA TlsCertificateFlags = 1
	// CertificateBadIdentity: the certificate is not one of the expected
	// peer.
	CertificateBadIdentity TlsCertificateFlags = 2
	// CertificateNotActivated: a certificate of the chain is not valid yet.
	CertificateNotActivated TlsCertificateFlags = 4
	// CertificateExpired: a certificate of the chain is no longer valid.
	CertificateExpired TlsCertificateFlags = 8
	// CertificateRevoked: a certificate of the chain was revoked. A custom
	// TlsDatabase may set it; the databases here know no revocation lists.
	CertificateRevoked TlsCertificateFlags = 16
	// CertificateInsecure: the chain stands on a weak algorithm or key.
	CertificateInsecure TlsCertificateFlags = 32
	// CertificateGenericError: the chain is invalid for another reason, such
	// as its purpose or a name constraint.
	CertificateGenericError TlsCertificateFlags = 64
	// CertificateValidateAll is the set of all bits.
	CertificateValidateAll TlsCertificateFlags = 0x7f
)

var certificateFlagNames = [...]string{
	"UNKNOWN_CA", "BAD_IDENTITY", "NOT_ACTIVATED", "EXPIRED", "REVOKED", "INSECURE", "GENERIC_ERROR",
}

// String gives the names of the bits, such as "UNKNOWN_CA|EXPIRED", and
// "NO_FLAGS" for the empty set.
func (f TlsCertificateFlags) String() string {
	if f == CertificateNoFlags {
		return "NO_FLAGS"
	}
	var names []string
	for bit, name := range certificateFlagNames {
		if f&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	if rest := f &^ CertificateValidateAll; rest != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(rest)))
	}
	return strings.Join(names, "|")
}

// TlsAuthenticationMode tells whether a server asks its clients for a
// certificate, with the values of Gio's GTlsAuthenticationMode (G177).
type TlsAuthenticationMode int

// The values of GTlsAuthenticationMode.
const (
	// AuthenticationNone: the client is not asked for a certificate.
	AuthenticationNone TlsAuthenticationMode = 0
	// AuthenticationRequested: the client is asked, and may have none.
	AuthenticationRequested TlsAuthenticationMode = 1
	// AuthenticationRequired: a client without a certificate is refused.
	AuthenticationRequired TlsAuthenticationMode = 2
)

// String gives Gio's nick: "none", "requested" or "required".
func (m TlsAuthenticationMode) String() string {
	return enumName(int(m), "TlsAuthenticationMode", "none", "requested", "required")
}

// TlsProtocolVersion is a version of TLS or DTLS, with the values of Gio's
// GTlsProtocolVersion (G181). A newer version of one protocol is greater than
// an older one, and each DTLS version is greater than each TLS version.
type TlsProtocolVersion int

// The values of GTlsProtocolVersion. This module negotiates ProtocolDTLS12
// only; the others are named so that a value read from elsewhere has a name.
const (
	ProtocolUnknown TlsProtocolVersion = 0
	ProtocolSSL30   TlsProtocolVersion = 1
	ProtocolTLS10   TlsProtocolVersion = 2
	ProtocolTLS11   TlsProtocolVersion = 3
	ProtocolTLS12   TlsProtocolVersion = 4
	ProtocolTLS13   TlsProtocolVersion = 5
	ProtocolDTLS10  TlsProtocolVersion = 201
	ProtocolDTLS12  TlsProtocolVersion = 202
)

// String gives Gio's nick, such as "dtls-1-2", and "unknown" for
// ProtocolUnknown.
func (v TlsProtocolVersion) String() string {
	switch v {
	case ProtocolDTLS10:
		return "dtls-1-0"
	case ProtocolDTLS12:
		return "dtls-1-2"
	}
	return enumName(int(v), "TlsProtocolVersion", "unknown", "ssl-3-0", "tls-1-0", "tls-1-1", "tls-1-2", "tls-1-3")
}

// TlsDatabaseVerifyFlags modifies a verification by a [TlsDatabase]. Gio
// defines no bit yet (G183).
type TlsDatabaseVerifyFlags uint32

// DatabaseVerifyNone asks for the ordinary verification.
const DatabaseVerifyNone TlsDatabaseVerifyFlags = 0

// TlsDatabaseLookupFlags narrows what a database looks up, with the values of Gio's
// GTlsDatabaseLookupFlags (G183).
type TlsDatabaseLookupFlags uint32

// The bits of GTlsDatabaseLookupFlags.
const (
	// DatabaseLookupNone: any certificate.
	DatabaseLookupNone TlsDatabaseLookupFlags = 0
	// DatabaseLookupKeypair: only certificates with a private key.
	DatabaseLookupKeypair TlsDatabaseLookupFlags = 1
)

// TlsInteractionResult tells what became of a question to a [TlsInteraction], with
// the values of Gio's GTlsInteractionResult (G184).
type TlsInteractionResult int

// The values of GTlsInteractionResult.
const (
	// InteractionUnhandled: the interaction does not answer such questions.
	InteractionUnhandled TlsInteractionResult = 0
	// InteractionHandled: the answer has been given.
	InteractionHandled TlsInteractionResult = 1
	// InteractionFailed: there is no answer, and an error tells why.
	InteractionFailed TlsInteractionResult = 2
)

// String gives Gio's nick: "unhandled", "handled" or "failed".
func (r TlsInteractionResult) String() string {
	return enumName(int(r), "TlsInteractionResult", "unhandled", "handled", "failed")
}

// TlsCertificateRequestFlags modifies a request for a certificate. Gio defines no
// bit yet (G182).
type TlsCertificateRequestFlags uint32

// CertificateRequestNone asks in the ordinary way.
const CertificateRequestNone TlsCertificateRequestFlags = 0

// TlsPasswordFlags says for what, and how often before, a password is asked, with
// the values of Gio's GTlsPasswordFlags (G185).
type TlsPasswordFlags uint32

// The bits of GTlsPasswordFlags.
const (
	PasswordNone                  TlsPasswordFlags = 0
	PasswordRetry                 TlsPasswordFlags = 2  // the last one was wrong
	PasswordManyTries             TlsPasswordFlags = 4  // several were wrong
	PasswordFinalTry              TlsPasswordFlags = 8  // the last chance
	PasswordPKCS11User            TlsPasswordFlags = 16 // the PIN of a token's user
	PasswordPKCS11SecurityOfficer TlsPasswordFlags = 32 // the PIN of a token's security officer
	PasswordPKCS11ContextSpecific TlsPasswordFlags = 64 // the PIN of a single operation of a token
)

// TlsChannelBindingType is a kind of channel binding data, with the values of Gio's
// GTlsChannelBindingType (G178).
type TlsChannelBindingType int

// The values of GTlsChannelBindingType.
const (
	// ChannelBindingTLSUnique is tls-unique (RFC 5929 section 3).
	ChannelBindingTLSUnique TlsChannelBindingType = 0
	// ChannelBindingTLSServerEndPoint is tls-server-end-point (RFC 5929 section 4).
	ChannelBindingTLSServerEndPoint TlsChannelBindingType = 1
	// ChannelBindingTLSExporter is tls-exporter (RFC 9266).
	ChannelBindingTLSExporter TlsChannelBindingType = 2
)

// String gives IANA's name, such as "tls-unique".
func (t TlsChannelBindingType) String() string {
	return enumName(int(t), "TlsChannelBindingType", "tls-unique", "tls-server-end-point", "tls-exporter")
}

// TlsRehandshakeMode is what a side does when the other asks to renegotiate, with the
// values of Gio's GTlsRehandshakeMode (G180).
//
// Deprecated: as in Gio since 2.60. Renegotiation is always refused.
type TlsRehandshakeMode int

// The values of GTlsRehandshakeMode.
const (
	RehandshakeNever    TlsRehandshakeMode = 0
	RehandshakeSafely   TlsRehandshakeMode = 1
	RehandshakeUnsafely TlsRehandshakeMode = 2
)

// String gives Gio's nick: "never", "safely" or "unsafely".
func (m TlsRehandshakeMode) String() string {
	return enumName(int(m), "TlsRehandshakeMode", "never", "safely", "unsafely")
}

func enumName(value int, typeName string, names ...string) string {
	if value < 0 || value >= len(names) {
		return typeName + "(" + strconv.Itoa(value) + ")"
	}
	return names[value]
}
