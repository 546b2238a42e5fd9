package conn_test

import (
	"testing"

	"gdtls/conn"
)

// TestSeveralCertificates asserts that a server shows the certificate that was
// issued for the name that its client asks for, and a client the one whose issuer
// the server names.
func TestSeveralCertificates(t *testing.T) {
	wild := testCA().Leaf(t, conn.TestNames([]string{"*.wild.example"})).Certificate(t)
	for host, want := range map[string]*conn.TlsCertificate{"server.example": serverCert(), "a.wild.example": wild} {
		p := newPair(t)
		if err := p.server.AddCertificate(wild); err != nil {
			t.Fatal(err)
		}
		p.client.SetServerIdentity(conn.NetworkAddress{Hostname: host})
		mustHandshake(t, p)
		if !p.client.PeerCertificate().IsSame(want) {
			t.Errorf("%s: certificate of %s", host, p.client.PeerCertificate().SubjectName())
		}
	}

	other := conn.NewTestCA(t, "another CA")
	foreign := other.Leaf(t).Certificate(t)
	for name, test := range map[string]struct {
		accepted [][]byte
		want     *conn.TlsCertificate
	}{
		"default":    {nil, clientCert()},
		"first fits": {[][]byte{testCA().Subject()}, clientCert()},
		"other fits": {[][]byte{other.Subject()}, foreign},
		"none fits":  {[][]byte{{0x30, 0}}, clientCert()},
	} {
		p := newPair(t)
		p.client.SetCertificate(clientCert())
		if err := p.client.AddCertificate(foreign); err != nil {
			t.Fatal(err)
		}
		p.server.SetAuthenticationMode(conn.AuthenticationRequired)
		p.server.SetAcceptedCAs(test.accepted)
		p.server.ConnectAcceptCertificate(func(*conn.DtlsConnection, *conn.TlsCertificate, conn.TlsCertificateFlags) bool { return true })
		mustHandshake(t, p)
		if !p.server.PeerCertificate().IsSame(test.want) {
			t.Errorf("%s: certificate issued by %s", name, p.server.PeerCertificate().IssuerName())
		}
	}
	p := newPair(t)
	wantTLS(t, p.client.AddCertificate(testCA().Leaf(t).PublicCertificate(t)), conn.TlsErrorBadCertificate)
	wantTLS(t, p.client.AddCertificate(nil), conn.TlsErrorBadCertificate)
}
