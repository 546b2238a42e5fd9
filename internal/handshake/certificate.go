package handshake

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// Certificate is an own certificate with its key, prepared for many handshakes.
// It is immutable.
type Certificate struct {
	Chain  [][]byte // DER, leaf first
	Signer crypto.Signer

	leaf    *x509.Certificate
	key     crypto.PublicKey // Signer's
	slow    bool             // Signer is not asked in passing
	auth    authentication
	message []byte            // body of the Certificate message
	hash    [sha256.Size]byte // of the leaf
}

// NewCertificate prepares a certificate chain (DER, leaf first) and its key.
func NewCertificate(chain [][]byte, signer crypto.Signer) (*Certificate, error) {
	if len(chain) == 0 {
		return nil, errInternal(nil, "certificate's chain is empty")
	}
	c := &Certificate{Chain: chain, Signer: signer, key: signer.Public(), slow: isSlow(signer)}
	var err error
	if c.auth, err = keyAuthentication(c.key); err != nil {
		return nil, errInternal(err, "certificate's private key cannot be used")
	}
	if c.leaf, err = x509.ParseCertificate(chain[0]); err != nil {
		return nil, errInternal(err, "certificate cannot be parsed")
	}
	c.hash = sha256.Sum256(chain[0])
	if c.message = marshalCertificate(chain); len(c.message) > maxMessage {
		return nil, errInternal(nil, "certificate's chain makes a message of %d bytes, at most %d are sent", len(c.message), maxMessage)
	}
	return c, nil
}

// Leaf is the certificate without its chain. It is shared: treat it as read-only.
func (c *Certificate) Leaf() *x509.Certificate { return c.leaf }

// usable lists the certificates among which the suite decides: those that were
// issued for the name that the client asks for, wildcards included, and that it
// can verify, or all if there is none. named tells that the name chose.
func (c *Config) usable(h *ClientHello) (list []*Certificate, named bool) {
	if len(c.Certificates) < 2 || h.ServerName == "" {
		return c.Certificates, false
	}
	for _, own := range c.Certificates {
		if own.leaf.VerifyHostname(h.ServerName) != nil {
			continue
		}
		if slices.ContainsFunc(c.enabled(), func(s *Suite) bool { return s.auth == own.auth && slices.Contains(h.Suites, s.ID) }) {
			if _, ok := chooseScheme(h.SignatureSchemes, own.key); ok {
				list = append(list, own)
			}
		}
	}
	if list == nil {
		return c.Certificates, false
	}
	return list, true
}

// forSuite takes the first certificate for a suite whose key makes signatures that
// the client verifies, and the client's first scheme of these.
func forSuite(list []*Certificate, suite *Suite, schemes []tls.SignatureScheme) (*Certificate, tls.SignatureScheme) {
	for _, c := range list {
		if c.auth != suite.auth {
			continue
		}
		if scheme, ok := chooseScheme(schemes, c.key); ok {
			return c, scheme
		}
	}
	return nil, 0
}

// Wants tells whether the server that asks AskClientCertificate could accept a
// certificate: it named a signature scheme that the key can make and, if it named
// authorities, one that issued a certificate of the chain.
func (m *Machine) Wants(own *Certificate) bool {
	r := m.peer.request
	if r == nil {
		return false
	}
	if _, ok := chooseScheme(r.schemes, own.key); !ok {
		return false
	}
	if len(r.authorities) == 0 {
		return true
	}
	named := func(issuer []byte) bool {
		return slices.ContainsFunc(r.authorities, func(name []byte) bool { return bytes.Equal(name, issuer) })
	}
	if named(own.leaf.RawIssuer) {
		return true
	}
	for _, der := range own.Chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil && named(c.RawIssuer) {
			return true
		}
	}
	return false
}
