// Package clientconn makes DTLS clients: a [DtlsClientConnection] over any
// datagram object (Gio's GDtlsClientConnection).
package clientconn

import (
	"slices"
	"sync"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// DtlsClientConnection is the client's side of a DTLS connection
// (GDtlsClientConnection, G097-G104). What it shares with servers is
// [conn.DtlsConnection].
type DtlsClientConnection struct {
	*conn.DtlsConnection
	role *role
}

// NewDtlsClientConnection makes a client over a base that is connected to the
// server (g_dtls_client_connection_new, G097). serverIdentity is the name that the
// server's certificate must have and, if it is a host name, the server_name that
// is sent; with nil the certificate is found to have BAD_IDENTITY (G101).
// [conn.ParseIdentity] makes one from text. Nothing is sent before the handshake.
// Without a base the error is IO error INVALID_ARGUMENT.
func NewDtlsClientConnection(base datagram.DatagramBased, serverIdentity conn.SocketConnectable) (*DtlsClientConnection, error) {
	r := &role{identity: serverIdentity, validation: conn.CertificateValidateAll, sessions: conn.DefaultSessionCache()}
	var err error
	if r.connection, err = conn.New(base, r); err != nil {
		return nil, err
	}
	return &DtlsClientConnection{DtlsConnection: r.connection, role: r}, nil
}

// ServerIdentity is the name that the server's certificate must have, nil for none
// (server-identity, G102).
func (c *DtlsClientConnection) ServerIdentity() conn.SocketConnectable { return c.role.Identity() }

// SetServerIdentity sets the name for the next handshake.
func (c *DtlsClientConnection) SetServerIdentity(identity conn.SocketConnectable) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.identity = identity
}

// ValidationFlags are the problems of a server certificate that are not accepted
// without asking (validation-flags, G098).
func (c *DtlsClientConnection) ValidationFlags() conn.TlsCertificateFlags {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	return c.role.validation
}

// SetValidationFlags sets which problems matter. The default is all. With none
// every certificate is accepted, which is for tests (G099); to tolerate single
// problems is nothing that can be done right, as Gio says of this property.
func (c *DtlsClientConnection) SetValidationFlags(flags conn.TlsCertificateFlags) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.validation = flags
}

// AcceptedCAs are the DER names of the CAs that the server accepts for client
// certificates, as it sent them; nil if it asked for none (accepted-cas, G103,
// G104). It is also set on a connection whose handshake failed for the lack of a
// certificate.
func (c *DtlsClientConnection) AcceptedCAs() [][]byte {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	return slices.Clone(c.role.accepted)
}

// SetSessionCache sets where the connection finds a session to resume with the same
// server identity and own certificate, and where it keeps its own; nil: nowhere. The
// default is conn.DefaultSessionCache. A client that resumes a session must go on
// reading until the server is through with its handshake too, as must a server in a
// full handshake: that is how it hears that its last datagram was lost.
func (c *DtlsClientConnection) SetSessionCache(cache *conn.SessionCache) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.sessions = cache
}

// role is what a client adds to the connection.
type role struct {
	connection *conn.DtlsConnection // constant

	mu         sync.Mutex
	identity   conn.SocketConnectable
	validation conn.TlsCertificateFlags
	accepted   [][]byte
	sessions   *conn.SessionCache // nil: none
}

var _ conn.Role = (*role)(nil)

func (r *role) IsServer() bool                  { return false }
func (r *role) Hello() *handshake.VerifiedHello { return nil }

func (r *role) SessionCache() *conn.SessionCache {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions
}

func (r *role) Configure(config *handshake.Config) {
	if identity := r.Identity(); identity != nil {
		config.ServerName = identity.ServerName()
	}
}

func (r *role) Identity() conn.SocketConnectable {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.identity
}

func (r *role) Acceptable(errors conn.TlsCertificateFlags) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors&r.validation == 0
}

func (r *role) CertificateRequested(authorities [][]byte) {
	r.mu.Lock()
	r.accepted = authorities
	r.mu.Unlock()
	r.connection.Notify(conn.PropertyAcceptedCAs)
}
