package conn_test

import (
	"strings"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// Pre-shared keys, with a server that has nothing else and with one that has a
// certificate besides.
func TestPreSharedKey(t *testing.T) {
	for _, test := range []struct {
		name        string
		certificate *conn.TlsCertificate
	}{{"key only", nil}, {"key or certificate", serverCert()}} {
		t.Run(test.name, func(t *testing.T) {
			a, b := datagram.NewPipe()
			server, err := serverconn.NewDtlsServerConnection(b, test.certificate)
			if err != nil {
				t.Fatal(err)
			}
			p := &pair{newClient(t, a), server}
			defer p.close(t)
			p.server.SetPskIdentityHint([]byte("a hint"))
			p.client.ConnectPskRequired(func(c *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
				if string(a.IdentityHint()) != "a hint" || len(a.Identity()) != 0 {
					t.Errorf("client's handler was given hint %q, identity %q", a.IdentityHint(), a.Identity())
				}
				a.SetIdentity([]byte("me"))
				a.SetPreSharedKey([]byte("the key"))
			})
			p.server.ConnectPskRequired(func(c *conn.DtlsConnection, a *conn.PreSharedKeyAuthenticator) {
				if string(a.Identity()) != "me" {
					t.Errorf("server's handler was given identity %q", a.Identity())
				}
			}) // no key: the next one is asked
			p.server.ConnectPskRequired(giveKey("", "the key"))
			p.server.ConnectPskRequired(func(*conn.DtlsConnection, *conn.PreSharedKeyAuthenticator) {
				t.Error("a third handler was asked")
			})
			mustHandshake(t, p)
			converse(t, p)
			for _, c := range p.both() {
				if string(c.PskIdentity()) != "me" || c.PeerCertificate() != nil || !strings.HasPrefix(c.CiphersuiteName(), "TLS_ECDHE_PSK_") {
					t.Errorf("%v: identity %q, certificate %v", c, c.PskIdentity(), c.PeerCertificate())
				}
			}
			if got := string(p.client.PskIdentityHint()); got != "a hint" {
				t.Errorf("hint is %q", got)
			}
			if test.certificate != nil { // a client without a key gets the certificate
				other := newPair(t)
				other.server.ConnectPskRequired(giveKey("", "the key"))
				mustHandshake(t, other)
				if other.client.PeerCertificate() == nil || other.client.PskIdentity() != nil {
					t.Error("the handshake did not use the certificate")
				}
			}
		})
	}
}

// Each thing that can be wrong about a pre-shared key ends with its own error on
// both sides.
func TestPreSharedKeyRefused(t *testing.T) {
	silent := func(*conn.DtlsConnection, *conn.PreSharedKeyAuthenticator) {}
	for name, test := range map[string]struct {
		client, server         conn.PskRequiredHandler
		clientText, serverText string
	}{
		"wrong key":          {giveKey("me", "a key"), giveKey("", "another"), "decrypt_error", "pre-shared keys differ"},
		"unknown identity":   {giveKey("me", "a key"), silent, "unknown_psk_identity", `identity "me" is unknown`},
		"client has no key":  {silent, giveKey("", "a key"), "no pre-shared key was given", "handshake_failure"},
		"server without PSK": {giveKey("me", "a key"), nil, "handshake_failure", "neither a certificate nor a pre-shared key"},
		"client without PSK": {nil, giveKey("", "a key"), "handshake_failure", "no cipher suite"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := datagram.NewPipe()
				server, err := serverconn.NewDtlsServerConnection(b, nil)
				if err != nil {
					t.Fatal(err)
				}
				p := &pair{newClient(t, a), server}
				defer p.close(t)
				if test.client != nil {
					p.client.ConnectPskRequired(test.client)
					if err := p.client.SetCiphersuites("TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
						t.Fatal(err)
					}
				}
				if test.server != nil {
					p.server.ConnectPskRequired(test.server)
				}
				client, serverErr := p.handshake(t)
				for _, side := range []struct {
					err  error
					text string
				}{{client, test.clientText}, {serverErr, test.serverText}} {
					wantTLS(t, side.err, conn.TlsErrorMisc)
					if side.err == nil || !strings.Contains(side.err.Error(), side.text) {
						t.Errorf("error is %v, want one that says %s", side.err, side.text)
					}
				}
			})
		})
	}
}

// A client that has only a key and no handler has nothing to offer.
func TestPreSharedKeyWithoutHandler(t *testing.T) {
	p := newPair(t)
	if err := p.client.SetCiphersuites("TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"); err != nil {
		t.Fatal(err)
	}
	err := p.client.Handshake(background)
	wantTLS(t, err, conn.TlsErrorMisc)
	if err == nil || !strings.Contains(err.Error(), "pre-shared key suites need a key") {
		t.Error(err)
	}
}

func TestPreSharedKeyAuthenticator(t *testing.T) { // Q039-Q042
	a := &conn.PreSharedKeyAuthenticator{}
	long := []byte(strings.Repeat("x", 1000))
	a.SetIdentity(long)
	a.SetPreSharedKey(long)
	if len(a.Identity()) != a.MaximumIdentityLength() || len(a.PreSharedKey()) != a.MaximumPreSharedKeyLength() {
		t.Errorf("kept %d and %d bytes", len(a.Identity()), len(a.PreSharedKey()))
	}
	key := []byte("key")
	a.SetPreSharedKey(key)
	key[0] = 'K'
	if string(a.PreSharedKey()) != "key" {
		t.Error("the caller's memory was kept")
	}
}
