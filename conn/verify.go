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
	if identity == nil || !chain.matches(identity) {
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
	if identity != nil && !chain.matches(identity) {
		flags |= CertificateBadIdentity
	}
	judge := pathJudge{purpose: purpose, now: now}
	if known := chain.verified.Load(); known.holds(roots, judge) {
		return flags | known.flags
	}
	sent := chain.above()
	if roots != nil {
		if valid := validPath(chain.leaf, sent, roots, judge); valid != nil {
			chain.verified.Store(valid)
			return flags | valid.flags
		}
	}
	return flags | diagnose(chain.leaf, sent, roots, judge)
}

// verifiedPath is what was found out about a chain. A peer's chain is one object for
// all connections that show it, so that its signatures need not be checked anew for
// each of them, and not for a session that is resumed.
type verifiedPath struct {
	roots       *anchors
	purpose     string
	flags       TlsCertificateFlags
	from, until time.Time
}

// verifiedLifetime bounds how long a verification is relied on, since a system's
// verifier may know of more than dates and signatures.
const verifiedLifetime = 10 * time.Minute

// holds tells whether a verification would find the same. It may be called on nil.
func (v *verifiedPath) holds(roots *anchors, judge pathJudge) bool {
	return v != nil && roots != nil && v.roots == roots && v.purpose == judge.purpose &&
		!judge.now.Before(v.from) && !judge.now.After(v.until)
}

// validPath asks crypto/x509, which knows all rules of RFC 5280 section 6,
// for paths from the leaf to a trusted authority. It gives the best one, with the
// flags for what crypto/x509 does not judge, or nil if there is none.
func validPath(leaf *x509.Certificate, sent []*x509.Certificate, roots *anchors, judge pathJudge) *verifiedPath {
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
		return nil
	}
	best, flags := paths[0], judge.path(paths[0], true)
	for _, path := range paths[1:] {
		if other := judge.path(path, true); fewer(other, flags) {
			best, flags = path, other
		}
	}
	valid := &verifiedPath{roots, judge.purpose, flags, judge.now, judge.now.Add(verifiedLifetime)}
	for _, c := range best {
		if c.NotAfter.Before(valid.until) {
			valid.until = c.NotAfter
		}
	}
	return valid
}
