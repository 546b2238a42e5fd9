package conn

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
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A small PKI for tests. testNow lies in the validity of every certificate
// that does not ask for another; dates are relative to the real clock, so that
// what verifies at time.Now does so too.
var testNow = time.Now().Truncate(time.Second)

var testSerial atomic.Int64

// testAuthority is a certificate with the key to issue more.
type testAuthority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// testOption changes the template of a certificate before it is signed.
type testOption func(*x509.Certificate)

func withDates(notBefore, notAfter time.Duration) testOption {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = testNow.Add(notBefore), testNow.Add(notAfter)
	}
}

var (
	expired     = withDates(-48*time.Hour, -24*time.Hour)
	notYetValid = withDates(24*time.Hour, 48*time.Hour)
)

func withNames(dns []string, ips ...string) testOption {
	return func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = dns, nil
		for _, ip := range ips {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(ip))
		}
	}
}

func withUsages(usages ...x509.ExtKeyUsage) testOption {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

func withAlgorithm(algorithm x509.SignatureAlgorithm) testOption {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = algorithm }
}

func testECDSAKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	return testECDSAKeyOn(tb, elliptic.P256())
}

func testECDSAKeyOn(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func testEd25519Key(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// RSA keys take long to make: each size is made once.
var testRSA2048 = sync.OnceValue(func() *rsa.PrivateKey { return mustRSAKey(2048) })
var testRSA1024 = sync.OnceValue(func() *rsa.PrivateKey { return mustRSAKey(1024) })

func mustRSAKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// newTestCA makes a self-signed authority with an ECDSA key.
func newTestCA(tb testing.TB, name string, options ...testOption) *testAuthority {
	tb.Helper()
	return newTestCAWithKey(tb, name, testECDSAKey(tb), options...)
}

// newTestCAWithKey makes a self-signed authority with the given key.
func newTestCAWithKey(tb testing.TB, name string, key crypto.Signer, options ...testOption) *testAuthority {
	tb.Helper()
	return &testAuthority{signTest(tb, caTemplate(name), nil, key, key, options), key}
}

// intermediate issues an authority below ca.
func (ca *testAuthority) intermediate(tb testing.TB, name string, options ...testOption) *testAuthority {
	tb.Helper()
	key := testECDSAKey(tb)
	return ca.crossSign(tb, name, key, options...)
}

// crossSign issues an authority with the given key below ca.
func (ca *testAuthority) crossSign(tb testing.TB, name string, key crypto.Signer, options ...testOption) *testAuthority {
	tb.Helper()
	return &testAuthority{signTest(tb, caTemplate(name), ca.certificate, key, ca.key, options), key}
}

// leaf issues a certificate for server.example and 127.0.0.1, with its key.
func (ca *testAuthority) leaf(tb testing.TB, options ...testOption) *testAuthority {
	tb.Helper()
	return ca.leafWithKey(tb, testECDSAKey(tb), options...)
}

// leafWithKey issues a certificate for server.example and 127.0.0.1 for the
// given key.
func (ca *testAuthority) leafWithKey(tb testing.TB, key crypto.Signer, options ...testOption) *testAuthority {
	tb.Helper()
	return &testAuthority{signTest(tb, leafTemplate(), ca.certificate, key, ca.key, options), key}
}

// newTestSelfSigned makes a self-signed certificate for server.example that
// is no authority.
func newTestSelfSigned(tb testing.TB, options ...testOption) *testAuthority {
	tb.Helper()
	key := testECDSAKey(tb)
	return &testAuthority{signTest(tb, leafTemplate(), nil, key, key, options), key}
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "server.example", Organization: []string{"Example, Inc."}},
		DNSNames:              []string{"server.example"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
}

// signTest signs a template for key by parent, or by itself if parent is nil.
func signTest(tb testing.TB, template, parent *x509.Certificate, key, parentKey crypto.Signer, options []testOption) *x509.Certificate {
	tb.Helper()
	template.SerialNumber = big.NewInt(testSerial.Add(1))
	withDates(-time.Hour, time.Hour)(template)
	for _, option := range options {
		option(template)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// with gives the TlsCertificate of an authority or leaf with its key and the
// given certificates after it.
func (ca *testAuthority) with(tb testing.TB, others ...*testAuthority) *TlsCertificate {
	tb.Helper()
	certificate, err := NewCertificate(tls.Certificate{Certificate: ca.chain(others...), PrivateKey: ca.key})
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

// chain gives the DER of the certificate and of others after it.
func (ca *testAuthority) chain(others ...*testAuthority) [][]byte {
	chain := [][]byte{ca.certificate.Raw}
	for _, other := range others {
		chain = append(chain, other.certificate.Raw)
	}
	return chain
}
