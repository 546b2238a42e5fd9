package conn

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"gdtls/internal/handshake"
)

// Bounds on a certificate chain. A longer one is refused before anything is
// computed from it.
const (
	maxChainCertificates = 16
	maxChainBytes        = 64 << 10
	// maxRSABits bounds the time that a peer's RSA key can make us spend.
	maxRSABits = 8192
)

// TlsCertificate is an X.509 certificate, perhaps with the certificates that
// issued it and with its private key (GTlsCertificate, G110-G131). It is
// immutable and safe for concurrent use.
type TlsCertificate struct {
	leaf   *x509.Certificate
	issuer *TlsCertificate
	// unlinked are certificates that came in the same chain and are not on
	// the way from this one up. Verification may use them.
	unlinked []*x509.Certificate
	key      crypto.Signer

	own      atomic.Pointer[handshake.Certificate] // made at the first handshake that shows it
	verified atomic.Pointer[verifiedPath]          // the last verification that found a path
	matched  atomic.Pointer[matchedName]           // the last name that it was compared with
}

// NewCertificate makes a TlsCertificate from Go's own type, which is the way
// to use a private key that lies outside of the process: any crypto.Signer
// with an ECDSA, RSA or Ed25519 public key. The leaf stands first; it is sent
// to the peer followed by its issuers, and by what else was given. The private
// key may be nil. OCSP staples and timestamps are not used.
//
// The error is a BAD_CERTIFICATE TlsError.
func NewCertificate(certificate tls.Certificate) (*TlsCertificate, error) {
	if len(certificate.Certificate) == 0 {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "the tls.Certificate holds no certificate")
	}
	if len(certificate.Certificate) > maxChainCertificates {
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"the tls.Certificate holds %d certificates, at most %d are allowed", len(certificate.Certificate), maxChainCertificates)
	}
	var key crypto.Signer
	if certificate.PrivateKey != nil {
		var ok bool
		if key, ok = certificate.PrivateKey.(crypto.Signer); !ok {
			return nil, newTlsError(TlsErrorBadCertificate, nil,
				"the private key is a %T, which is no crypto.Signer", certificate.PrivateKey)
		}
	}
	parsed := make([]*x509.Certificate, len(certificate.Certificate))
	for i, der := range certificate.Certificate {
		var err error
		if parsed[i], err = x509.ParseCertificate(bytes.Clone(der)); err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot parse certificate %d of the chain", i)
		}
	}
	return newLinked(parsed, key)
}

// newLinked makes the certificate of a chain that is used as it was given:
// every certificate of it stays, on the leaf's path or beside it.
func newLinked(chain []*x509.Certificate, key crypto.Signer) (*TlsCertificate, error) {
	path, rest := splitPath(chain)
	var certificate *TlsCertificate
	for _, c := range slices.Backward(path) {
		certificate = &TlsCertificate{leaf: c, issuer: certificate}
	}
	certificate.unlinked = rest
	return certificate.withKey(key)
}

// withKey sets the private key of a certificate under construction, after
// making sure that the key belongs to it (G112).
func (c *TlsCertificate) withKey(key crypto.Signer) (*TlsCertificate, error) {
	if key == nil {
		return c, nil
	}
	if !belongs(key, c.leaf) {
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"the private key does not belong to the certificate of %q", c.SubjectName())
	}
	c.key = key
	return c, nil
}

// splitPath orders a chain: path is its first certificate, followed by the
// issuer of that, and so on as far as the chain has them; rest are the other
// certificates. Duplicates are left out. Issuers are told by name and key
// identifier; no signature is checked.
func splitPath(chain []*x509.Certificate) (path, rest []*x509.Certificate) {
	path = append(path, chain[0])
	for _, c := range chain[1:] {
		if !slices.ContainsFunc(rest, c.Equal) && !c.Equal(chain[0]) {
			rest = append(rest, c)
		}
	}
	for {
		last := path[len(path)-1]
		if isSelfIssued(last) {
			return path, rest
		}
		next := slices.IndexFunc(rest, func(c *x509.Certificate) bool { return looksIssued(last, c) })
		if next < 0 {
			return path, rest
		}
		path = append(path, rest[next])
		rest = slices.Delete(rest, next, next+1)
	}
}

// looksIssued reports whether parent's name and key identifier are those that
// child names as its issuer's.
func looksIssued(child, parent *x509.Certificate) bool {
	return bytes.Equal(child.RawIssuer, parent.RawSubject) &&
		(len(child.AuthorityKeyId) == 0 || len(parent.SubjectKeyId) == 0 ||
			bytes.Equal(child.AuthorityKeyId, parent.SubjectKeyId))
}

// isSelfIssued reports whether the certificate names itself as its issuer.
func isSelfIssued(c *x509.Certificate) bool { return looksIssued(c, c) }

// X509 gives the parsed certificate. It is shared: treat it as read-only.
func (c *TlsCertificate) X509() *x509.Certificate { return c.leaf }

// Issuer gives the issuer's certificate, or nil if the certificate is
// self-signed or its issuer did not come with it. The link is not a statement
// of trust: only a verification is (G120).
func (c *TlsCertificate) Issuer() *TlsCertificate { return c.issuer }

// IsSame reports whether both are the same certificate, byte for byte.
// Issuers and private keys do not matter (G123).
func (c *TlsCertificate) IsSame(other *TlsCertificate) bool {
	return other != nil && bytes.Equal(c.leaf.Raw, other.leaf.Raw)
}

// Certificate gives a copy of the certificate in DER (G127).
func (c *TlsCertificate) Certificate() []byte { return bytes.Clone(c.leaf.Raw) }

// CertificatePEM gives the certificate in PEM, without its issuers (G127).
func (c *TlsCertificate) CertificatePEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.leaf.Raw}))
}

// HasPrivateKey reports whether the certificate can prove who it stands for,
// be its private key readable or not.
func (c *TlsCertificate) HasPrivateKey() bool { return c.key != nil }

// PrivateKey gives the private key as unencrypted PKCS#8 in DER, or nil if
// there is none or it cannot leave its crypto.Signer (G128).
func (c *TlsCertificate) PrivateKey() []byte {
	if c.key == nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil
	}
	return der
}

// PrivateKeyPEM gives the private key as unencrypted PKCS#8 in PEM, or "" if
// there is none or it cannot leave its crypto.Signer (G128).
func (c *TlsCertificate) PrivateKeyPEM() string {
	der := c.PrivateKey()
	if der == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
}

// NotValidBefore gives the time from which the certificate is valid (G124).
func (c *TlsCertificate) NotValidBefore() time.Time { return c.leaf.NotBefore }

// NotValidAfter gives the time until which the certificate is valid (G124).
func (c *TlsCertificate) NotValidAfter() time.Time { return c.leaf.NotAfter }

// SubjectName gives the subject's distinguished name in the form of RFC 4514,
// such as "CN=server.example,O=Example" (G125).
func (c *TlsCertificate) SubjectName() string { return distinguishedName(c.leaf.RawSubject) }

// IssuerName gives the issuer's distinguished name in the form of RFC 4514
// (G125).
func (c *TlsCertificate) IssuerName() string { return distinguishedName(c.leaf.RawIssuer) }

// distinguishedName writes a name from its DER, keeping the order and the
// multiplicity of its parts.
func distinguishedName(der []byte) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &name); err != nil {
		return ""
	}
	return name.String()
}

// DNSNames gives the host names that the certificate was issued for, or nil
// (G126).
func (c *TlsCertificate) DNSNames() []string { return slices.Clone(c.leaf.DNSNames) }

// IPAddresses gives the IP addresses that the certificate was issued for, or
// nil (G126).
func (c *TlsCertificate) IPAddresses() []netip.Addr {
	var addresses []netip.Addr
	for _, ip := range c.leaf.IPAddresses {
		if address, ok := netip.AddrFromSlice(ip); ok {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// chainDER gives the chain as it is sent in a Certificate message: the leaf,
// its issuers, then what else was given. The bytes must not be changed.
func (c *TlsCertificate) chainDER() [][]byte {
	var chain [][]byte
	for link := c; link != nil; link = link.issuer {
		chain = append(chain, link.leaf.Raw)
	}
	for _, extra := range c.unlinked {
		chain = append(chain, extra.Raw)
	}
	return chain
}

// above gives the certificates beside the leaf that a verification may use.
func (c *TlsCertificate) above() []*x509.Certificate {
	var certificates []*x509.Certificate
	for link := c.issuer; link != nil && len(certificates) < maxChainCertificates; link = link.issuer {
		certificates = append(certificates, link.leaf)
	}
	return append(certificates, c.unlinked...)
}

// signer gives the private key, or nil.
func (c *TlsCertificate) signer() crypto.Signer { return c.key }
