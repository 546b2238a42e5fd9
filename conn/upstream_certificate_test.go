package conn_test

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"gdtls/conn"
	"gdtls/datagram"
)

// judgements are what certificates and databases are asked in the same way.
func judgements(t *testing.T, verify func(certificate *conn.TlsCertificate, ca *conn.TlsCertificate, identity conn.SocketConnectable) conn.TlsCertificateFlags) {
	ca, stranger := testCA(), conn.NewTestCA(t, "stranger").Certificate(t)
	other := conn.NetworkAddress{Hostname: "other.example"}
	good := serverCert()
	early, late := ca.Leaf(t, conn.TestNotYetValid).Certificate(t), ca.Leaf(t, conn.TestExpired).Certificate(t)
	const early4, late8 = conn.CertificateNotActivated, conn.CertificateExpired
	for name, test := range map[string]struct {
		certificate, ca *conn.TlsCertificate
		identity        conn.SocketConnectable
		want            conn.TlsCertificateFlags
	}{
		"verify-good":         {good, ca.Certificate(t), identity, 0},
		"verify-bad-identity": {good, ca.Certificate(t), other, badIdentity},
		"verify-bad-ca":       {good, stranger, identity, unknownCA},
		"verify-bad-before":   {early, ca.Certificate(t), identity, early4},
		"verify-bad-expired":  {late, ca.Certificate(t), identity, late8},
		"verify-bad-combo":    {late, stranger, other, late8 | unknownCA | badIdentity},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verify(test.certificate, test.ca, test.identity); got != test.want {
				t.Errorf("flags are %v, want %v", got, test.want)
			}
		})
	}
}

// The scenarios of glib-networking's tls/tests/certificate.c (G218).
func TestUpstreamCertificateScenarios(t *testing.T) {
	root := testCA()
	middle := root.Intermediate(t, "middle")
	chain := middle.Leaf(t).Certificate(t, middle, root)
	rootPEM, middlePEM, leafPEM, keyPEM := root.Certificate(t).CertificatePEM(), middle.Certificate(t).CertificatePEM(), chain.CertificatePEM(), chain.PrivateKeyPEM()
	parse := func(t *testing.T, text string) *conn.TlsCertificate {
		t.Helper()
		c, err := conn.NewCertificateFromPEM([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	issuers := func(c *conn.TlsCertificate) (n int) {
		for c = c.Issuer(); c != nil; c = c.Issuer() {
			n++
		}
		return n
	}
	written := func(t *testing.T, name, text string) string {
		t.Helper()
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	container := func(t *testing.T, password string) []byte {
		t.Helper()
		how := pkcs12.Modern
		if password == "" {
			how = pkcs12.Passwordless
		}
		data, err := how.Encode(chainKey(t, chain), chain.X509(), nil, password)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, scenario := range map[string]func(*testing.T){
		"create-pem": func(t *testing.T) {
			if c := parse(t, leafPEM); !c.IsSame(chain) || c.HasPrivateKey() {
				t.Error("another certificate, or one with a key")
			}
		},
		"create-der": func(t *testing.T) {
			c, err := conn.NewCertificate(tls.Certificate{Certificate: [][]byte{chain.Certificate()}})
			if err != nil || !c.IsSame(chain) {
				t.Error(c, err)
			}
		},
		"create-with-key": func(t *testing.T) {
			if c := parse(t, keyPEM+leafPEM); c.PrivateKeyPEM() != keyPEM {
				t.Error("another key")
			}
		},
		"create-with-issuer": func(t *testing.T) {
			if issuer := parse(t, leafPEM+middlePEM).Issuer(); !middle.Certificate(t).IsSame(issuer) {
				t.Errorf("issuer is %v", issuer)
			}
		},
		"create-with-garbage-input": func(t *testing.T) {
			_, err := conn.NewCertificateFromPEM([]byte("garbage"))
			wantTLS(t, err, conn.TlsErrorBadCertificate)
			_, err = conn.NewCertificate(tls.Certificate{Certificate: [][]byte{[]byte("garbage")}})
			wantTLS(t, err, conn.TlsErrorBadCertificate)
		},
		"private-key": func(t *testing.T) {
			if c := parse(t, leafPEM+keyPEM); len(c.PrivateKey()) == 0 || parse(t, leafPEM).PrivateKey() != nil {
				t.Error("key is wrong")
			}
		},
		"create-certificate-chain": func(t *testing.T) {
			if n := issuers(parse(t, leafPEM+middlePEM+rootPEM)); n != 2 {
				t.Errorf("%d issuers", n)
			}
		},
		"create-certificate-no-chain": func(t *testing.T) {
			for _, text := range []string{leafPEM, leafPEM + rootPEM} {
				if n := issuers(parse(t, text)); n != 0 {
					t.Errorf("%d issuers", n)
				}
			}
		},
		"create-list": func(t *testing.T) {
			list, err := conn.ListCertificatesFromFile(written(t, "list.pem", leafPEM+middlePEM+rootPEM))
			if err != nil || len(list) != 3 {
				t.Error(list, err)
			}
		},
		"create-list-bad": func(t *testing.T) {
			list, err := conn.ListCertificatesFromFile(written(t, "list.pem", leafPEM+middlePEM[:len(middlePEM)/2]))
			if wantTLS(t, err, conn.TlsErrorBadCertificate); list != nil {
				t.Error(list)
			}
		},
		"is-same": func(t *testing.T) {
			if !parse(t, leafPEM).IsSame(parse(t, leafPEM+middlePEM+keyPEM)) || parse(t, leafPEM).IsSame(parse(t, middlePEM)) {
				t.Error("told apart, or not")
			}
		},
		"not-valid-before-and-after": func(t *testing.T) {
			if c := parse(t, leafPEM); !c.NotValidBefore().Before(time.Now()) || !c.NotValidAfter().After(time.Now()) {
				t.Error(c.NotValidBefore(), c.NotValidAfter())
			}
		},
		"subject-and-issuer-name": func(t *testing.T) {
			if c := parse(t, leafPEM); c.SubjectName() != `CN=server.example,O=Example\, Inc.` || c.IssuerName() != "CN=middle" {
				t.Error(c.SubjectName(), c.IssuerName())
			}
		},
		"dns-names-and-ip-addresses": func(t *testing.T) {
			c := parse(t, leafPEM)
			if !slices.Equal(c.DNSNames(), []string{"server.example"}) || !slices.Equal(c.IPAddresses(), []netip.Addr{netip.MustParseAddr("127.0.0.1")}) {
				t.Error(c.DNSNames(), c.IPAddresses())
			}
		},
		"pkcs12-basic": func(t *testing.T) {
			c, err := conn.NewCertificateFromFile(written(t, "open.p12", string(container(t, ""))))
			if err != nil || !c.IsSame(chain) {
				t.Error(err)
			}
		},
		"pkcs12-password": func(t *testing.T) {
			c, err := conn.NewCertificateFromFileWithPassword(written(t, "locked.p12", string(container(t, "1234"))), "1234")
			if err != nil || !c.IsSame(chain) {
				t.Error(err)
			}
			_, err = conn.NewCertificateFromPKCS12(container(t, "1234"), "123")
			wantTLS(t, err, conn.TlsErrorBadCertificatePassword)
		},
		"pkcs12-encrypted": func(t *testing.T) {
			_, err := conn.NewCertificateFromFile(written(t, "locked.p12", string(container(t, "1234"))))
			if !errors.Is(err, conn.ErrBadCertificatePassword) {
				t.Error(err)
			}
		},
		"pkcs11": func(t *testing.T) {
			_, err := conn.NewCertificateFromPKCS11URIs("pkcs11:object=mine", "")
			wantIO(t, err, datagram.CodeNotSupported)
		},
	} {
		t.Run(name, scenario)
	}
	judgements(t, func(certificate, ca *conn.TlsCertificate, identity conn.SocketConnectable) conn.TlsCertificateFlags {
		return certificate.Verify(identity, ca)
	})
}

// chainKey is the private key of a certificate.
func chainKey(t *testing.T, c *conn.TlsCertificate) any {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(c.CertificatePEM()), []byte(c.PrivateKeyPEM()))
	if err != nil {
		t.Fatal(err)
	}
	return pair.PrivateKey
}

// The scenarios of glib-networking's tls/tests/file-database.c (G151, G219).
func TestUpstreamDatabaseScenarios(t *testing.T) {
	t.Run("default-database-is-singleton", func(t *testing.T) {
		if conn.DefaultBackend().DefaultDatabase() != conn.DefaultDatabase() {
			t.Error("there are two")
		}
	})
	anchors := filepath.Join(t.TempDir(), "anchors.pem")
	open := func(t *testing.T, ca *conn.TlsCertificate) *conn.TlsFileDatabase {
		t.Helper()
		if err := os.WriteFile(anchors, []byte(ca.CertificatePEM()), 0o600); err != nil {
			t.Fatal(err)
		}
		database, err := conn.NewFileDatabase(anchors)
		if err != nil {
			t.Fatal(err)
		}
		return database
	}
	judgements(t, func(certificate, ca *conn.TlsCertificate, identity conn.SocketConnectable) conn.TlsCertificateFlags {
		flags, err := open(t, ca).VerifyChain(background, certificate, conn.PurposeAuthenticateServer, identity, nil, 0)
		if err != nil {
			t.Error(err)
		}
		return flags
	})
	root := testCA()
	database := open(t, root.Certificate(t))
	for name, scenario := range map[string]func(*testing.T){
		"anchors-property": func(t *testing.T) {
			if database.Anchors() != anchors {
				t.Error(database.Anchors())
			}
		},
		"lookup-certificates-issued-by": func(t *testing.T) {
			list, err := database.LookupCertificatesIssuedBy(background, root.Subject(), nil, 0)
			if err != nil || len(list) != 1 || !root.Certificate(t).IsSame(list[0]) {
				t.Error(list, err)
			}
		},
		"certificate-handle": func(t *testing.T) {
			handle := database.CreateCertificateHandle(root.Certificate(t))
			c, err := database.LookupCertificateForHandle(background, handle, nil, 0)
			if handle == "" || err != nil || !root.Certificate(t).IsSame(c) {
				t.Error(handle, c, err)
			}
		},
		"certificate-handle-invalid": func(t *testing.T) {
			c, err := database.LookupCertificateForHandle(background, "blah:blah", nil, 0)
			if c != nil || err != nil {
				t.Error(c, err)
			}
		},
	} {
		t.Run(name, scenario)
	}
}
