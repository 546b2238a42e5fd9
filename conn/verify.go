package conn

import (
	"context"
	"crypto/x509"
	"time"
)

// Verify checks the certificate outside of a connection (G121, G122): its
// dates and the strength of its keys and signatures; with an identity whether
// it was issued for that (BAD_IDENTITY), and with a trusted authority whether
// the chain of issuers leads to it (UNKNOWN_CA). Either may be nil. It checks
// no purpose; a [TlsDatabase] does.
func (c *TlsCertificate) Verify(identity SocketConnectable, trustedCA *TlsCertificate) TlsCertificateFlags {
	var roots *anchors
	if trustedCA != nil {
		roots = newAnchors([]*x509.Certificate{trustedCA.leaf})
	}
	return verifyChain(c, roots, "", identity, time.Now())
}

// verifyPeer computes the flags for the chain that the peer sent.
func (c *DtlsConnection) verifyPeer(ctx context.Context, chain *TlsCertificate) (TlsCertificateFlags, error) {
	if c.role.IsServer() {
		return verifyClient(ctx, c.Database(), chain, c.Interaction())
	}
	return verifyServer(ctx, c.Database(), chain, c.role.Identity(), c.Interaction())
}

// verifyServer computes the flags for the chain that a server sent. Without
// an identity to compare with, BAD_IDENTITY is always set (G101, G194). If
// the database cannot decide the flags are GENERIC_ERROR at least, and err
// tells why.
func verifyServer(ctx context.Context, database TlsDatabase, chain *TlsCertificate, identity SocketConnectable, interaction TlsInteraction) (flags TlsCertificateFlags, err error) {
	if database == nil {
		return verifyWithoutDatabase(chain, identity), nil
	}
	flags, err = database.VerifyChain(ctx, chain, PurposeAuthenticateServer, identity, interaction, DatabaseVerifyNone)
	if err != nil {
		flags |= CertificateGenericError
	}
	if identity == nil {
		flags |= CertificateBadIdentity
	}
	return flags, err
}

// verifyClient computes the flags for the chain that a client sent. A client
// has no expected identity. If the database cannot decide the flags are
// GENERIC_ERROR at least, and err tells why.
func verifyClient(ctx context.Context, database TlsDatabase, chain *TlsCertificate, interaction TlsInteraction) (flags TlsCertificateFlags, err error) {
	if database == nil {
		return CertificateUnknownCA, nil
	}
	flags, err = database.VerifyChain(ctx, chain, PurposeAuthenticateClient, nil, interaction, DatabaseVerifyNone)
	if err != nil {
		flags |= CertificateGenericError
	}
	return flags, err
}

// verifyWithoutDatabase gives the flags of a server's chain when nothing is
// trusted: UNKNOWN_CA, and BAD_IDENTITY unless the certificate was issued for
// the identity. Nothing else is looked at (G062, G194).
func verifyWithoutDatabase(chain *TlsCertificate, identity SocketConnectable) TlsCertificateFlags {
	flags := CertificateUnknownCA
	if identity == nil || !matchesIdentity(chain.leaf, identity) {
		flags |= CertificateBadIdentity
	}
	return flags
}

// verifyChain computes the flags of a chain at a time. roots are the trusted
// authorities; nil means that none is asked for, and UNKNOWN_CA is not set
// then. purpose is the object identifier of an extended key usage, or empty
// for any. identity may be nil.
func verifyChain(chain *TlsCertificate, roots *anchors, purpose string, identity SocketConnectable, now time.Time) TlsCertificateFlags {
	flags := CertificateNoFlags
	if identity != nil && !matchesIdentity(chain.leaf, identity) {
		flags |= CertificateBadIdentity
	}
	judge := pathJudge{purpose: purpose, now: now}
	sent := chain.above()
	if roots != nil {
		if path, ok := validPath(chain.leaf, sent, roots, judge); ok {
			return flags | path
		}
	}
	return flags | diagnose(chain.leaf, sent, roots, judge)
}

// validPath asks crypto/x509, which knows all rules of RFC 5280 section 6,
// for paths from the leaf to a trusted authority. It reports whether there is
// one, and the flags of the best for what crypto/x509 does not judge.
func validPath(leaf *x509.Certificate, sent []*x509.Certificate, roots *anchors, judge pathJudge) (TlsCertificateFlags, bool) {
	options := x509.VerifyOptions{
		Roots:       roots.pool,
		CurrentTime: judge.now,
		// The purpose is judged here, so that a wrong one is told apart
		// from an unknown authority.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if len(sent) > 0 {
		options.Intermediates = x509.NewCertPool()
		for _, c := range sent {
			options.Intermediates.AddCert(c)
		}
	}
	paths, err := leaf.Verify(options)
	if err != nil {
		return 0, false
	}
	best := judge.path(paths[0], true)
	for _, path := range paths[1:] {
		if flags := judge.path(path, true); fewer(flags, best) {
			best = flags
		}
	}
	return best, true
}
