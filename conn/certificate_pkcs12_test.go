package conn

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"gdtls/datagram"
)

// encodePKCS12 makes a container with a key and certificates in this order.
func encodePKCS12(t *testing.T, how *pkcs12.Encoder, password string, key crypto.Signer, certificates ...*testAuthority) []byte {
	t.Helper()
	var others []*x509.Certificate
	for _, c := range certificates[1:] {
		others = append(others, c.certificate)
	}
	data, err := how.Encode(key, certificates[0].certificate, others, password)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCertificateFromPKCS12(t *testing.T) { // G117, G132, pkcs12 of G218
	root := newTestCA(t, "root")
	middle := root.intermediate(t, "middle")
	leaf := middle.leaf(t)
	rsa := root.leafWithKey(t, testRSA2048())
	for _, test := range []struct {
		name     string
		how      *pkcs12.Encoder
		password string
		chain    []*testAuthority
		leaf     *testAuthority
		issuers  int
	}{
		{"basic", pkcs12.Passwordless, "", []*testAuthority{leaf}, leaf, 0},
		{"empty password", pkcs12.Modern, "", []*testAuthority{leaf}, leaf, 0},
		{"password", pkcs12.Modern, "1234", []*testAuthority{leaf}, leaf, 0},
		{"password in another script", pkcs12.Modern, "пароль", []*testAuthority{leaf}, leaf, 0},
		{"encrypted as in old times", pkcs12.LegacyDES, "1234", []*testAuthority{rsa}, rsa, 0},
		{"chain", pkcs12.Modern, "1234", []*testAuthority{leaf, middle, root}, leaf, 2},
		{"chain upside down", pkcs12.Modern, "1234", []*testAuthority{root, middle, leaf}, leaf, 2},
		{"chain and a stranger", pkcs12.Modern, "1234", []*testAuthority{rsa, leaf, middle}, leaf, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := encodePKCS12(t, test.how, test.password, test.leaf.key, test.chain...)
			c, err := NewCertificateFromPKCS12(data, test.password)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Certificate(), test.leaf.certificate.Raw) || !c.HasPrivateKey() {
				t.Errorf("leaf is %s, key: %v", c.SubjectName(), c.HasPrivateKey())
			}
			issuers := 0
			for issuer := c.Issuer(); issuer != nil; issuer = issuer.Issuer() {
				issuers++
			}
			if issuers != test.issuers {
				t.Errorf("%d issuers, want %d", issuers, test.issuers)
			}
			if flags := c.Verify(testIdentity, root.with(t)); test.issuers > 0 && flags&CertificateUnknownCA != 0 && test.name != "chain and a stranger" {
				t.Errorf("chain is not complete: %v", flags)
			}
		})
	}
}

func TestCertificateFromPKCS12Refuses(t *testing.T) { // G117
	ca := newTestCA(t, "CA")
	leaf, other := ca.leaf(t), ca.leaf(t)
	good := encodePKCS12(t, pkcs12.Modern, "1234", leaf.key, leaf)
	var many []*testAuthority
	for range maxChainCertificates + 1 {
		many = append(many, leaf)
	}
	trustStore, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{ca.certificate}, "1234")
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for _, test := range []struct {
		name     string
		data     []byte
		password string
		want     error
	}{
		{"wrong password", good, "4321", ErrBadCertificatePassword},
		{"no password", good, "", ErrBadCertificatePassword},
		{"key of another", encodePKCS12(t, pkcs12.Modern, "1234", other.key, leaf), "1234", ErrBadCertificate},
		{"too many", encodePKCS12(t, pkcs12.Modern, "1234", leaf.key, many...), "1234", ErrBadCertificate},
		{"no key", trustStore, "1234", ErrBadCertificate},
		{"cut off", good[:len(good)-10], "1234", ErrBadCertificate},
		{"changed", flipped, "1234", ErrBadCertificatePassword}, // nothing tells the two apart
		{"PEM", []byte("-----BEGIN CERTIFICATE-----"), "1234", ErrBadCertificate},
		{"nothing", nil, "1234", ErrBadCertificate},
	} {
		if _, err := NewCertificateFromPKCS12(test.data, test.password); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestCertificateFromPKCS12File(t *testing.T) { // G114, G115
	leaf := newTestCA(t, "CA").leaf(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	open := write("open.p12", encodePKCS12(t, pkcs12.Passwordless, "", leaf.key, leaf))
	locked := write("locked.PFX", encodePKCS12(t, pkcs12.Modern, "1234", leaf.key, leaf))
	if c, err := NewCertificateFromFile(open); err != nil || !c.HasPrivateKey() {
		t.Errorf("without password: %v", err)
	}
	if _, err := NewCertificateFromFile(locked); !errors.Is(err, ErrBadCertificatePassword) {
		t.Errorf("password needed: %v", err)
	}
	if c, err := NewCertificateFromFileWithPassword(locked, "1234"); err != nil || !c.HasPrivateKey() {
		t.Errorf("with password: %v", err)
	}
	if _, err := NewCertificateFromFileWithPassword(filepath.Join(dir, "none.pem"), "1234"); !errors.Is(err, datagram.ErrNotSupported) {
		t.Errorf("PEM with password: %v", err)
	}
	if _, err := NewCertificateFromFileWithPassword(filepath.Join(dir, "none.p12"), "1234"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestPKCS11IsNotSupported(t *testing.T) { // G118, G130, pkcs11 of G218
	if _, err := NewCertificateFromPKCS11URIs("pkcs11:object=x", ""); !errors.Is(err, datagram.ErrNotSupported) {
		t.Errorf("error is %v", err)
	}
	c := newTestCA(t, "CA").leaf(t).with(t)
	if c.PKCS11URI() != "" || c.PrivateKeyPKCS11URI() != "" {
		t.Error("a certificate has a PKCS#11 URI")
	}
}

func FuzzCertificateFromPKCS12(f *testing.F) {
	leaf := newTestCA(f, "CA").leaf(f)
	data, err := pkcs12.Passwordless.Encode(leaf.key, leaf.certificate, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := NewCertificateFromPKCS12(data, ""); (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}
