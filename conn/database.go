package conn

import (
	"context"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"

	"gdtls/datagram"
)

// The purposes that a certificate can be verified for: object identifiers of
// the extended key usage (G145).
const (
	// PurposeAuthenticateServer is what a client verifies a server for
	// (G_TLS_DATABASE_PURPOSE_AUTHENTICATE_SERVER).
	PurposeAuthenticateServer = "1.3.6.1.5.5.7.3.1"
	// PurposeAuthenticateClient is what a server verifies a client for
	// (G_TLS_DATABASE_PURPOSE_AUTHENTICATE_CLIENT).
	PurposeAuthenticateClient = "1.3.6.1.5.5.7.3.2"
)

// TlsDatabase decides which certificates are trusted (GTlsDatabase). An
// implementation must be safe for concurrent use (G135).
type TlsDatabase interface {
	// VerifyChain checks the certificate and its chain of issuers for a
	// purpose, and gives no flags if all is well (G136-G138). purpose is the
	// object identifier of an extended key usage, such as
	// PurposeAuthenticateServer, or empty for any. identity is whom the
	// certificate should stand for; with nil no BAD_IDENTITY is set.
	//
	// An invalid chain gives flags and no error. If the database cannot
	// decide, because ctx is done or its content cannot be read, it gives
	// GENERIC_ERROR and the reason.
	//
	// interaction, which may be nil, can be asked for a password.
	VerifyChain(ctx context.Context, chain *TlsCertificate, purpose string, identity SocketConnectable, interaction TlsInteraction, flags TlsDatabaseVerifyFlags) (TlsCertificateFlags, error)
}

// NewDatabaseFromCertificates makes a database that trusts the given certificates. Their
// issuers and private keys have no part in it. Handles are "#" and the SHA-256 of the
// certificate in hexadecimal.
//
// A certificate is accepted if it is one of them or leads to one of them.
// Weak keys and signatures, a wrong purpose and all rules of RFC 5280 section
// 6 are checked; revocation is not, and no missing certificate is fetched.
func NewDatabaseFromCertificates(trusted ...*TlsCertificate) TlsLookupDatabase {
	parsed := make([]*x509.Certificate, len(trusted))
	for i, certificate := range trusted {
		parsed[i] = certificate.leaf
	}
	database := fixedDatabase(parsed)
	return &database
}

// DefaultDatabase gives the database of new connections
// (g_tls_backend_get_default_database, G171): that of SetDefaultDatabase, else the
// one of the system's trusted authorities, always the same (G219). These are read at
// the first verification and kept once for the whole process; they cannot be listed,
// so that lookups find only issuers. SSL_CERT_FILE and SSL_CERT_DIR name other places
// for them on Unix, as for crypto/x509.
func DefaultDatabase() TlsDatabase {
	if chosen := chosenDatabase.Load(); chosen != nil {
		return *chosen
	}
	return systemDatabase
}

// SetDefaultDatabase sets the database of new connections of the process; nil
// restores that of the system (g_tls_backend_set_default_database, G171).
func SetDefaultDatabase(database TlsDatabase) {
	if database == nil {
		chosenDatabase.Store(nil)
		return
	}
	chosenDatabase.Store(&database)
}

var (
	chosenDatabase atomic.Pointer[TlsDatabase] // nil: the system's
	systemDatabase = &anchorDatabase{anchors: sync.OnceValues(systemAnchors)}
)

// anchorDatabase trusts a fixed set of authorities.
type anchorDatabase struct {
	// anchors gives the authorities, the same ones each time.
	anchors func() (*anchors, error)
	prefix  string // of handles, before the "#"
}

// fixedDatabase trusts authorities that are known already.
func fixedDatabase(trusted []*x509.Certificate) anchorDatabase {
	set := newAnchors(trusted)
	return anchorDatabase{anchors: func() (*anchors, error) { return set, nil }}
}

// VerifyChain implements [TlsDatabase].
func (d *anchorDatabase) VerifyChain(ctx context.Context, chain *TlsCertificate, purpose string, identity SocketConnectable, _ TlsInteraction, _ TlsDatabaseVerifyFlags) (TlsCertificateFlags, error) {
	if ctx.Err() != nil {
		return CertificateGenericError, datagram.ErrorFromContext(ctx)
	}
	roots, err := d.anchors()
	if err != nil {
		return CertificateGenericError, err
	}
	return verifyChain(chain, roots, purpose, identity, time.Now()), nil
}

// anchors is an immutable set of trusted authorities.
type anchors struct {
	pool *x509.CertPool
	list []*x509.Certificate // as they were given; nil for the system's
	// bySubject finds them by their name in DER. It is nil for the system's
	// authorities, which crypto/x509 does not list.
	bySubject map[string][]*x509.Certificate
}

// newAnchors makes a set of the given authorities.
func newAnchors(trusted []*x509.Certificate) *anchors {
	a := &anchors{pool: x509.NewCertPool(), list: trusted, bySubject: make(map[string][]*x509.Certificate, len(trusted))}
	for _, c := range trusted {
		a.pool.AddCert(c)
		subject := string(c.RawSubject)
		a.bySubject[subject] = append(a.bySubject[subject], c)
	}
	return a
}

// systemAnchors reads the system's authorities.
func systemAnchors() (*anchors, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, newTlsError(TlsErrorMisc, err,
			"cannot load the system's trusted certificates; install them (ca-certificates) or set a database of your own")
	}
	return &anchors{pool: pool}, nil
}

// contains reports whether the certificate itself is trusted. Of the system's
// set it does not know. A nil set is empty.
func (a *anchors) contains(c *x509.Certificate) bool {
	if a == nil {
		return false
	}
	for _, anchor := range a.bySubject[string(c.RawSubject)] {
		if anchor.Equal(c) {
			return true
		}
	}
	return false
}

// issuersOf gives trusted authorities that may have issued the certificate.
// For the system's set they are those under which crypto/x509 finds it valid
// at now or, if it is not valid then, at the nearest time when it is; an
// authority that signed with a broken hash is not found there. A nil set is
// empty.
func (a *anchors) issuersOf(c *x509.Certificate, now time.Time) []*x509.Certificate {
	switch {
	case a == nil:
		return nil
	case a.bySubject != nil:
		return a.bySubject[string(c.RawIssuer)]
	}
	if now.Before(c.NotBefore) {
		now = c.NotBefore
	} else if now.After(c.NotAfter) {
		now = c.NotAfter
	}
	paths, err := c.Verify(x509.VerifyOptions{
		Roots:       a.pool,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil
	}
	var issuers []*x509.Certificate
	for _, path := range paths {
		if len(path) > 1 {
			issuers = append(issuers, path[1])
		}
	}
	return issuers
}
