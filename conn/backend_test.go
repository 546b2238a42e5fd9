package conn_test

import (
	"errors"
	"testing"

	"gdtls/clientconn"
	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/serverconn"
)

// The factories make what the constructors make (G097, G105, G169, G170, G172).
func TestBackend(t *testing.T) {
	backend := conn.DefaultBackend()
	if backend != conn.DefaultBackend() || backend.String() != "gdtls" {
		t.Errorf("backend is %v", backend)
	}
	if backend.SupportsTLS() || !backend.SupportsDTLS() {
		t.Errorf("supports TLS %v, DTLS %v", backend.SupportsTLS(), backend.SupportsDTLS())
	}
	certificate, err := backend.NewCertificateFromPEM([]byte(serverCert().CertificatePEM() + serverCert().PrivateKeyPEM()))
	if err != nil || !certificate.HasPrivateKey() {
		t.Fatal(err)
	}
	if _, err := backend.NewFileDatabase("/none"); err == nil || errors.Is(err, conn.ErrUnavailable) {
		t.Errorf("file database: %v", err)
	}
	a, b := datagram.NewPipe()
	client, err := backend.NewDtlsClientConnection(a, identity)
	if err != nil {
		t.Fatal(err)
	}
	server, err := backend.NewDtlsServerConnection(b, certificate)
	if err != nil {
		t.Fatal(err)
	}
	client.Common().SetDatabase(trusting())
	p := &pair{client.(*clientconn.DtlsClientConnection), server.(*serverconn.DtlsServerConnection)}
	defer p.close(t)
	mustHandshake(t, p)

	for _, call := range []func() (any, error){
		func() (any, error) { return backend.NewDtlsClientConnection(nil, nil) },
		func() (any, error) { return backend.NewDtlsServerConnection(nil, nil) },
	} {
		if c, err := call(); c != nil || !errors.Is(err, datagram.ErrInvalidArgument) {
			t.Errorf("without a base: %v, %v", c, err)
		}
	}

	defer backend.SetDefaultDatabase(nil)
	backend.SetDefaultDatabase(trusting())
	if backend.DefaultDatabase() != trusting() || conn.DefaultDatabase() != trusting() { // G171
		t.Error("default database was not set")
	}
}

func TestDummyBackend(t *testing.T) { // G173
	dummy := conn.DummyBackend()
	if dummy.SupportsDTLS() || dummy.SupportsTLS() || dummy.String() != "dummy" {
		t.Errorf("%v supports something", dummy)
	}
	a, _ := datagram.NewPipe()
	for _, call := range []func() error{
		func() error { _, err := dummy.NewCertificateFromPEM(nil); return err },
		func() error { _, err := dummy.NewFileDatabase("x"); return err },
		func() error { _, err := dummy.NewDtlsClientConnection(a, identity); return err },
		func() error { _, err := dummy.NewDtlsServerConnection(a, serverCert()); return err },
		func() error {
			flags, err := dummy.DefaultDatabase().VerifyChain(background, serverCert(), "", nil, nil, 0)
			if flags != conn.CertificateGenericError {
				t.Errorf("flags are %v", flags)
			}
			return err
		},
	} {
		if err := call(); !errors.Is(err, conn.ErrUnavailable) {
			t.Errorf("error is %v", err)
		}
	}
	dummy.SetDefaultDatabase(trusting())
	if conn.DefaultDatabase() == trusting() {
		t.Error("the dummy has changed the default database")
	}
}
