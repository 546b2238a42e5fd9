// Package serverconn makes DTLS servers: a [DtlsServerConnection] over any
// datagram object that is connected to one peer (Gio's GDtlsServerConnection), and
// a [DtlsListener] for many peers on one socket.
package serverconn

import (
	"slices"
	"sync"

	"gdtls/conn"
	"gdtls/datagram"
	"gdtls/internal/handshake"
)

// DtlsServerConnection is the server's side of a DTLS connection
// (GDtlsServerConnection, G105-G109). What it shares with clients is
// [conn.DtlsConnection].
//
// A peer has to show by a cookie that it receives at its address before anything
// is kept about it (RFC 6347 4.2.1), which the real Gio does not ask (G215). A ticket
// that its host has got before does for one (see [Sessions.SetCookieAlways]).
type DtlsServerConnection struct {
	*conn.DtlsConnection
	role role
}

// NewDtlsServerConnection makes a server over a base that is connected to its peer
// (g_dtls_server_connection_new, G105). The certificate may be nil, if one is set
// later or pre-shared keys are used; one without a private key is TLS error
// BAD_CERTIFICATE (G107). Without a base the error is IO error INVALID_ARGUMENT.
func NewDtlsServerConnection(base datagram.DatagramBased, certificate *conn.TlsCertificate) (*DtlsServerConnection, error) {
	return newServer(base, certificate, nil)
}

func newServer(base datagram.DatagramBased, certificate *conn.TlsCertificate, hello *handshake.VerifiedHello) (*DtlsServerConnection, error) {
	if certificate != nil && !certificate.HasPrivateKey() {
		return nil, &conn.TlsError{Code: conn.TlsErrorBadCertificate, Message: "certificate has no private key: a server needs it to prove who it is"}
	}
	c := &DtlsServerConnection{role: role{hello: hello}}
	var err error
	if c.DtlsConnection, err = conn.New(base, &c.role); err != nil {
		return nil, err
	}
	c.SetCertificate(certificate)
	return c, nil
}

// AuthenticationMode tells whether clients are asked for a certificate
// (authentication-mode, G106).
func (c *DtlsServerConnection) AuthenticationMode() conn.TlsAuthenticationMode {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	return c.role.mode
}

// SetAuthenticationMode sets whether the next handshake asks the client for a
// certificate, and whether it fails without one (G108). Whenever one comes,
// accept-certificate is raised, and only a handler makes it acceptable (G087).
func (c *DtlsServerConnection) SetAuthenticationMode(mode conn.TlsAuthenticationMode) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.mode = mode
}

// SetAcceptedCAs sets the DER names of the CAs that the client is told with the
// request for a certificate. The default is none, as with the real Gio; what is
// accepted is up to the database and the handlers of accept-certificate.
func (c *DtlsServerConnection) SetAcceptedCAs(names [][]byte) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.rarely().authorities = slices.Clone(names)
}

// SetPskIdentityHint sets the hint that helps clients to choose a pre-shared key
// (RFC 4279 5.2). Empty sends none.
func (c *DtlsServerConnection) SetPskIdentityHint(hint []byte) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.rarely().hint = slices.Clone(hint)
}

// SetSessions sets what the server remembers of its clients, so that they may
// resume a session; nil, the default, is nothing. Connections of a listener share
// that of the listener.
func (c *DtlsServerConnection) SetSessions(sessions *Sessions) {
	c.role.mu.Lock()
	defer c.role.mu.Unlock()
	c.role.sessions = sessions
}

// role is what a server adds to the connection. All of it is guarded by mu.
type role struct {
	mu       sync.Mutex
	mode     conn.TlsAuthenticationMode
	rare     *rareRole                // nil: none of it is set
	sessions *Sessions                // nil: none
	hello    *handshake.VerifiedHello // the listener's; nil once used
}

// rareRole is what most servers leave as it is.
type rareRole struct {
	authorities [][]byte
	hint        []byte
}

// rarely gives the rare settings for a change. The caller holds mu.
func (r *role) rarely() *rareRole {
	if r.rare == nil {
		r.rare = &rareRole{}
	}
	return r.rare
}

var _ conn.Role = (*role)(nil)

func (r *role) IsServer() bool                           { return true }
func (r *role) Identity() conn.SocketConnectable         { return nil }
func (r *role) CertificateRequested([][]byte)            {}
func (r *role) SessionCache() *conn.SessionCache         { return nil }
func (r *role) Acceptable(conn.TlsCertificateFlags) bool { return false } // only handlers accept (G087)

func (r *role) Hello() *handshake.VerifiedHello {
	r.mu.Lock()
	defer r.mu.Unlock()
	hello := r.hello
	r.hello = nil
	return hello
}

func (r *role) Configure(config *handshake.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.mode {
	case conn.AuthenticationRequested:
		config.ClientAuth = handshake.RequestClientCertificate
	case conn.AuthenticationRequired:
		config.ClientAuth = handshake.RequireClientCertificate
	}
	if r.rare != nil {
		config.CertificateAuthorities = r.rare.authorities
		config.PSKHint = r.rare.hint
	}
	if r.sessions != nil {
		config.Sessions = r.sessions.machine
	}
}
