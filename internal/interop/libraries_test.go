package interop

import (
	"crypto/x509"
	"slices"
	"strings"

	"gdtls/conn"
	"gdtls/internal/handshake"
)

// mbedtls is mbed TLS 2.28.
var mbedtls = &library{
	program: &program{name: "mbedtls", build: inC("libmbedtls-dev", "mbed TLS 2.28.", "mbedtls.c", fixed("-lmbedtls", "-lmbedx509", "-lmbedcrypto"))},
	habits:  traits{silentOnMissing: true, unknownIdentity: "unknown_psk_identity", wrongKey: "bad_record_mac"},
	misses: func(server bool, o, ours options) string {
		switch {
		case isRFC8442(o.suite):
			return "mbed TLS 2.28 has no ECDHE_PSK with AES-GCM or AES-CCM"
		case strings.HasPrefix(o.signature, "rsa_pss_"):
			return "mbed TLS 2.28 has no RSA-PSS signatures in TLS 1.2"
		case o.credential.algorithm() == x509.Ed25519 || ours.credential.algorithm() == x509.Ed25519:
			return "mbed TLS has no Ed25519"
		case server && o.psk != nil && o.psk.hint != "":
			return "mbed TLS's server sends no identity hint"
		case !server && o.byAddress && o.trust != nil:
			return "mbed TLS 2.28 does not compare IP addresses with certificates"
		}
		return ""
	},
}

// wolfssl is wolfSSL 5.5.
var wolfssl = &library{
	program: &program{name: "wolfssl", build: inC("libwolfssl-dev", "wolfSSL 5.5.", "wolfssl.c", fixed("-lwolfssl"))},
	habits:  traits{silentOnMissing: true, acknowledgesName: true, fixedMTU: true, unknownIdentity: "unknown_psk_identity"},
	misses: func(server bool, o, ours options) string {
		switch {
		case server && o.group != "" && o.signature == "":
			return "wolfSSL's server takes the client's first group"
		case server && o.auth != conn.AuthenticationNone && o.credential.algorithm() == x509.ECDSA && ours.credential.algorithm() == x509.RSA:
			return "wolfSSL's server with an ECDSA key asks for no client certificates with RSA"
		case server && o.noEMS:
			return "wolfSSL's server always takes the extended master secret"
		case o.suite != "" && !slices.Contains(wolfsslSuites, handshake.SuiteByName(o.suite).ID):
			return "wolfSSL, as Debian builds it, does not have all cipher suites"
		}
		return ""
	},
}

// wolfsslSuites are those of ours that Debian's wolfSSL has.
var wolfsslSuites = []uint16{
	0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc0ac, 0xc0ae, 0xc0af, // certificates
	0xd001, 0xccac, // ECDHE_PSK
	0xccab, // PSK
}

// gio is the real Gio, over GnuTLS.
var gio = &library{
	program: &program{name: "gio", build: inC("libglib2.0-dev", "Gio with glib-networking, ", "gio.c", fromPkgConfig("gio-2.0"))},
	habits:  traits{silent: true, takesFragmentedHello: true, lenient: true, deaf: true, fixedMTU: true, neverEMS: true},
	misses: func(server bool, o, _ options) string {
		switch {
		case o.psk != nil:
			return "Gio has no pre-shared keys in DTLS"
		case server && o.cookie:
			return "Gio's server asks for no cookie"
		case o.resume != "":
			return "Gio resumes no sessions in DTLS"
		}
		return ""
	},
	// Gio itself cannot choose suites, groups and signatures.
	environment: func(o options) []string {
		if o.suite == "" && o.group == "" && o.signature == "" {
			return nil
		}
		return []string{"G_TLS_GNUTLS_PRIORITY=" + gnutlsPriority(o)}
	},
}

// pion3 is the Conn of github.com/pion/dtls/v3.
var pion3 = &library{
	program: &program{name: "pion3", build: inGo("pion3")},
	habits:  traits{mtuSlack: 25, takesFragmentedHello: true, unknownIdentity: "internal_error"},
	misses: func(server bool, o, _ options) string {
		if server && strings.HasPrefix(o.signature, "rsa_pss_") {
			return "pion v3's server does not sign by RSA-PSS"
		}
		if o.resume == byTicket {
			return "pion has no tickets"
		}
		if o.suite != "" && !slices.Contains(pion3Suites, handshake.SuiteByName(o.suite).ID) {
			return "pion v3 does not have all cipher suites"
		}
		return ""
	},
}

// pion3Suites are those of ours that pion v3 has.
var pion3Suites = []uint16{
	0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc0ac, 0xc0ae, // certificates
	0xccac,                                 // ECDHE_PSK
	0x00a8, 0xccab, 0xc0a4, 0xc0a8, 0xc0a9, // PSK
}
