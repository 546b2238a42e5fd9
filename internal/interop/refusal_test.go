package interop

import (
	"context"
	"testing"
	"time"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"github.com/pion/dtls/v2/pkg/protocol/handshake"

	"gdtls/conn"
	"gdtls/datagram"
)

const (
	peerAlert               = "peer sent fatal TLS alert: "
	alertUnknownPSKIdentity = 115
)

func TestUntrustedServer(t *testing.T) {
	k := testPKI()
	for _, test := range []struct {
		name  string
		trust *options
		alert alert.Description
		flags conn.TlsCertificateFlags
	}{
		{"unknown CA", &options{trust: k.other, name: serverName}, alert.UnknownCA, conn.CertificateUnknownCA},
		{"wrong name", &options{trust: k.root, name: "elsewhere.example"}, alert.CertificateUnknown, conn.CertificateBadIdentity},
	} {
		t.Run(test.name, func(t *testing.T) {
			play(t, func(t *testing.T, p peer, server bool) {
				m := begun(t, p, server, setup{*test.trust, options{credential: k.p256}})
				if server {
					expectPeerRefusal(t, m, p.traits().silent, conn.ErrMisc, peerAlert)
					return
				}
				err := m.ours.handshake()
				expectError(t, err, conn.ErrBadCertificate, test.flags.String())
				m.theirs.expectFailure(t, test.alert)
				if got := m.ours.PeerCertificateErrors(); got != test.flags {
					t.Errorf("errors %v", got)
				}
			})
		})
	}
}

// expectPeerRefusal plays a handshake that the peer gives up, with an alert or without.
func expectPeerRefusal(t *testing.T, m *match, silent bool, want error, text string) {
	t.Helper()
	if silent {
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- m.ours.Handshake(ctx) }()
		m.theirs.expectRefusal(t)
		cancel()
		expectError(t, <-done, datagram.ErrCancelled, "")
		return
	}
	expectError(t, m.ours.handshake(), want, text)
	m.theirs.expectRefusal(t)
}

func TestUntrustedClient(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.client.credential = testPKI().foreign
		o.server.trust, o.server.auth = testPKI().root, conn.AuthenticationRequired
		m := begun(t, p, server, o)
		if !server {
			expectPeerRefusal(t, m, p.traits().silent, conn.ErrMisc, peerAlert)
			return
		}
		expectError(t, m.ours.handshake(), conn.ErrBadCertificate, conn.CertificateUnknownCA.String())
		m.theirs.expectFailure(t, alert.UnknownCA)
	})
}

func TestClientCertificateMissing(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.server.trust, o.server.auth = testPKI().root, conn.AuthenticationRequired
		m := begun(t, p, server, o)
		if !server {
			expectPeerRefusal(t, m, p.traits().silent || p.traits().silentOnMissing, conn.ErrCertificateRequired, "server required a certificate and none was set: "+peerAlert)
			return
		}
		expectError(t, m.ours.handshake(), conn.ErrCertificateRequired, "client did not send a certificate")
		m.theirs.expectFailure(t, alert.HandshakeFailure)
	})
}

func TestNoCommonCiphersuite(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		o := usual()
		o.client.suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
		o.server.suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
		m := begun(t, p, server, o)
		if !server {
			expectPeerRefusal(t, m, p.traits().silent || p.traits().silentOnSuites, conn.ErrMisc, peerAlert)
			return
		}
		expectError(t, m.ours.handshake(), conn.ErrMisc, "no cipher suite in common: client offers TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; server has TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
		if !p.traits().deaf {
			m.theirs.expectFailure(t, alert.HandshakeFailure)
		}
	})
}

// keys are options with a pre-shared key that one side does not know.
func keys(client, server psk) setup { return setup{options{psk: &client}, options{psk: &server}} }

const (
	keyA = "00112233445566778899aabbccddeeff"
	keyB = "ffeeddccbbaa99887766554433221100"

	// briefly is long enough for a peer to answer, and bounds the wait for one that
	// never will.
	briefly = 2 * time.Second
)

// expectServerRefusal plays a handshake of our client that ends by an alert; empty:
// none comes.
func expectServerRefusal(t *testing.T, m *match, description string) {
	t.Helper()
	if description == "" {
		expectError(t, m.ours.handshakeWithin(briefly), datagram.ErrCancelled, "")
		return
	}
	expectError(t, m.ours.handshake(), conn.ErrMisc, peerAlert+description)
}

func TestUnknownIdentity(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		m := begun(t, p, server, keys(psk{identity: "nobody", key: keyA}, psk{identity: "somebody", key: keyB}))
		if server {
			expectError(t, m.ours.handshake(), conn.ErrMisc, `client's pre-shared key identity "nobody" is unknown`)
			m.theirs.expectFailure(t, alertUnknownPSKIdentity)
			return
		}
		// OpenSSL's s_server and GnuTLS go on with a key of their own.
		expectServerRefusal(t, m, p.traits().unknownIdentity)
	})
}

// TestWrongKey: the client's Finished does not decrypt. Our server takes its third
// repetition for a wrong key; others pass over it as over any forged record.
func TestWrongKey(t *testing.T) {
	play(t, func(t *testing.T, p peer, server bool) {
		m := begun(t, p, server, keys(psk{identity: "somebody", key: keyA}, psk{identity: "somebody", key: keyB}))
		if server {
			expectError(t, m.ours.handshake(), conn.ErrMisc, "cannot decrypt the peer's Finished: the pre-shared keys differ")
			return
		}
		expectServerRefusal(t, m, p.traits().wrongKey)
		if m.ours.trace.find(true, handshake.TypeClientKeyExchange) == nil {
			t.Error("the handshake did not get as far as the keys")
		}
	})
}
