package conn

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/datagram"
	"gdtls/internal/handshake"
	"gdtls/internal/record"
)

// Role is what a client or a server adds to the connection that both share. It
// serves the packages clientconn and serverconn. Its methods are called during
// handshakes, one at a time.
type Role interface {
	// IsServer tells the side.
	IsServer() bool
	// Configure fills in the side's part of a handshake's configuration.
	Configure(*handshake.Config)
	// Hello gives, on a server whose listener has checked the cookie, the hello to
	// begin with; nil otherwise.
	Hello() *handshake.VerifiedHello
	// Identity is the name that the peer's certificate is checked for.
	Identity() SocketConnectable
	// Acceptable tells whether a certificate with these errors is accepted without
	// asking the handlers of accept-certificate (G195).
	Acceptable(errors TlsCertificateFlags) bool
	// CertificateRequested is called on a client that was asked for a certificate,
	// with the names of the CAs that the server accepts (G103).
	CertificateRequested(authorities [][]byte)
	// SessionCache is where a client keeps its sessions; nil: nowhere.
	SessionCache() *SessionCache
}

// DtlsConnection is a DTLS 1.2 connection over a [datagram.DatagramBased], and a
// DatagramBased itself (GDtlsConnection, G048). It is made by the packages
// clientconn and serverconn. See the package's documentation for its contract.
type DtlsConnection struct {
	base datagram.DatagramBased
	role Role

	claims  claims
	signals signals

	mu         sync.Mutex
	settings   settings   // guarded by mu; what the application sets
	negotiated negotiated // guarded by mu; what the handshake found

	mtu mtu

	rx    receiver // guarded by the claims opRead, opHandshake and opClose
	tx    sender   // guarded by the claims opWrite, opHandshake and opClose
	stats counters
}

// settings is what the application may set before the handshake.
type settings struct {
	certificate        *TlsCertificate
	database           TlsDatabase   // nil: none
	rare               *rareSettings // nil: none of them is set; what it points to is not changed
	fullHandshakes     bool          // no session is resumed
	ignoreCloseNotify  bool          // require-close-notify is FALSE
	certificateMissing bool          // client: asked for a certificate, had none
}

// rareSettings are those that most connections leave as they are.
type rareSettings struct {
	further    []*TlsCertificate // with keys; beside certificate
	advertised []string
	suites     []uint16
	keyLog     io.Writer
	observe    func(HandshakeEvent)
	patience   time.Duration // with a silent peer; 0: DefaultHandshakePatience

	interaction TlsInteraction
	refusal     error // why the interaction gave a client no certificate
}

// rarely gives the rare settings.
func (s *settings) rarely() rareSettings {
	if s.rare == nil {
		return rareSettings{}
	}
	return *s.rare
}

// set changes the rare settings.
func (c *DtlsConnection) set(change func(*rareSettings)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rare := c.settings.rarely()
	change(&rare)
	c.settings.rare = &rare
}

// negotiated is what the handshake found.
type negotiated struct {
	session         *session // nil before the handshake
	peerCertificate *TlsCertificate
	errors          TlsCertificateFlags
}

// session is what is kept of a [handshake.Session] while the connection lasts. It is
// not changed any more.
type session struct {
	suite                      *handshake.Suite
	version                    uint16
	extendedMaster, resumed    bool
	masterSecret               [48]byte
	clientRandom, serverRandom [32]byte
	firstFinished              [12]byte                 // of the two Finished messages
	own                        *handshake.Certificate   // server: the one that it has shown, nil for none
	stored                     *handshake.StoredSession // server: where it keeps the session, nil for nowhere
	alpn, serverName           string
	psk                        *pskNames // nil: certificates were used
}

// pskNames belong to a pre-shared key.
type pskNames struct{ identity, hint []byte }

func newSession(s *handshake.Session) *session {
	first := s.ClientFinished
	if s.Resumed {
		first = s.ServerFinished
	}
	kept := &session{
		suite:          s.Suite,
		version:        s.Version,
		extendedMaster: s.ExtendedMaster,
		resumed:        s.Resumed,
		masterSecret:   s.MasterSecret,
		clientRandom:   s.ClientRandom,
		serverRandom:   s.ServerRandom,
		firstFinished:  first,
		own:            s.Own,
		stored:         s.Stored,
		alpn:           s.ALPN,
		serverName:     s.ServerName,
	}
	if s.Suite.PSK() {
		kept.psk = &pskNames{s.PSKIdentity, s.PSKHint}
	}
	return kept
}

// counters count records, messages and their bytes; each is updated atomically.
type counters struct {
	sent, received, sentBytes, receivedBytes, missing, dropped, replayed, unauthenticated atomic.Uint64
}

// Stats counts what went through a connection.
type Stats struct {
	Sent            uint64 // application messages sent
	Received        uint64 // application messages received
	SentBytes       uint64 // bytes of the messages sent
	ReceivedBytes   uint64 // bytes of the messages received, those that were cut off included
	Missing         uint64 // records of the peer that did not arrive, or not yet: gaps in their numbers since the handshake
	Dropped         uint64 // records dropped as malformed, out of place or unknown, and warnings without effect
	Replayed        uint64 // records dropped as repeated or too old
	Unauthenticated uint64 // records dropped since they were not the peer's
}

// New makes a connection; the packages clientconn and serverconn call it.
func New(base datagram.DatagramBased, role Role) (*DtlsConnection, error) {
	if base == nil {
		return nil, datagram.NewError(datagram.CodeInvalidArgument, "connection without a base: give it a datagram object, such as datagram.New makes from a net.PacketConn")
	}
	return &DtlsConnection{base: base, role: role, settings: settings{database: DefaultDatabase()}}, nil
}

var _ datagram.DatagramBased = (*DtlsConnection)(nil)

// BaseSocket is what the connection runs over (base-socket, G049). It is never
// closed by the connection.
func (c *DtlsConnection) BaseSocket() datagram.DatagramBased { return c.base }

// Certificate is what the connection shows its peer, nil for none (certificate, G055).
func (c *DtlsConnection) Certificate() *TlsCertificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings.certificate
}

// SetCertificate sets what the next handshake shows the peer: needed on a server
// that has no pre-shared keys, optional on a client (G063). nil is ignored.
func (c *DtlsConnection) SetCertificate(certificate *TlsCertificate) {
	if certificate == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings.certificate = certificate
}

// AddCertificate gives the next handshakes another certificate to choose from,
// beside that of SetCertificate, which stays the default. A server shows the first
// that was issued for the name that the client asks for (server_name; wildcards
// count), among those whose key and signatures the client can verify; it
// acknowledges the name then, and only then, since some clients (pion's) do not
// understand the acknowledgement. A client shows the first whose issuer and
// signatures the server says it accepts. A certificate without a private key is TLS
// error BAD_CERTIFICATE. Gio has one certificate only.
func (c *DtlsConnection) AddCertificate(certificate *TlsCertificate) error {
	if certificate == nil || !certificate.HasPrivateKey() {
		return newTlsError(TlsErrorBadCertificate, nil, "certificate has no private key: it is needed to prove who we are")
	}
	c.set(func(s *rareSettings) { s.further = append(slices.Clip(s.further), certificate) })
	return nil
}

// certificates are all own ones, the default first.
func (s *settings) certificates() []*TlsCertificate {
	further := s.rarely().further
	if s.certificate == nil {
		return further
	}
	return append([]*TlsCertificate{s.certificate}, further...)
}

// Database is what peers' certificates are verified with, nil for none (database, G050).
func (c *DtlsConnection) Database() TlsDatabase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings.database
}

// SetDatabase sets what peers' certificates are verified with. With nil every
// verification reports UNKNOWN_CA (G062); without a call it is what DefaultDatabase
// gave when the connection was made.
func (c *DtlsConnection) SetDatabase(database TlsDatabase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings.database = database
}

// RequireCloseNotify tells whether an end of the peer without close_notify is an
// error (require-close-notify, G053). The default is true.
func (c *DtlsConnection) RequireCloseNotify() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.settings.ignoreCloseNotify
}

// SetRequireCloseNotify sets whether the base's end without a close_notify of the
// peer is the TLS error EOF (true, G069), or an end like any other (false, G070).
func (c *DtlsConnection) SetRequireCloseNotify(required bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings.ignoreCloseNotify = !required
}

// SessionResumptionEnabled tells whether sessions may be resumed
// (session-resumption-enabled of glib-networking). The default is true.
func (c *DtlsConnection) SessionResumptionEnabled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.settings.fullHandshakes
}

// SetSessionResumptionEnabled sets whether the next handshake may resume a session,
// and whether its own may be resumed later. A client needs a server identity for
// that, and a server what [gdtls/serverconn.Sessions] describes.
func (c *DtlsConnection) SetSessionResumptionEnabled(enabled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings.fullHandshakes = !enabled
}

// AdvertisedProtocols are the application protocols for ALPN (advertised-protocols, G058).
func (c *DtlsConnection) AdvertisedProtocols() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.settings.rarely().advertised)
}

// SetAdvertisedProtocols sets the application protocols that the next handshake
// offers or accepts, the preferred first; nil turns ALPN off (G090). Names have 1
// to 255 bytes.
func (c *DtlsConnection) SetAdvertisedProtocols(protocols []string) {
	c.set(func(s *rareSettings) { s.advertised = slices.Clone(protocols) })
}

// SetCiphersuites restricts the next handshake to cipher suites with these IANA
// names, in this order of preference; none restores the default. An unknown name
// is IO error INVALID_ARGUMENT.
func (c *DtlsConnection) SetCiphersuites(names ...string) error {
	ids := make([]uint16, 0, len(names))
	for _, name := range names {
		suite := handshake.SuiteByName(name)
		if suite == nil {
			return datagram.NewError(datagram.CodeInvalidArgument, "cipher suite %q is unknown or not supported: AEAD suites of DTLS 1.2 are, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", name)
		}
		ids = append(ids, suite.ID)
	}
	c.set(func(s *rareSettings) { s.suites = ids })
	return nil
}

// DefaultHandshakePatience is how long a handshake waits for a silent peer if
// nothing else is set: as long as the real Gio does.
const DefaultHandshakePatience = 62 * time.Second

// HandshakePatience is how long the handshake waits for a peer that does not
// answer.
func (c *DtlsConnection) HandshakePatience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.settings.rarely().patience, DefaultHandshakePatience)
}

// SetHandshakePatience sets how long the next handshake waits for a peer that does
// not answer before it ends with TIMED_OUT, besides the limits that the caller's
// timeout and context set; 0 or less restores the default of 62 s. A flight is
// repeated after 1, 3, 7, 15 and 31 seconds, then once a minute at most (RFC 6347
// 4.2.4.1), from the third time on with each datagram twice. So the default is six
// tries: enough for a path that loses one datagram in ten, but where it loses a third
// in each direction, one handshake in a hundred needs more.
func (c *DtlsConnection) SetHandshakePatience(patience time.Duration) {
	c.set(func(s *rareSettings) { s.patience = max(patience, 0) })
}

// SetKeyLogWriter makes the next handshake write its secrets in the format of
// NSS's key log (SSLKEYLOGFILE), with which Wireshark reads the traffic. Whoever
// can read the log can do so too.
func (c *DtlsConnection) SetKeyLogWriter(w io.Writer) {
	c.set(func(s *rareSettings) { s.keyLog = w })
}

// PeerCertificate is the certificate that the peer showed, with its chain, or nil
// (peer-certificate, G056). It is set once the handshake has judged it, also when it
// was refused.
func (c *DtlsConnection) PeerCertificate() *TlsCertificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.negotiated.peerCertificate
}

// PeerCertificateErrors tells what verification found (peer-certificate-errors,
// G057); it may be more than nothing on a live connection, if a handler of
// accept-certificate or the validation flags tolerated it.
func (c *DtlsConnection) PeerCertificateErrors() TlsCertificateFlags {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.negotiated.errors
}

// NegotiatedProtocol is ALPN's result, empty if there is none (negotiated-protocol, G091).
func (c *DtlsConnection) NegotiatedProtocol() string {
	if s := c.session(); s != nil {
		return s.alpn
	}
	return ""
}

// ProtocolVersion is ProtocolDTLS12 after the handshake (protocol-version, G094).
// As with the real Gio it stays after close.
func (c *DtlsConnection) ProtocolVersion() TlsProtocolVersion {
	if s := c.session(); s != nil && s.version == record.VersionDTLS12 {
		return ProtocolDTLS12
	}
	return ProtocolUnknown
}

// CiphersuiteName is IANA's name of the cipher suite, empty before the handshake
// (ciphersuite-name, G095).
func (c *DtlsConnection) CiphersuiteName() string {
	if s := c.session(); s != nil {
		return s.suite.Name
	}
	return ""
}

// PskIdentity is the identity of the pre-shared key in use, nil if the handshake
// used certificates.
func (c *DtlsConnection) PskIdentity() []byte {
	if s := c.session(); s != nil && s.psk != nil {
		return slices.Clone(s.psk.identity)
	}
	return nil
}

// PskIdentityHint is, on a client, the hint of the server that the handshake
// brought.
func (c *DtlsConnection) PskIdentityHint() []byte {
	if s := c.session(); s != nil && s.psk != nil {
		return slices.Clone(s.psk.hint)
	}
	return nil
}

// ServerName is, on a server, the name that the client asked for (server_name,
// RFC 6066 3), empty if it did not.
func (c *DtlsConnection) ServerName() string {
	if s := c.session(); s != nil {
		return s.serverName
	}
	return ""
}

// IsResumed tells whether the handshake resumed an earlier session.
func (c *DtlsConnection) IsResumed() bool {
	s := c.session()
	return s != nil && s.resumed
}

// Stats counts what went through so far.
func (c *DtlsConnection) Stats() Stats {
	return Stats{
		Sent:            c.stats.sent.Load(),
		Received:        c.stats.received.Load(),
		SentBytes:       c.stats.sentBytes.Load(),
		ReceivedBytes:   c.stats.receivedBytes.Load(),
		Missing:         c.stats.missing.Load(),
		Dropped:         c.stats.dropped.Load(),
		Replayed:        c.stats.replayed.Load(),
		Unauthenticated: c.stats.unauthenticated.Load(),
	}
}

// session is what the handshake agreed on, nil before.
func (c *DtlsConnection) session() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.negotiated.session
}

// String names the connection for logs.
func (c *DtlsConnection) String() string {
	side := "client"
	if c.role.IsServer() {
		side = "server"
	}
	if name := c.CiphersuiteName(); name != "" {
		return fmt.Sprintf("DTLS %s connection with %s", side, name)
	}
	return fmt.Sprintf("DTLS %s connection", side)
}

// CreateSource gives a source that watches the connection (G026).
func (c *DtlsConnection) CreateSource(ctx context.Context, condition datagram.IOCondition) *datagram.Source {
	return datagram.NewSource(c, ctx, condition)
}
