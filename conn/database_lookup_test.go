package conn

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gdtls/datagram"
)

// The scenarios of file databases (G140-G143, G149-G151, G183), and the same for one
// in memory.
func TestDatabaseLookup(t *testing.T) {
	root, other := newTestCA(t, "root"), newTestCA(t, "other")
	middle := root.intermediate(t, "middle")
	leaf, stranger := middle.leaf(t).with(t), newTestCA(t, "stranger").leaf(t).with(t)
	rootCertificate, middleCertificate := root.with(t), middle.with(t)
	name := writeFile(t, "an chors.pem", root.pem()+middle.pem()+other.pem())
	file, err := NewFileDatabase(name)
	if err != nil {
		t.Fatal(err)
	}
	for kind, database := range map[string]TlsLookupDatabase{
		"file":   file,
		"memory": NewDatabaseFromCertificates(rootCertificate, middleCertificate, other.with(t)),
	} {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			handle := database.CreateCertificateHandle(middleCertificate)
			hash := sha256.Sum256(middle.certificate.Raw)
			prefix := ""
			if kind == "file" {
				prefix = "file://" + strings.ReplaceAll(filepath.ToSlash(name), " ", "%20")
			}
			if want := prefix + "#" + hex.EncodeToString(hash[:]); handle != want {
				t.Errorf("handle is %q, want %q", handle, want)
			}
			if got, err := database.LookupCertificateForHandle(ctx, handle, nil, DatabaseLookupNone); err != nil || !middleCertificate.IsSame(got) {
				t.Errorf("handle gives %v, %v", got, err)
			} else if got.HasPrivateKey() || got.Issuer() != nil {
				t.Error("what was found has a key or an issuer")
			}
			for _, wrong := range []string{"", "#", handle + "0", strings.ToUpper(handle), handle[:len(handle)-1] + "x"} {
				if got, err := database.LookupCertificateForHandle(ctx, wrong, nil, DatabaseLookupNone); got != nil || err != nil {
					t.Errorf("handle %q gives %v, %v", wrong, got, err)
				}
			}
			for _, foreign := range []*TlsCertificate{leaf, stranger, nil} {
				if handle := database.CreateCertificateHandle(foreign); handle != "" {
					t.Errorf("certificate from elsewhere has the handle %q", handle)
				}
			}

			for _, test := range []struct{ of, want *TlsCertificate }{
				{leaf, middleCertificate}, {middleCertificate, rootCertificate}, {rootCertificate, rootCertificate}, {stranger, nil}, {nil, nil},
			} {
				got, err := database.LookupCertificateIssuer(ctx, test.of, nil, DatabaseLookupNone)
				if err != nil || (got == nil) != (test.want == nil) || got != nil && !got.IsSame(test.want) {
					t.Errorf("issuer is %v, %v", got, err)
				}
			}
			list, err := database.LookupCertificatesIssuedBy(ctx, root.certificate.RawSubject, nil, DatabaseLookupNone)
			if err != nil || len(list) != 2 || !list[0].IsSame(rootCertificate) || !list[1].IsSame(middleCertificate) {
				t.Errorf("issued by the root are %v, %v", list, err)
			}
			for _, dn := range [][]byte{nil, stranger.X509().RawSubject, []byte("x")} {
				if list, err := database.LookupCertificatesIssuedBy(ctx, dn, nil, DatabaseLookupNone); len(list) != 0 || err != nil {
					t.Errorf("issued by %q are %v, %v", dn, list, err)
				}
			}

			// Certificates with keys there are none (G150).
			one, err1 := database.LookupCertificateForHandle(ctx, handle, nil, DatabaseLookupKeypair)
			issuer, err2 := database.LookupCertificateIssuer(ctx, leaf, nil, DatabaseLookupKeypair)
			list, err3 := database.LookupCertificatesIssuedBy(ctx, root.certificate.RawSubject, nil, DatabaseLookupKeypair)
			if one != nil || issuer != nil || list != nil || err1 != nil || err2 != nil || err3 != nil {
				t.Errorf("with keys: %v, %v, %v, %v, %v, %v", one, issuer, list, err1, err2, err3)
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			_, err1 = database.LookupCertificateForHandle(done, handle, nil, DatabaseLookupNone)
			_, err2 = database.LookupCertificateIssuer(done, leaf, nil, DatabaseLookupNone)
			_, err3 = database.LookupCertificatesIssuedBy(done, root.certificate.RawSubject, nil, DatabaseLookupNone)
			for _, err := range []error{err1, err2, err3} {
				if !errors.Is(err, datagram.ErrCancelled) {
					t.Errorf("cancelled: %v", err)
				}
			}
		})
	}
}

// The system's authorities cannot be listed, but are found as issuers.
func TestSystemDatabaseLookup(t *testing.T) {
	root := newTestCA(t, "root")
	pool := x509.NewCertPool()
	pool.AddCert(root.certificate)
	database := &anchorDatabase{anchors: func() (*anchors, error) { return &anchors{pool: pool}, nil }}
	leaf := root.leaf(t).with(t)
	if issuer, err := database.LookupCertificateIssuer(t.Context(), leaf, nil, DatabaseLookupNone); err != nil || !root.with(t).IsSame(issuer) {
		t.Errorf("issuer is %v, %v", issuer, err)
	}
	if handle := database.CreateCertificateHandle(root.with(t)); handle != "" {
		t.Errorf("handle is %q", handle)
	}
	if list, err := database.LookupCertificatesIssuedBy(t.Context(), root.certificate.RawSubject, nil, DatabaseLookupNone); list != nil || err != nil {
		t.Errorf("list is %v, %v", list, err)
	}
	broken := errors.New("cannot be read")
	database.anchors = func() (*anchors, error) { return nil, broken }
	if _, err := database.LookupCertificateIssuer(t.Context(), leaf, nil, DatabaseLookupNone); err != broken {
		t.Errorf("unreadable: %v", err)
	}
	if handle := database.CreateCertificateHandle(root.with(t)); handle != "" {
		t.Errorf("unreadable: %q", handle)
	}
}

func TestDatabaseAsync(t *testing.T) { // G139, G141-G144
	root := newTestCA(t, "root")
	rootCertificate, leaf := root.with(t), root.leaf(t).with(t)
	database := NewDatabaseFromCertificates(rootCertificate)
	ctx := t.Context()
	called := make(chan ready, 1)
	callback := func(source any, r *AsyncResult) { called <- ready{source, r} }

	verified := VerifyChainAsync(ctx, database, leaf, PurposeAuthenticateServer, testIdentity, nil, DatabaseVerifyNone, 0, callback)
	if got := <-called; got.source != any(database) || got.result != verified {
		t.Errorf("callback was given %v", got)
	}
	if flags, err := VerifyChainFinish(verified); flags != 0 || err != nil {
		t.Errorf("good chain: %v, %v", flags, err)
	}
	if flags, err := VerifyChainFinish(VerifyChainAsync(ctx, database, leaf, "", NetworkAddress{Hostname: "x"}, nil, 0, 0, nil)); flags != badIdentity || err != nil {
		t.Errorf("bad chain: %v, %v", flags, err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if flags, err := VerifyChainFinish(VerifyChainAsync(done, database, leaf, "", nil, nil, 0, 0, nil)); flags != generic || !errors.Is(err, datagram.ErrCancelled) {
		t.Errorf("cancelled: %v, %v", flags, err)
	}

	handle := database.CreateCertificateHandle(rootCertificate)
	forHandle := LookupCertificateForHandleAsync(ctx, database, handle, nil, 0, 0, nil)
	if got, err := LookupCertificateForHandleFinish(forHandle); err != nil || !rootCertificate.IsSame(got) {
		t.Errorf("handle: %v, %v", got, err)
	}
	issuer := LookupCertificateIssuerAsync(ctx, database, leaf, nil, 0, 0, nil)
	if got, err := LookupCertificateIssuerFinish(issuer); err != nil || !rootCertificate.IsSame(got) {
		t.Errorf("issuer: %v, %v", got, err)
	}
	dn := []byte(string(root.certificate.RawSubject))
	issuedBy := LookupCertificatesIssuedByAsync(ctx, database, dn, nil, 0, 0, nil)
	clear(dn)
	if got, err := LookupCertificatesIssuedByFinish(issuedBy); err != nil || len(got) != 1 || !rootCertificate.IsSame(got[0]) {
		t.Errorf("issued by: %v, %v", got, err)
	}

	// What is not found is no error (G144).
	if got, err := LookupCertificateForHandleFinish(LookupCertificateForHandleAsync(ctx, database, "#", nil, 0, 0, nil)); got != nil || err != nil {
		t.Errorf("no handle: %v, %v", got, err)
	}
	if got, err := LookupCertificateIssuerFinish(LookupCertificateIssuerAsync(ctx, database, newTestSelfSigned(t).with(t), nil, 0, 0, nil)); got != nil || err != nil {
		t.Errorf("no issuer: %v, %v", got, err)
	}
	if got, err := LookupCertificatesIssuedByFinish(LookupCertificatesIssuedByAsync(ctx, database, nil, nil, 0, 0, nil)); got != nil || err != nil {
		t.Errorf("nothing issued: %v, %v", got, err)
	}

	_, err1 := VerifyChainFinish(issuer)
	_, err2 := LookupCertificateForHandleFinish(issuer)
	_, err3 := LookupCertificateIssuerFinish(issuedBy)
	_, err4 := LookupCertificatesIssuedByFinish(nil)
	for _, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, datagram.ErrInvalidArgument) {
			t.Errorf("result of another call: %v", err)
		}
	}
}

// Databases serve many goroutines at once (G135).
func TestDatabaseConcurrently(t *testing.T) {
	root := newTestCA(t, "root")
	leaf := root.leaf(t).with(t)
	database := NewDatabaseFromCertificates(root.with(t))
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				flags, err := database.VerifyChain(t.Context(), leaf, "", testIdentity, nil, 0)
				issuer, err2 := database.LookupCertificateIssuer(t.Context(), leaf, nil, 0)
				again, err3 := database.LookupCertificateForHandle(t.Context(), database.CreateCertificateHandle(issuer), nil, 0)
				if flags != 0 || err != nil || err2 != nil || err3 != nil || !issuer.IsSame(again) {
					t.Error(flags, err, err2, err3)
				}
			}
		})
	}
	wait.Wait()
}

// The default database can be changed; connections keep the one that they were made
// with (G171).
func TestSetDefaultDatabase(t *testing.T) {
	system := DefaultDatabase()
	defer SetDefaultDatabase(nil)
	mine := NewDatabaseFromCertificates()
	newConnection := func() *DtlsConnection {
		a, _ := datagram.NewPipe()
		c, err := New(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := newConnection()
	SetDefaultDatabase(mine)
	if DefaultDatabase() != TlsDatabase(mine) || newConnection().Database() != TlsDatabase(mine) {
		t.Error("the database was not set")
	}
	if before.Database() != system {
		t.Error("a connection that was there has another database")
	}
	SetDefaultDatabase(nil)
	if DefaultDatabase() != system || newConnection().Database() != system {
		t.Error("nil does not restore the system's")
	}
}
