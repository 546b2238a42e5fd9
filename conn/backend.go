package conn

import (
	"context"
	"sync"

	"gdtls/datagram"
)

// DtlsClient is a client's connection as a [TlsBackend] makes it; it is a
// *clientconn.DtlsClientConnection.
type DtlsClient interface {
	datagram.DatagramBased
	// Common is the part that clients and servers share.
	Common() *DtlsConnection
	ServerIdentity() SocketConnectable
	SetServerIdentity(identity SocketConnectable)
	ValidationFlags() TlsCertificateFlags
	SetValidationFlags(flags TlsCertificateFlags)
	AcceptedCAs() [][]byte
}

// DtlsServer is a server's connection as a [TlsBackend] makes it; it is a
// *serverconn.DtlsServerConnection.
type DtlsServer interface {
	datagram.DatagramBased
	// Common is the part that clients and servers share.
	Common() *DtlsConnection
	AuthenticationMode() TlsAuthenticationMode
	SetAuthenticationMode(mode TlsAuthenticationMode)
}

// Common gives the connection itself: of what a [TlsBackend] has made, the part that
// clients and servers share.
func (c *DtlsConnection) Common() *DtlsConnection { return c }

// TlsBackend makes the objects of the family without naming the packages that have
// them (GTlsBackend, G169-G173). Its factories stand in for Gio's lookup of types
// (G172). Programs in Go seldom need it: clientconn and serverconn have constructors.
//
// There are two: the default one, and one in which nothing is available. Which
// packages a program imports decides what the default one can do: clientconn brings
// clients, serverconn servers. Gio's environment variable GIO_USE_TLS has no say.
type TlsBackend struct {
	name string

	mu        sync.Mutex
	newClient func(datagram.DatagramBased, SocketConnectable) (DtlsClient, error)
	newServer func(datagram.DatagramBased, *TlsCertificate) (DtlsServer, error)
}

var (
	defaultBackend = &TlsBackend{name: "gdtls"}
	dummyBackend   = &TlsBackend{name: "dummy"}
)

// DefaultBackend gives the backend of the process, always the same
// (g_tls_backend_get_default, G169).
func DefaultBackend() *TlsBackend { return defaultBackend }

// DummyBackend gives a backend in which nothing is available: all that it should make
// is the TlsError UNAVAILABLE (GDummyTlsBackend, G173).
func DummyBackend() *TlsBackend { return dummyBackend }

// RegisterClient makes clients available. The package clientconn calls it.
func RegisterClient(factory func(base datagram.DatagramBased, serverIdentity SocketConnectable) (DtlsClient, error)) {
	defaultBackend.mu.Lock()
	defer defaultBackend.mu.Unlock()
	defaultBackend.newClient = factory
}

// RegisterServer makes servers available. The package serverconn calls it.
func RegisterServer(factory func(base datagram.DatagramBased, certificate *TlsCertificate) (DtlsServer, error)) {
	defaultBackend.mu.Lock()
	defer defaultBackend.mu.Unlock()
	defaultBackend.newServer = factory
}

// String names the backend.
func (b *TlsBackend) String() string { return b.name }

func (b *TlsBackend) isDummy() bool { return b == dummyBackend }

// SupportsTLS gives false: this module has no TLS over streams; package crypto/tls
// has (g_tls_backend_supports_tls, G170).
func (b *TlsBackend) SupportsTLS() bool { return false }

// SupportsDTLS tells whether the backend can make clients or servers
// (g_tls_backend_supports_dtls, G170).
func (b *TlsBackend) SupportsDTLS() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newClient != nil || b.newServer != nil
}

// DefaultDatabase is [DefaultDatabase]
// (g_tls_backend_get_default_database, G171). That of the dummy verifies nothing.
func (b *TlsBackend) DefaultDatabase() TlsDatabase {
	if b.isDummy() {
		return unavailableDatabase{}
	}
	return DefaultDatabase()
}

// SetDefaultDatabase is [SetDefaultDatabase]
// (g_tls_backend_set_default_database, G171). The dummy ignores it.
func (b *TlsBackend) SetDefaultDatabase(database TlsDatabase) {
	if !b.isDummy() {
		SetDefaultDatabase(database)
	}
}

// NewCertificateFromPEM is [NewCertificateFromPEM]
// (g_tls_backend_get_certificate_type, G172).
func (b *TlsBackend) NewCertificateFromPEM(data []byte) (*TlsCertificate, error) {
	if b.isDummy() {
		return nil, b.unavailable("certificates")
	}
	return NewCertificateFromPEM(data)
}

// NewFileDatabase is [NewFileDatabase]
// (g_tls_backend_get_file_database_type, G172).
func (b *TlsBackend) NewFileDatabase(anchorsFile string) (*TlsFileDatabase, error) {
	if b.isDummy() {
		return nil, b.unavailable("file databases")
	}
	return NewFileDatabase(anchorsFile)
}

// NewDtlsClientConnection makes a client as clientconn.NewDtlsClientConnection does
// (g_tls_backend_get_dtls_client_connection_type, G097, G172). It is the TlsError
// UNAVAILABLE if the program does not import clientconn.
func (b *TlsBackend) NewDtlsClientConnection(base datagram.DatagramBased, serverIdentity SocketConnectable) (DtlsClient, error) {
	b.mu.Lock()
	factory := b.newClient
	b.mu.Unlock()
	if factory == nil {
		return nil, b.unavailable("DTLS clients: import gdtls/clientconn")
	}
	return factory(base, serverIdentity)
}

// NewDtlsServerConnection makes a server as serverconn.NewDtlsServerConnection does
// (g_tls_backend_get_dtls_server_connection_type, G105, G172). It is the TlsError
// UNAVAILABLE if the program does not import serverconn.
func (b *TlsBackend) NewDtlsServerConnection(base datagram.DatagramBased, certificate *TlsCertificate) (DtlsServer, error) {
	b.mu.Lock()
	factory := b.newServer
	b.mu.Unlock()
	if factory == nil {
		return nil, b.unavailable("DTLS servers: import gdtls/serverconn")
	}
	return factory(base, certificate)
}

func (b *TlsBackend) unavailable(what string) error {
	if b.isDummy() {
		return newTlsError(TlsErrorUnavailable, nil, "TLS is not available: this is the dummy backend")
	}
	return newTlsError(TlsErrorUnavailable, nil, "the program has no %s", what)
}

// unavailableDatabase cannot decide anything.
type unavailableDatabase struct{}

func (unavailableDatabase) VerifyChain(context.Context, *TlsCertificate, string, SocketConnectable, TlsInteraction, TlsDatabaseVerifyFlags) (TlsCertificateFlags, error) {
	return CertificateGenericError, dummyBackend.unavailable("databases")
}
