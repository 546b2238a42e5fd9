package conn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"math/bits"
	"slices"
	"time"
)

const (
	// maxPathSteps bounds the signatures that one search checks, whatever
	// chain the peer sends.
	maxPathSteps = 100
	// minRSABits and minCurveBits are the smallest keys not called insecure.
	minRSABits   = 2048
	minCurveBits = 256
)

// diagnose finds out why no valid path leads from the leaf to a trusted
// authority: it looks for the best path while it tolerates what is wrong, and
// gives the flags of that. It always sets a bit if roots is not nil. With nil
// roots it judges the path as far as the sent certificates go.
func diagnose(leaf *x509.Certificate, sent []*x509.Certificate, roots *anchors, judge pathJudge) TlsCertificateFlags {
	search := pathSearch{sent: sent, roots: roots, judge: judge, steps: maxPathSteps}
	search.extend([]*x509.Certificate{leaf})
	switch {
	case roots == nil:
		return search.best &^ CertificateUnknownCA
	case search.best == CertificateNoFlags:
		// The path looks good, yet crypto/x509 refused it: a name
		// constraint, a path length, an unknown critical extension.
		return CertificateGenericError
	}
	return search.best
}

// pathSearch walks from a leaf towards the trusted authorities, depth first.
type pathSearch struct {
	sent  []*x509.Certificate
	roots *anchors // nil: none
	judge pathJudge
	steps int // how many signatures may still be checked

	found bool
	best  TlsCertificateFlags // of the best path so far, valid if found
}

// extend goes on from the last certificate of a path.
func (s *pathSearch) extend(path []*x509.Certificate) {
	last := path[len(path)-1]
	if s.roots.contains(last) {
		s.offer(path, true)
		return
	}
	longer := false
	for _, issuer := range s.roots.issuersOf(last, s.judge.now) {
		if s.signed(last, issuer) {
			longer = true
			s.offer(append(slices.Clip(path), issuer), true)
		}
	}
	for _, issuer := range s.sent {
		if looksIssued(last, issuer) && !slices.ContainsFunc(path, issuer.Equal) && s.signed(last, issuer) {
			longer = true
			s.extend(append(slices.Clip(path), issuer))
		}
	}
	if !longer {
		s.offer(path, false)
	}
}

// signed checks a signature as long as the search's budget lasts.
func (s *pathSearch) signed(child, parent *x509.Certificate) bool {
	if s.steps == 0 {
		return false
	}
	s.steps--
	return isSignedBy(child, parent)
}

// offer keeps the flags of a path if they are the best. A path that does not
// end with a trusted authority carries UNKNOWN_CA, and loses to one that does.
func (s *pathSearch) offer(path []*x509.Certificate, trusted bool) {
	flags := s.judge.path(path, trusted)
	if !s.found || fewer(flags, s.best) {
		s.found, s.best = true, flags
	}
}

// fewer reports whether a is a milder set of flags than b: without UNKNOWN_CA
// rather than with it, then with fewer bits.
func fewer(a, b TlsCertificateFlags) bool {
	if unknown := a & CertificateUnknownCA; unknown != b&CertificateUnknownCA {
		return unknown == 0
	}
	return bits.OnesCount32(uint32(a)) < bits.OnesCount32(uint32(b))
}

// pathJudge computes the flags of one path for a purpose and a time.
type pathJudge struct {
	purpose string // object identifier of the extended key usage; empty: any
	now     time.Time
}

// path judges a path, leaf first. trusted tells that its last certificate is
// a trusted authority, whose own signature does not matter.
func (j pathJudge) path(path []*x509.Certificate, trusted bool) TlsCertificateFlags {
	flags := CertificateNoFlags
	if !trusted {
		flags |= CertificateUnknownCA
	}
	for i, c := range path {
		last := i == len(path)-1
		switch {
		case j.now.Before(c.NotBefore):
			flags |= CertificateNotActivated
		case j.now.After(c.NotAfter):
			flags |= CertificateExpired
		}
		if isWeakKey(c) || isWeakSignature(c) && !(last && (trusted || isSelfIssued(c))) {
			flags |= CertificateInsecure
		}
		if !allowsPurpose(c, j.purpose) {
			flags |= CertificateGenericError
		}
		// An issuer that is no authority makes the authority unknown (G133).
		if i > 0 && !mayIssue(c) {
			flags |= CertificateUnknownCA
		}
	}
	return flags
}

// mayIssue reports whether the certificate is one of an authority. Version 1
// certificates cannot say so; some old roots are of that kind.
func mayIssue(c *x509.Certificate) bool {
	if c.BasicConstraintsValid {
		return c.IsCA
	}
	return c.Version < 3
}

// isWeakKey reports whether the public key is too small, or of an algorithm
// that nothing here accepts.
func isWeakKey(c *x509.Certificate) bool {
	switch public := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() < minRSABits
	case *ecdsa.PublicKey:
		return public.Curve.Params().BitSize < minCurveBits
	case ed25519.PublicKey:
		return false
	}
	return true
}

// isWeakSignature reports whether the certificate is signed over a broken
// hash.
func isWeakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// isSignedBy reports whether the parent's key made the child's signature.
// Unlike crypto/x509 it also knows the broken hashes, so that they are told
// apart from a wrong signature.
func isSignedBy(child, parent *x509.Certificate) bool {
	switch child.SignatureAlgorithm {
	case x509.MD5WithRSA:
		digest := md5.Sum(child.RawTBSCertificate)
		public, ok := parent.PublicKey.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(public, crypto.MD5, digest[:], child.Signature) == nil
	case x509.SHA1WithRSA:
		digest := sha1.Sum(child.RawTBSCertificate)
		public, ok := parent.PublicKey.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(public, crypto.SHA1, digest[:], child.Signature) == nil
	case x509.ECDSAWithSHA1:
		digest := sha1.Sum(child.RawTBSCertificate)
		public, ok := parent.PublicKey.(*ecdsa.PublicKey)
		return ok && ecdsa.VerifyASN1(public, digest[:], child.Signature)
	}
	return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) == nil
}

var (
	oidExtendedKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidAnyExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
)

// allowsPurpose reports whether the certificate may be used for the purpose:
// its extended key usages name it or any, or it has none (RFC 5280 section
// 4.2.1.12). An authority's list bounds those below it, as crypto/x509 has it.
func allowsPurpose(c *x509.Certificate, purpose string) bool {
	if purpose == "" {
		return true
	}
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidExtendedKeyUsage) {
			continue
		}
		var usages []asn1.ObjectIdentifier
		if rest, err := asn1.Unmarshal(extension.Value, &usages); err != nil || len(rest) > 0 {
			return false
		}
		return slices.ContainsFunc(usages, func(usage asn1.ObjectIdentifier) bool {
			return usage.Equal(oidAnyExtendedKeyUsage) || usage.String() == purpose
		})
	}
	return true
}
