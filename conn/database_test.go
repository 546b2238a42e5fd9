package conn

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gdtls/datagram"
)

var (
	_ TlsDatabase = (*anchorDatabase)(nil)
	_ TlsDatabase = (*TlsFileDatabase)(nil)
)

func TestDatabaseVerify(t *testing.T) { // G136-G138, G147, G148, database verify of G219
	ca, stranger := newTestCA(t, "CA"), newTestCA(t, "stranger")
	intermediate := ca.intermediate(t, "intermediate")
	name := writeFile(t, "anchors.pem", "The authorities\n"+newTestCA(t, "other").pem()+ca.pem())
	file, err := NewFileDatabase(name)
	if err != nil {
		t.Fatal(err)
	}
	if file.Anchors() != name {
		t.Errorf("anchors are %q", file.Anchors())
	}
	other := NetworkAddress{Hostname: "other.example"}
	for kind, database := range map[string]TlsDatabase{
		"file":   file,
		"memory": NewDatabaseFromCertificates(newTestCA(t, "other").with(t), ca.with(t)),
	} {
		for name, test := range map[string]struct {
			chain    *TlsCertificate
			purpose  string
			identity SocketConnectable
			want     TlsCertificateFlags
		}{
			"good":            {ca.leaf(t).with(t), PurposeAuthenticateServer, testIdentity, 0},
			"good chain":      {intermediate.leaf(t).with(t, intermediate), PurposeAuthenticateServer, testIdentity, 0},
			"no identity":     {ca.leaf(t).with(t), PurposeAuthenticateServer, nil, 0},
			"bad identity":    {ca.leaf(t).with(t), PurposeAuthenticateServer, other, badIdentity},
			"bad authority":   {stranger.leaf(t).with(t, stranger), PurposeAuthenticateServer, testIdentity, unknownCA},
			"before":          {ca.leaf(t, notYetValid).with(t), PurposeAuthenticateServer, testIdentity, notActivated},
			"expired":         {ca.leaf(t, expired).with(t), PurposeAuthenticateServer, testIdentity, isExpired},
			"combined":        {stranger.leaf(t, expired).with(t), PurposeAuthenticateServer, other, unknownCA | isExpired | badIdentity},
			"client":          {ca.leaf(t, withUsages(x509.ExtKeyUsageClientAuth)).with(t), PurposeAuthenticateClient, nil, 0},
			"client's server": {ca.leaf(t, withUsages(x509.ExtKeyUsageServerAuth)).with(t), PurposeAuthenticateClient, nil, generic},
			"other purpose":   {ca.leaf(t, withUsages(x509.ExtKeyUsageCodeSigning)).with(t), "1.3.6.1.5.5.7.3.3", nil, 0},
			"any purpose":     {ca.leaf(t, withUsages(x509.ExtKeyUsageCodeSigning)).with(t), "", nil, 0},
		} {
			flags, err := database.VerifyChain(t.Context(), test.chain, test.purpose, test.identity, nil, DatabaseVerifyNone)
			if err != nil || flags != test.want {
				t.Errorf("%s, %s: got %v %v, want %v", kind, name, flags, err, test.want)
			}
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		flags, err := database.VerifyChain(cancelled, ca.leaf(t).with(t), "", nil, nil, DatabaseVerifyNone)
		if flags != generic || !errors.Is(err, datagram.ErrCancelled) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: got %v %v", kind, flags, err)
		}
	}
}

func TestFileDatabaseRefuses(t *testing.T) { // G147, garbage-database of G217
	garbage := writeFile(t, "garbage.pem", "garbage")
	if d, err := NewFileDatabase(garbage); d != nil || !errors.Is(err, ErrMisc) || err.Error() != garbage+" holds no certificate in PEM" {
		t.Errorf("garbage: %v", err)
	}
	bad := writeFile(t, "bad.pem", newTestCA(t, "CA").pem()+pemText("CERTIFICATE", []byte{1}))
	if d, err := NewFileDatabase(bad); d != nil || !errors.Is(err, ErrMisc) || !strings.HasPrefix(err.Error(), "cannot load trusted certificates from "+bad+": cannot parse certificate 2") {
		t.Errorf("bad: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	if d, err := NewFileDatabase(missing); d != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestDefaultDatabase(t *testing.T) { // G219
	database := DefaultDatabase()
	if database != DefaultDatabase() {
		t.Error("the default database is not one")
	}
	ca := newTestCA(t, "CA")
	if flags, err := database.VerifyChain(t.Context(), ca.leaf(t).with(t, ca), PurposeAuthenticateServer, testIdentity, nil, DatabaseVerifyNone); flags != unknownCA || err != nil {
		t.Errorf("an unknown authority gives %v %v", flags, err)
	}
}

// TestPoolAnchors covers a set that crypto/x509 does not list, as the
// system's.
func TestPoolAnchors(t *testing.T) {
	root := newTestCA(t, "root")
	intermediate := root.intermediate(t, "intermediate")
	pool := x509.NewCertPool()
	pool.AddCert(root.certificate)
	roots := &anchors{pool: pool}
	for name, test := range map[string]struct {
		leaf *testAuthority
		want TlsCertificateFlags
	}{
		"good":             {intermediate.leaf(t), 0},
		"expired":          {intermediate.leaf(t, expired), isExpired},
		"not yet valid":    {intermediate.leaf(t, notYetValid), notActivated},
		"expired, direct":  {root.leaf(t, withDates(-50*time.Minute, -40*time.Minute)), isExpired},
		"future, direct":   {root.leaf(t, withDates(40*time.Minute, 50*time.Minute)), notActivated},
		"unknown":          {newTestSelfSigned(t), unknownCA},
		"wrong purpose":    {intermediate.leaf(t, withUsages(x509.ExtKeyUsageClientAuth)), generic},
		"unknown critical": {intermediate.leaf(t, withUnknownCritical), generic},
	} {
		chain := test.leaf.with(t, intermediate)
		if got := verifyChain(chain, roots, PurposeAuthenticateServer, testIdentity, testNow); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// TestSystemDatabase verifies against a list of authorities to which the
// environment points. A process reads that list once, so a child does it.
func TestSystemDatabase(t *testing.T) {
	const leafVariable = "GDTLS_TEST_LEAF"
	if name := os.Getenv(leafVariable); name != "" {
		leaf, err := NewCertificateFromFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := verifyServer(t.Context(), DefaultDatabase(), leaf, testIdentity, nil); flags != 0 || err != nil {
			t.Errorf("got %v %v", flags, err)
		}
		return
	}
	switch runtime.GOOS {
	case "windows", "darwin", "ios":
		t.Skip("this system does not read its authorities from files")
	}
	ca := newTestCA(t, "CA")
	for name, anchors := range map[string]string{"trusted": ca.pem(), "unknown": newTestCA(t, "other").pem()} {
		child := exec.Command(os.Args[0], "-test.run=^TestSystemDatabase$")
		child.Env = append(os.Environ(),
			leafVariable+"="+writeFile(t, "leaf.pem", ca.leaf(t).pem()),
			"SSL_CERT_FILE="+writeFile(t, "anchors.pem", anchors), "SSL_CERT_DIR="+t.TempDir())
		output, err := child.CombinedOutput()
		if accepted := err == nil; accepted != (name == "trusted") || !accepted && !bytes.Contains(output, []byte("got UNKNOWN_CA <nil>")) {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}
}
