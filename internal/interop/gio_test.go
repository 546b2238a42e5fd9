package interop

import (
	"crypto/x509"
	"regexp"
	"strconv"
	"testing"

	"gdtls/conn"
	"gdtls/datagram"
)

// TestAcceptCertificate has the handlers of accept-certificate decide: ours of Gio's
// certificates, and Gio's of ours. Both find the same fault with the same certificate.
func TestAcceptCertificate(t *testing.T) {
	k := testPKI()
	const requested = conn.AuthenticationRequested
	for name, test := range map[string]struct {
		trust      *x509.Certificate
		name       string
		byClient   bool // the client judges the server; else the server a client of another CA
		flags      conn.TlsCertificateFlags
		acceptable bool
	}{
		"client, unknown CA":         {k.other, serverName, true, conn.CertificateUnknownCA, true},
		"client, wrong name":         {k.root, "elsewhere.example", true, conn.CertificateBadIdentity, true},
		"client, both":               {k.other, "elsewhere.example", true, conn.CertificateUnknownCA | conn.CertificateBadIdentity, true},
		"client refuses":             {k.other, serverName, true, conn.CertificateUnknownCA, false},
		"server, nothing wrong":      {k.root, serverName, false, 0, true},
		"server, unknown CA":         {k.other, serverName, false, conn.CertificateUnknownCA, true},
		"server refuses, unknown CA": {k.other, serverName, false, conn.CertificateUnknownCA, false},
	} {
		for role, server := range map[string]bool{"client": false, "server": true} {
			t.Run(name+"/"+role, func(t *testing.T) {
				t.Parallel()
				o := usual()
				o.client.name = test.name
				judge := &o.client
				if !test.byClient {
					judge = &o.server
					o.client.credential, o.server.auth = k.client, requested
				}
				judge.trust, judge.accept = test.trust, test.acceptable
				m := begun(t, gio, server, o)
				weJudge := test.byClient != server
				if weJudge {
					m.ours.ConnectAcceptCertificate(func(_ *conn.DtlsConnection, _ *conn.TlsCertificate, flags conn.TlsCertificateFlags) bool {
						if flags != test.flags {
							t.Errorf("our handler was given %v, want %v", flags, test.flags)
						}
						return test.acceptable
					})
				}
				switch {
				case test.acceptable:
					m.ours.mustHandshake(t)
					m.theirs.established(t)
					m.exchange(t, 20)
				case weJudge:
					expectError(t, m.ours.handshake(), conn.ErrBadCertificate, "nacceptable TLS certificate")
				default:
					expectPeerRefusal(t, m, true, conn.ErrMisc, "")
				}
				if !weJudge {
					if got := m.theirs.reported().flags; got == nil || *got != strconv.Itoa(int(test.flags)) {
						t.Errorf("Gio's handler was given %v, want %d", got, test.flags)
					}
				} else if got := m.ours.PeerCertificateErrors(); got != test.flags {
					t.Errorf("errors are %v, want %v", got, test.flags)
				}
			})
		}
	}
}

// TestErrorsOnBothSides compares the domains and codes of errors with those of Gio in
// the same place.
func TestErrorsOnBothSides(t *testing.T) {
	type code struct {
		domain string
		number int
	}
	k := testPKI()
	failed := regexp.MustCompile(`(?m)^failed: (\S+) (\d+) `)
	ourCode := func(err error) code {
		switch e := err.(type) {
		case *conn.TlsError:
			return code{"g-tls-error-quark", int(e.Code)}
		case *datagram.IOError:
			return code{"g-io-error-quark", int(e.Code)}
		}
		return code{}
	}
	for name, test := range map[string]struct {
		set    func(*setup)
		client bool // the client finds the fault
	}{
		"unknown CA": {func(o *setup) { o.client.trust = k.other }, true},
		"wrong name": {func(o *setup) { o.client.name = "elsewhere.example" }, true},
		"client's unknown CA": {func(o *setup) {
			o.client.credential, o.server.auth, o.server.trust = k.client, conn.AuthenticationRequired, k.other
		}, false},
		"no certificate": {func(o *setup) { o.server.auth, o.server.trust = conn.AuthenticationRequired, k.root }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := usual()
			test.set(&o)
			theirs := begun(t, gio, test.client, o) // first Gio finds the fault
			expectPeerRefusal(t, theirs, true, conn.ErrMisc, "")
			found := failed.FindStringSubmatch(theirs.theirs.(*librarySession).text())
			if found == nil {
				t.Fatal("Gio has not failed")
			}
			number, _ := strconv.Atoi(found[2])
			ours := begun(t, gio, !test.client, o) // then we
			if got, want := ourCode(ours.ours.handshake()), (code{found[1], number}); got != want {
				t.Errorf("our error is %v, Gio's %v", got, want)
			}
		})
	}
}
