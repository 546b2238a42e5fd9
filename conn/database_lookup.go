package conn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"gdtls/datagram"
)

// TlsLookupDatabase is a database that can also be asked for certificates, as Gio's
// are (G140-G143). It is apart from [TlsDatabase] so that a database of one's own
// needs one method only. What is not found is nil without an error (G144).
type TlsLookupDatabase interface {
	TlsDatabase

	// CreateCertificateHandle gives a string that stands for a certificate of the
	// database, always the same; "" if the certificate is not from there (G140).
	CreateCertificateHandle(certificate *TlsCertificate) string
	// LookupCertificateForHandle gives the certificate of a handle, nil if there is
	// none (any more) (G141).
	LookupCertificateForHandle(ctx context.Context, handle string, interaction TlsInteraction, flags TlsDatabaseLookupFlags) (*TlsCertificate, error)
	// LookupCertificateIssuer gives the certificate that issued another, nil if the
	// database does not have it (G142). The two are not linked, and finding one is
	// no statement of trust.
	LookupCertificateIssuer(ctx context.Context, certificate *TlsCertificate, interaction TlsInteraction, flags TlsDatabaseLookupFlags) (*TlsCertificate, error)
	// LookupCertificatesIssuedBy gives the certificates whose issuer has a name,
	// given as it stands in certificates, in DER (G143).
	LookupCertificatesIssuedBy(ctx context.Context, issuerDN []byte, interaction TlsInteraction, flags TlsDatabaseLookupFlags) ([]*TlsCertificate, error)
}

var _ TlsLookupDatabase = (*anchorDatabase)(nil)

// CreateCertificateHandle implements [TlsLookupDatabase].
func (d *anchorDatabase) CreateCertificateHandle(certificate *TlsCertificate) string {
	if roots, err := d.anchors(); err != nil || certificate == nil || !roots.contains(certificate.leaf) {
		return ""
	}
	return d.handleOf(certificate.leaf)
}

func (d *anchorDatabase) handleOf(c *x509.Certificate) string {
	hash := sha256.Sum256(c.Raw)
	return d.prefix + "#" + hex.EncodeToString(hash[:])
}

// LookupCertificateForHandle implements [TlsLookupDatabase].
func (d *anchorDatabase) LookupCertificateForHandle(ctx context.Context, handle string, _ TlsInteraction, flags TlsDatabaseLookupFlags) (*TlsCertificate, error) {
	roots, err := d.look(ctx, flags)
	if err != nil {
		return nil, err
	}
	for _, c := range roots.list {
		if d.handleOf(c) == handle {
			return &TlsCertificate{leaf: c}, nil
		}
	}
	return nil, nil
}

// LookupCertificateIssuer implements [TlsLookupDatabase].
func (d *anchorDatabase) LookupCertificateIssuer(ctx context.Context, certificate *TlsCertificate, _ TlsInteraction, flags TlsDatabaseLookupFlags) (*TlsCertificate, error) {
	roots, err := d.look(ctx, flags)
	if err != nil || certificate == nil {
		return nil, err
	}
	for _, issuer := range roots.issuersOf(certificate.leaf, time.Now()) {
		if isSignedBy(certificate.leaf, issuer) {
			return &TlsCertificate{leaf: issuer}, nil
		}
	}
	return nil, nil
}

// LookupCertificatesIssuedBy implements [TlsLookupDatabase].
func (d *anchorDatabase) LookupCertificatesIssuedBy(ctx context.Context, issuerDN []byte, _ TlsInteraction, flags TlsDatabaseLookupFlags) ([]*TlsCertificate, error) {
	roots, err := d.look(ctx, flags)
	if err != nil {
		return nil, err
	}
	var found []*TlsCertificate
	for _, c := range roots.list {
		if bytes.Equal(c.RawIssuer, issuerDN) {
			found = append(found, &TlsCertificate{leaf: c})
		}
	}
	return found, nil
}

// look gives the authorities to a lookup: none if it is for certificates with keys,
// of which there are none here (G150).
func (d *anchorDatabase) look(ctx context.Context, flags TlsDatabaseLookupFlags) (*anchors, error) {
	switch {
	case ctx.Err() != nil:
		return nil, datagram.ErrorFromContext(ctx)
	case flags&DatabaseLookupKeypair != 0:
		return &anchors{bySubject: map[string][]*x509.Certificate{}}, nil
	}
	return d.anchors()
}
