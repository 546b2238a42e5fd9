package conn

import (
	"crypto/x509"
	"testing"
	"time"
)

// A chain whose path was found is not searched again, but only as long as nothing
// changes that could give another result.
func TestVerifiedAgain(t *testing.T) {
	ca, stranger := newTestCA(t, "CA"), newTestCA(t, "stranger")
	leaf := ca.leaf(t, withDates(-time.Hour, 5*time.Minute), withUsages(x509.ExtKeyUsageServerAuth))
	chain := leaf.with(t)
	roots := newAnchors([]*x509.Certificate{ca.certificate})
	others := newAnchors([]*x509.Certificate{stranger.certificate})
	verify := func(roots *anchors, purpose string, identity SocketConnectable, now time.Time) TlsCertificateFlags {
		return verifyChain(chain, roots, purpose, identity, now)
	}
	server := NetworkAddress{Hostname: "server.example"}
	if got := verify(roots, PurposeAuthenticateServer, server, testNow); got != 0 {
		t.Fatal(got)
	}
	first := chain.verified.Load()
	if first == nil {
		t.Fatal("the path is not kept")
	}
	if got := verify(roots, PurposeAuthenticateServer, server, testNow.Add(time.Minute)); got != 0 || chain.verified.Load() != first {
		t.Errorf("%v, or the path was searched again", got)
	}
	for name, test := range map[string]struct {
		got, want TlsCertificateFlags
	}{
		"another identity":  {verify(roots, PurposeAuthenticateServer, NetworkAddress{Hostname: "other.example"}, testNow), CertificateBadIdentity},
		"other authorities": {verify(others, PurposeAuthenticateServer, server, testNow), CertificateUnknownCA},
		"after its end":     {verify(roots, PurposeAuthenticateServer, server, testNow.Add(6*time.Minute)), CertificateExpired},
		"before it began":   {verify(roots, PurposeAuthenticateServer, server, testNow.Add(-2*time.Hour)), CertificateNotActivated},
		"no authorities":    {verify(nil, PurposeAuthenticateServer, server, testNow), CertificateNoFlags},
		"another purpose":   {verify(roots, "1.3.6.1.5.5.7.3.3", server, testNow), CertificateGenericError},
	} {
		if test.got != test.want {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	if got := verify(roots, PurposeAuthenticateServer, server, testNow); got != 0 {
		t.Error(got)
	}
}
