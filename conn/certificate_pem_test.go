package conn

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func pemText(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func (ca *testAuthority) pem() string { return pemText("CERTIFICATE", ca.certificate.Raw) }

func (ca *testAuthority) keyPEM(tb testing.TB) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		tb.Fatal(err)
	}
	return pemText("PRIVATE KEY", der)
}

func writeFile(tb testing.TB, name, text string) string {
	tb.Helper()
	name = filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

func TestCertificateFromPEM(t *testing.T) { // G110-G112, create, chain and no-chain of G218
	ca := newTestCA(t, "CA")
	intermediate := ca.intermediate(t, "intermediate")
	leaf, stranger := intermediate.leaf(t), newTestCA(t, "stranger")
	// The issuer's name and key identifier, but another key.
	impostor := newTestCA(t, "intermediate", func(c *x509.Certificate) { c.SubjectKeyId = intermediate.certificate.SubjectKeyId })
	chain := leaf.pem() + intermediate.pem() + ca.pem()
	key := leaf.keyPEM(t)
	parameters := pemText("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for name, test := range map[string]struct {
		text    string
		issuers int
		key     bool
	}{
		"certificate":              {leaf.pem(), 0, false},
		"certificate and key":      {leaf.pem() + key, 0, true},
		"key and certificate":      {key + leaf.pem(), 0, true},
		"parameters, key and more": {parameters + key + "comment\n" + leaf.pem() + "the end", 0, true},
		"Windows lines":            {strings.ReplaceAll(key+leaf.pem(), "\n", "\r\n"), 0, true},
		"blanks after the lines":   {strings.ReplaceAll(leaf.pem(), "-----\n", "----- \t\n"), 0, false},
		"chain":                    {chain, 2, false},
		"chain and key":            {chain + key, 2, true},
		"key amid the chain":       {leaf.pem() + key + intermediate.pem(), 1, true},
		"only the intermediate":    {leaf.pem() + intermediate.pem(), 1, false},
		"no chain":                 {leaf.pem() + stranger.pem(), 0, false},
		"chain with a hole":        {leaf.pem() + ca.pem(), 0, false},
		"chain and a stranger":     {chain + stranger.pem(), 0, false},
		"issuer of another key":    {leaf.pem() + impostor.pem(), 0, false},
		"self-signed twice":        {ca.pem() + ca.pem(), 0, false},
		"many":                     {leaf.pem() + strings.Repeat(intermediate.pem(), 20), 0, false},
		"broken other block":       {"-----BEGIN X509 CRL-----\n!\n" + leaf.pem(), 0, false},
		"header in a text":         {"a -----BEGIN of something\n" + leaf.pem(), 0, false},
	} {
		c, err := NewCertificateFromPEM([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		issuers := 0
		for link := c.Issuer(); link != nil; link = link.Issuer() {
			issuers++
			if link.HasPrivateKey() {
				t.Errorf("%s: issuer %d has a private key", name, issuers)
			}
		}
		if issuers != test.issuers || c.HasPrivateKey() != test.key {
			t.Errorf("%s: %d issuers, key %v", name, issuers, c.HasPrivateKey())
		}
	}
}

func TestCertificateFromPEMRefuses(t *testing.T) { // G112, G113, garbage of G218
	ca := newTestCA(t, "CA")
	leaf := ca.leaf(t)
	key := leaf.keyPEM(t)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519DER, err := x509.MarshalPKCS8PrivateKey(x25519)
	if err != nil {
		t.Fatal(err)
	}
	cutOff := func(text string) string { return text[:strings.Index(text, "-----END")] }
	legacy := "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
	for name, test := range map[string]struct{ text, want string }{
		"nothing":              {"", "no certificate in the PEM text"},
		"garbage":              {"garbage", "no certificate in the PEM text"},
		"only a key":           {key, "no certificate in the PEM text"},
		"DER":                  {string(leaf.certificate.Raw), "no certificate in the PEM text"},
		"cut off":              {cutOff(leaf.pem()), "cannot read certificate 1 of the PEM text: no line -----END CERTIFICATE----- follows"},
		"second cut off":       {leaf.pem() + cutOff(ca.pem()), "cannot read certificate 2 of the PEM text: no line -----END"},
		"first cut off":        {cutOff(leaf.pem()) + ca.pem(), "cannot read certificate 1 of the PEM text: no line -----END"},
		"not base64":           {strings.Replace(leaf.pem(), "M", "!", 1), "cannot read certificate 1 of the PEM text: the text between"},
		"not a certificate":    {pemText("CERTIFICATE", []byte{0x30, 0}), "cannot parse certificate 1 of the PEM text: "},
		"key cut off":          {leaf.pem() + cutOff(key), "cannot read the private key of the PEM text: no line -----END PRIVATE KEY----- follows"},
		"key not a key":        {leaf.pem() + pemText("PRIVATE KEY", []byte{0x30, 0}), "cannot parse the private key of the PEM text: "},
		"RSA key not a key":    {leaf.pem() + pemText("RSA PRIVATE KEY", []byte{0x30, 0}), "cannot parse the private key of the PEM text: "},
		"EC key not a key":     {leaf.pem() + pemText("EC PRIVATE KEY", []byte{0x30, 0}), "cannot parse the private key of the PEM text: "},
		"key that only agrees": {leaf.pem() + pemText("PRIVATE KEY", x25519DER), "cannot parse the private key of the PEM text: a key of type *ecdh.PrivateKey cannot sign"},
		"encrypted key":        {leaf.pem() + pemText("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), "cannot decrypt the private key of the PEM text; decrypt it first (openssl pkey)"},
		"encrypted, legacy":    {leaf.pem() + legacy, "cannot decrypt the private key of the PEM text"},
		"another's key":        {leaf.pem() + ca.keyPEM(t), "the private key does not belong to the certificate of "},
		"key of the issuer":    {leaf.pem() + ca.pem() + ca.keyPEM(t), "the private key does not belong to the certificate of "},
	} {
		c, err := NewCertificateFromPEM([]byte(test.text))
		if c != nil || !errors.Is(err, ErrBadCertificate) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v %v, want %q", name, c, err, test.want)
		}
	}
}

func TestCertificateFromFiles(t *testing.T) { // G114, G116, G119, list and bad list of G218
	ca := newTestCA(t, "CA")
	leaf := ca.leaf(t)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	certificate, key := writeFile(t, "c.pem", leaf.pem()+ca.pem()), writeFile(t, "k.pem", leaf.keyPEM(t))
	both, garbage := writeFile(t, "b.pem", leaf.pem()+leaf.keyPEM(t)), writeFile(t, "g.pem", "garbage")
	bad := writeFile(t, "bad.pem", leaf.pem()+pemText("CERTIFICATE", []byte{1}))

	if c, err := NewCertificateFromFile(both); err != nil || !c.HasPrivateKey() {
		t.Errorf("one file: %v", err)
	}
	if _, err := NewCertificateFromFile(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := NewCertificateFromFile(t.TempDir()); err == nil || errors.Is(err, ErrBadCertificate) {
		t.Errorf("folder: %v", err)
	}
	huge := writeFile(t, "huge.pem", "")
	if err := os.Truncate(huge, maxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCertificateFromFile(huge); !errors.Is(err, ErrBadCertificate) || !strings.HasPrefix(err.Error(), huge+" is too large") {
		t.Errorf("huge file: %v", err)
	}
	if _, err := NewCertificateFromFile(garbage); !errors.Is(err, ErrBadCertificate) || err.Error() != garbage+": no certificate in the PEM text" {
		t.Errorf("garbage file: %v", err)
	}

	if c, err := NewCertificateFromFiles(certificate, key); err != nil || !c.HasPrivateKey() || c.Issuer() == nil {
		t.Errorf("two files: %v", err)
	}
	if c, err := NewCertificateFromFiles(both, both); err != nil || !c.HasPrivateKey() {
		t.Errorf("one file twice: %v", err)
	}
	if _, err := NewCertificateFromFiles(missing, certificate); !errors.Is(err, ErrBadCertificate) || err.Error() != certificate+": no private key in the PEM text" {
		t.Errorf("the key file is not read first: %v", err)
	}
	if _, err := NewCertificateFromFiles(missing, key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing certificate file: %v", err)
	}
	if _, err := NewCertificateFromFiles(key, key); !errors.Is(err, ErrBadCertificate) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := NewCertificateFromFiles(bad, key); !errors.Is(err, ErrBadCertificate) || !strings.HasPrefix(err.Error(), bad+": cannot parse certificate 2") {
		t.Errorf("bad certificate file: %v", err)
	}

	list, err := ListCertificatesFromFile(certificate)
	if err != nil || len(list) != 2 || !list[0].IsSame(leaf.with(t)) || !list[1].IsSame(ca.with(t)) || list[0].Issuer() != nil {
		t.Errorf("list: %v %v", list, err)
	}
	if list, err := ListCertificatesFromFile(garbage); err != nil || len(list) != 0 {
		t.Errorf("list of nothing: %v %v", list, err)
	}
	if list, err := ListCertificatesFromFile(bad); list != nil || !errors.Is(err, ErrBadCertificate) {
		t.Errorf("bad list: %v %v", list, err)
	}
	if list, err := ListCertificatesFromFile(missing); list != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list of a missing file: %v %v", list, err)
	}
}

// TestCertificateFromOpenSSL reads keys and containers in the forms that openssl writes.
func TestCertificateFromOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("the openssl command is not installed")
	}
	for name, commands := range map[string][]string{
		"RSA, PKCS#8":   {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key"},
		"RSA, PKCS#1":   {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out raw", "rsa -in raw -traditional -out key"},
		"EC, SEC 1":     {"ecparam -name prime256v1 -genkey -out key"},
		"EC, PKCS#8":    {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp384r1 -out key"},
		"Ed25519":       {"genpkey -algorithm ed25519 -out key"},
		"EC, encrypted": {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key", "pkey -in key -aes128 -passout pass:secret -out encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			commands := append(commands, "req -x509 -new -key key -subj /O=Example/CN=server.example -addext subjectAltName=DNS:server.example -days 2 -out cert",
				"pkcs12 -export -in cert -inkey key -passout pass:secret -out both.p12")
			for _, command := range commands {
				run := exec.Command(openssl, strings.Fields(command)...)
				run.Dir = folder
				if output, err := run.CombinedOutput(); err != nil {
					t.Fatalf("openssl %s: %v\n%s", command, err, output)
				}
			}
			certificate, key := filepath.Join(folder, "cert"), filepath.Join(folder, "key")
			c, err := NewCertificateFromFiles(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			if c.SubjectName() != "CN=server.example,O=Example" {
				t.Errorf("subject is %q", c.SubjectName())
			}
			if flags := c.Verify(testIdentity, c); flags != 0 {
				t.Errorf("the certificate has %v", flags)
			}
			container := filepath.Join(folder, "both.p12")
			if both, err := NewCertificateFromFileWithPassword(container, "secret"); err != nil || !both.IsSame(c) || !both.HasPrivateKey() {
				t.Errorf("PKCS#12: %v", err)
			}
			encrypted := filepath.Join(folder, "encrypted")
			if _, err := os.Stat(encrypted); err != nil {
				return
			}
			if _, err := NewCertificateFromFiles(certificate, encrypted); !errors.Is(err, ErrBadCertificate) || !strings.Contains(err.Error(), "cannot decrypt") {
				t.Errorf("encrypted key: %v", err)
			}
		})
	}
}

func FuzzCertificateFromPEM(f *testing.F) {
	ca := newTestCA(f, "CA")
	leaf := ca.leaf(f)
	f.Add([]byte(leaf.pem() + ca.pem() + leaf.keyPEM(f)))
	f.Add([]byte(leaf.keyPEM(f) + leaf.pem()))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----"))
	f.Add([]byte("-----BEGIN -----\n-----END -----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := NewCertificateFromPEM(data)
		if err != nil {
			if c != nil || !errors.Is(err, ErrBadCertificate) {
				t.Errorf("got %v and the error %v", c, err)
			}
			return
		}
		again, err := NewCertificateFromPEM([]byte(c.CertificatePEM()))
		if err != nil || !again.IsSame(c) {
			t.Errorf("what was read cannot be read again: %v", err)
		}
		if chain := c.chainDER(); len(chain) > maxChainCertificates || !bytes.Equal(chain[0], c.Certificate()) {
			t.Errorf("a chain of %d", len(chain))
		}
	})
}
