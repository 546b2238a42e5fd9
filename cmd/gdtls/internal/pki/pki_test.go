package pki

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"slices"
	"testing"
	"time"
)

func verify(ca, leaf *Pair, usage x509.ExtKeyUsage, name string) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	_, err := leaf.Certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, DNSName: name})
	return err
}

func TestIssue(t *testing.T) {
	ca, err := NewAuthority("Test CA", false, 30)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Issue(Request{Names: []string{"server.example", "127.0.0.1", "::1"}, Days: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.example", "127.0.0.1", "::1"} {
		if err := verify(ca, server, x509.ExtKeyUsageServerAuth, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify(ca, server, x509.ExtKeyUsageServerAuth, "other.example") == nil {
		t.Error("the certificate is good for another name")
	}
	if verify(ca, server, x509.ExtKeyUsageClientAuth, "") == nil {
		t.Error("a server's certificate is good for clients")
	}
	if left := time.Until(server.Certificate.NotAfter); left < 9*24*time.Hour || left > 11*24*time.Hour {
		t.Errorf("valid for %v, want 10 days", left)
	}
	client, err := ca.Issue(Request{Names: []string{"alice"}, Client: true, RSA: true, Days: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(ca, client, x509.ExtKeyUsageClientAuth, ""); err != nil {
		t.Error(err)
	}
	if client.Certificate.NotAfter.After(ca.Certificate.NotAfter) {
		t.Error("the certificate outlives its issuer")
	}
	if key, ok := client.Key.(*rsa.PrivateKey); !ok || key.N.BitLen() != 2048 {
		t.Errorf("key is %T, want RSA with 2048 bits", client.Key)
	}
	if _, ok := server.Key.(*ecdsa.PrivateKey); !ok {
		t.Errorf("key is %T, want ECDSA", server.Key)
	}
}

func TestRefusedNames(t *testing.T) {
	for _, names := range [][]string{nil, {""}, {"a", ""}, {"bücher.example"}} {
		if _, err := SelfSigned(Request{Names: names, Days: 1}); err == nil {
			t.Errorf("%q: issued", names)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	files := FilesIn(dir, "server")
	if there := files.Existing(); len(there) != 0 {
		t.Fatal(there)
	}
	if err := os.WriteFile(files.Key, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if there := files.Existing(); !slices.Equal(there, []string{files.Key}) {
		t.Errorf("existing: %v", there)
	}
	pair, err := SelfSigned(Request{Names: []string{"a.example"}, Days: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(files); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{files.Key: 0o600, files.Certificate: 0o644} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, mode)
		}
	}
	again, err := Read(files)
	if err != nil || !again.Certificate.Equal(pair.Certificate) {
		t.Errorf("read: %v, %v", again, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("files are left over: %v", entries)
	}
	if _, err := Read(FilesIn(dir, "none")); err == nil {
		t.Error("read a pair that is not there")
	}
}
