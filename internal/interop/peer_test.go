// Package interop tests gdtls against other implementations of DTLS 1.2, as a
// client and as a server: the programs of OpenSSL and GnuTLS, pion's Conn, and
// programs of our own around the real Gio, mbed TLS, wolfSSL and pion v3.
package interop

import (
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/alert"

	"gdtls/conn"
)

// options is how one side is set up. The same form serves our own sides and the
// peers', so that each case is played with the roles exchanged.
type options struct {
	credential  *credential
	trust       *x509.Certificate // nil: the other side is not verified
	suite       string            // IANA's name; empty: the default ones
	group       string            // RFC 8422's name, for peers only; empty: the default ones
	signature   string            // of an RSA key, in TLS's names, for peers only; empty: the default ones
	alpn        []string
	psk         *psk
	auth        conn.TlsAuthenticationMode // servers
	name        string                     // the server's; empty: no server_name
	byAddress   bool                       // clients: the server is known by its IP address
	mtu         int                        // 0: the default
	accept      bool                       // Gio only: take a certificate whatever is wrong with it
	noEMS       bool                       // peers only: without extended master secret
	rehandshake bool                       // gnutls-cli: renegotiate at once
	cookie      bool                       // peers only: ask for a cookie, which some do always
	export      bool                       // peers only: export keying material, and print it
	resume      string                     // peers only: byID or byTicket; empty: no session is kept
	sessions    *conn.SessionCache         // our clients only
}

// psk is a pre-shared key.
type psk struct {
	identity string
	key      string // hex
	hint     string // servers
}

// traits are habits of a peer that tests must know of.
type traits struct {
	// silent: it sends no alert when it refuses something in a handshake.
	silent bool
	// silentOnMissing and silentOnSuites: as a server, it sends none for a client
	// certificate that is missing, and without a cipher suite in common.
	silentOnMissing, silentOnSuites bool
	// deaf: as a client, it repeats its hello instead of heeding a fatal alert.
	deaf bool
	// lenient: as a server, it goes on when it has none of the client's protocols.
	lenient bool
	// acknowledgesName: as a server, it answers server_name with an empty one.
	acknowledgesName bool
	// neverEMS: it does not have the extended master secret.
	neverEMS bool
	// fixedMTU: it cannot be told an MTU.
	fixedMTU bool
	// mtuSlack is by how many bytes its datagrams are larger than its MTU.
	mtuSlack int
	// takesFragmentedHello: as a server, it puts together a ClientHello in fragments.
	takesFragmentedHello bool
	// losesClose: its close_notify sometimes comes too late to be sent.
	losesClose bool
	// unknownIdentity is the alert of a server for an unknown identity, wrongKey that
	// for a Finished under another key; empty: none comes.
	unknownIdentity, wrongKey string
}

// peer is another implementation.
type peer interface {
	traits() traits
	// version is its name and version.
	version(t *testing.T) string
	// lacks tells why the peer cannot play a part against ours; empty if it can.
	lacks(server bool, o, ours options) string
	serve(t *testing.T, o options) session
	connect(t *testing.T, server netip.AddrPort, o options) session
}

// session is the peer's side of one connection. Its methods wait, and fail the test
// when they have waited for too long.
type session interface {
	address() netip.AddrPort // where a server listens
	established(t *testing.T)
	send(t *testing.T, text string)
	expect(t *testing.T, text string)
	// close ends the connection with close_notify.
	close(t *testing.T)
	// closes tells why close cannot be used; empty if it can.
	closes() string
	// expectClose waits for our close_notify.
	expectClose(t *testing.T)
	// echoes tells that the peer cannot send by itself, but sends back what it gets.
	echoes() bool
	// reported is what the peer tells about the connection.
	reported() report
	// expectFailure waits for the end of a handshake that failed by an alert of
	// ours.
	expectFailure(t *testing.T, d alert.Description)
	// expectRefusal waits for the end of a handshake that the peer gave up.
	expectRefusal(t *testing.T)
}

// report is what a peer tells; what it does not tell stays as it is.
type report struct {
	alpn       *string
	ems        *bool
	serverName *string
	flags      *string                               // Gio: what accept-certificate was given, as a number
	subject    *string                               // common name of our certificate
	bindings   map[conn.TlsChannelBindingType]string // hexadecimal
	material   *string                               // exported, in hexadecimal
}

var peers = map[string]peer{
	"openssl": openssl{}, "gnutls": gnutls{}, "gio": gio, "mbedtls": mbedtls, "wolfssl": wolfssl, "pion": pion{}, "pion3": pion3,
}

// play runs a test for each peer and each role. server tells that gdtls is the
// server.
func play(t *testing.T, test func(t *testing.T, p peer, server bool)) {
	for name, p := range peers {
		for role, server := range map[string]bool{"client": false, "server": true} {
			t.Run(name+"/"+role, func(t *testing.T) {
				t.Parallel()
				test(t, p, server)
			})
		}
	}
}
