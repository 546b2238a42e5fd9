package conn

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// opaqueSigner is a private key that cannot be read, as that of a smart card.
type opaqueSigner struct{ crypto.Signer }

func TestNewCertificate(t *testing.T) {
	ca := newTestCA(t, "CA")
	intermediate := ca.intermediate(t, "intermediate")
	leaf := intermediate.leaf(t)
	for name, order := range map[string][]*testAuthority{
		"in order":  {intermediate, ca},
		"shuffled":  {ca, intermediate},
		"redundant": {leaf, intermediate, intermediate, ca, leaf},
	} {
		c := leaf.with(t, order...)
		if !c.Issuer().IsSame(intermediate.with(t)) || !c.Issuer().Issuer().IsSame(ca.with(t)) || c.Issuer().Issuer().Issuer() != nil {
			t.Errorf("%s: the issuers are not linked", name)
		}
		if got := c.chainDER(); !reflect.DeepEqual(got, leaf.chain(intermediate, ca)) {
			t.Errorf("%s: the chain sent has %d certificates", name, len(got))
		}
	}
	// A certificate off the path is kept and sent, but is nobody's issuer.
	stranger := newTestCA(t, "stranger")
	if c := leaf.with(t, stranger); c.Issuer() != nil || !reflect.DeepEqual(c.chainDER(), leaf.chain(stranger)) {
		t.Error("a stranger's certificate was linked or lost")
	}
	c, err := NewCertificate(tls.Certificate{Certificate: leaf.chain()})
	if err != nil || c.HasPrivateKey() || c.signer() != nil || c.PrivateKey() != nil || c.PrivateKeyPEM() != "" {
		t.Errorf("without key: %v", err)
	}
	signer := opaqueSigner{leaf.key}
	c, err = NewCertificate(tls.Certificate{Certificate: leaf.chain(), PrivateKey: signer})
	if err != nil || !c.HasPrivateKey() || c.signer() != signer {
		t.Errorf("opaque key: %v", err)
	} else if c.PrivateKey() != nil || c.PrivateKeyPEM() != "" { // G128
		t.Error("an opaque key was read")
	}
}

func TestNewCertificateRefuses(t *testing.T) {
	ca := newTestCA(t, "CA")
	leaf := ca.leaf(t)
	for name, test := range map[string]struct {
		certificate tls.Certificate
		want        string
	}{
		"nothing":       {tls.Certificate{}, "the tls.Certificate holds no certificate"},
		"too many":      {tls.Certificate{Certificate: slices.Repeat(leaf.chain(), 17)}, "the tls.Certificate holds 17 certificates, at most 16 are allowed"},
		"garbage":       {tls.Certificate{Certificate: [][]byte{leaf.certificate.Raw, {1, 2}}}, "cannot parse certificate 1 of the chain: "},
		"another's key": {tls.Certificate{Certificate: leaf.chain(), PrivateKey: ca.key}, `the private key does not belong to the certificate of "CN=server.example,O=Example\\, Inc."`},
		"no signer":     {tls.Certificate{Certificate: leaf.chain(), PrivateKey: "key"}, "the private key is a string, which is no crypto.Signer"},
	} {
		if c, err := NewCertificate(test.certificate); c != nil || !errors.Is(err, ErrBadCertificate) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v %v, want %q", name, c, err, test.want)
		}
	}
}

func TestCertificateProperties(t *testing.T) { // G123-G128, dates, names and SANs of G218
	ca := newTestCA(t, "CA")
	leaf := ca.leaf(t, withNames([]string{"server.example", "b.example"}, "127.0.0.1", "2001:db8::1"))
	c := leaf.with(t, ca)
	if c.X509() == nil || !bytes.Equal(c.Certificate(), leaf.certificate.Raw) {
		t.Error("the DER differs")
	}
	if !c.NotValidBefore().Equal(leaf.certificate.NotBefore) || !c.NotValidAfter().Equal(leaf.certificate.NotAfter) {
		t.Errorf("valid from %v to %v", c.NotValidBefore(), c.NotValidAfter())
	}
	if c.SubjectName() != `CN=server.example,O=Example\, Inc.` {
		t.Errorf("subject is %q", c.SubjectName())
	}
	if c.IssuerName() != "CN=CA" {
		t.Errorf("issuer is %q", c.IssuerName())
	}
	if !slices.Equal(c.DNSNames(), []string{"server.example", "b.example"}) {
		t.Errorf("DNS names are %q", c.DNSNames())
	}
	if want := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")}; !slices.Equal(c.IPAddresses(), want) {
		t.Errorf("addresses are %v", c.IPAddresses())
	}
	unnamed := ca.leaf(t, withNames(nil)).with(t)
	if unnamed.DNSNames() != nil || unnamed.IPAddresses() != nil {
		t.Error("names out of nothing")
	}

	bare, err := NewCertificateFromPEM([]byte(c.CertificatePEM()))
	if err != nil {
		t.Fatal(err)
	}
	if !bare.IsSame(c) || !c.IsSame(bare) || bare.HasPrivateKey() || bare.Issuer() != nil { // G123
		t.Error("the PEM gives another certificate, or more than one")
	}
	if c.IsSame(ca.with(t)) || c.IsSame(nil) {
		t.Error("different certificates are the same")
	}
	// What is given out does not reach inside.
	c.Certificate()[0]++
	c.DNSNames()[0] = "changed"
	if !bytes.Equal(c.Certificate(), leaf.certificate.Raw) || c.DNSNames()[0] != "server.example" {
		t.Error("a caller can change the certificate")
	}
}

func TestPrivateKeyRoundTrip(t *testing.T) { // G128, private-key of G218
	ca := newTestCA(t, "CA")
	for name, key := range map[string]crypto.Signer{
		"ECDSA": testECDSAKey(t), "RSA": testRSA2048(), "Ed25519": testEd25519Key(t),
	} {
		c := ca.leafWithKey(t, key).with(t)
		again, err := NewCertificateFromPEM([]byte(c.CertificatePEM() + c.PrivateKeyPEM()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(again.PrivateKey())
		if err != nil || !parsed.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
			t.Errorf("%s: the key changed: %v", name, err)
		}
	}
}
