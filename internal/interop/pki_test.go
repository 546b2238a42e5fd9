package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gdtls/conn"
)

const (
	serverName = "server.example"
	clientName = "client.example"
)

// credential is a certificate with its key and the chain above it, without the root.
type credential struct {
	chain []*x509.Certificate // leaf first
	key   crypto.Signer
}

// pki is what the tests show each other: a root, an intermediate under it, and a
// credential for each kind of key, which serves servers and clients alike. pion v2
// takes an RSA key for one only if the certificate is signed by RSA too, so that RSA
// has an intermediate of its own. plain and plainRSA are issued by the root itself. other is a root
// that issued none of them but foreign.
type pki struct {
	root, other                *x509.Certificate
	p256, p384, ed25519, rsa   *credential
	plain, plainRSA            *credential
	client, clientRSA, foreign *credential
}

// testPKI makes it once: making RSA keys takes its time.
var testPKI = sync.OnceValue(func() *pki {
	root := newRoot("gdtls root")
	other := newRoot("another root")
	intermediate := root.issue("gdtls intermediate", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), true)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	intermediateRSA := root.issue("gdtls RSA intermediate", rsaKey, true)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	ec := func(curve elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(curve, rand.Reader)) }
	return &pki{
		root:      root.chain[0],
		other:     other.chain[0],
		p256:      intermediate.issue(serverName, ec(elliptic.P256()), false),
		p384:      intermediate.issue(serverName, ec(elliptic.P384()), false),
		ed25519:   intermediate.issue(serverName, edKey, false),
		rsa:       intermediateRSA.issue(serverName, rsaKey, false),
		plain:     root.issue(serverName, ec(elliptic.P256()), false),
		plainRSA:  root.issue(serverName, rsaKey, false),
		client:    intermediate.issue(clientName, ec(elliptic.P256()), false),
		clientRSA: intermediateRSA.issue(clientName, rsaKey, false),
		foreign:   other.issue(clientName, ec(elliptic.P256()), false),
	}
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newRoot(name string) *credential {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := newTemplate(name, true)
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &credential{chain: []*x509.Certificate{must(x509.ParseCertificate(der))}, key: key}
}

// issue makes a credential below c.
func (c *credential) issue(name string, key crypto.Signer, isCA bool) *credential {
	der := must(x509.CreateCertificate(rand.Reader, newTemplate(name, isCA), c.chain[0], key.Public(), c.key))
	chain := []*x509.Certificate{must(x509.ParseCertificate(der))}
	for _, above := range c.chain {
		if above.CheckSignatureFrom(above) != nil { // roots are not sent
			chain = append(chain, above)
		}
	}
	return &credential{chain: chain, key: key}
}

func newTemplate(name string, isCA bool) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber:          must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  isCA,
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		return template
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{name}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	return template
}

func pemOf(certificates ...*x509.Certificate) (out []byte) {
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// algorithm is that of the key; nothing without one.
func (c *credential) algorithm() x509.PublicKeyAlgorithm {
	if c == nil {
		return x509.UnknownPublicKeyAlgorithm
	}
	return c.chain[0].PublicKeyAlgorithm
}

func (c *credential) keyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(c.key))})
}

// tls is the credential in the form of crypto/tls.
func (c *credential) tls() tls.Certificate {
	out := tls.Certificate{PrivateKey: c.key}
	for _, certificate := range c.chain {
		out.Certificate = append(out.Certificate, certificate.Raw)
	}
	return out
}

// ours is the credential in our form.
func (c *credential) ours(t testing.TB) *conn.TlsCertificate {
	t.Helper()
	certificate, err := conn.NewCertificate(c.tls())
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// databaseOf trusts one root.
func databaseOf(t testing.TB, root *x509.Certificate) conn.TlsDatabase {
	t.Helper()
	certificate, err := conn.NewCertificateFromPEM(pemOf(root))
	if err != nil {
		t.Fatal(err)
	}
	return conn.NewDatabaseFromCertificates(certificate)
}

// file writes content for a program to read.
func file(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
