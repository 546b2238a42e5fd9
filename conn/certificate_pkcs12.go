package conn

import (
	"crypto"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"gdtls/datagram"
)

// NewCertificateFromPKCS12 makes a certificate from a PKCS#12 container (RFC 7292),
// which must hold a private key and the certificate that it belongs to; the other
// certificates in it become the chain (g_tls_certificate_new_from_pkcs12, G117). The
// empty password is also that of a container without one.
//
// A wrong password is the TlsError BAD_CERTIFICATE_PASSWORD, an encryption that is
// not supported the IOError NOT_SUPPORTED, and everything else that is wrong the
// TlsError BAD_CERTIFICATE. The container says itself how much work its password
// is: read only those from where you trust.
func NewCertificateFromPKCS12(data []byte, password string) (*TlsCertificate, error) {
	private, first, others, err := pkcs12.DecodeChain(data, password)
	var unsupported pkcs12.NotImplementedError
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, newTlsError(TlsErrorBadCertificatePassword, err, "cannot open the PKCS#12 container with this password")
	case errors.As(err, &unsupported):
		return nil, datagram.NewError(datagram.CodeNotSupported, "PKCS#12 container is protected in a way that is not supported: %w", err)
	case err != nil:
		return nil, newTlsError(TlsErrorBadCertificate, err, "cannot read the PKCS#12 container")
	case len(others) >= maxChainCertificates:
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"the PKCS#12 container holds %d certificates, at most %d are allowed", len(others)+1, maxChainCertificates)
	}
	key, ok := private.(crypto.Signer)
	if !ok {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "the private key in the PKCS#12 container is a %T, which cannot sign", private)
	}
	// Containers hold certificates in any order: the key tells which is the leaf.
	chain := append([]*x509.Certificate{first}, others...)
	leaf := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return belongs(key, c) })
	if leaf < 0 {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "the private key in the PKCS#12 container belongs to none of its certificates")
	}
	chain[0], chain[leaf] = chain[leaf], chain[0]
	return newLinked(chain, key)
}

// belongs reports whether a private key is that of a certificate.
func belongs(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}

// isPKCS12File tells by its name whether a file is a PKCS#12 container, as Gio does.
func isPKCS12File(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".p12", ".pfx":
		return true
	}
	return false
}

// NewCertificateFromFileWithPassword reads a certificate from a PKCS#12 file, as
// [NewCertificateFromPKCS12] does (g_tls_certificate_new_from_file_with_password,
// G115). A file whose name does not end with .p12 or .pfx is the IOError
// NOT_SUPPORTED, before it is read; an unreadable one gives the error of package os.
func NewCertificateFromFileWithPassword(name, password string) (*TlsCertificate, error) {
	if !isPKCS12File(name) {
		return nil, datagram.NewError(datagram.CodeNotSupported,
			"%s is no PKCS#12 file by its name (.p12, .pfx), and no other kind has a password", name)
	}
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	certificate, err := NewCertificateFromPKCS12(data, password)
	return certificate, inFile(name, err)
}

// NewCertificateFromPKCS11URIs would make a certificate from objects of a token
// (g_tls_certificate_new_from_pkcs11_uris, G118). PKCS#11 modules are C libraries,
// which this module does not load: the error is always the IOError NOT_SUPPORTED. A
// key that lies in a token is used through its crypto.Signer ([NewCertificate]).
func NewCertificateFromPKCS11URIs(certificateURI, privateKeyURI string) (*TlsCertificate, error) {
	return nil, datagram.NewError(datagram.CodeNotSupported,
		"PKCS#11 is not supported (%s): give NewCertificate a tls.Certificate whose PrivateKey is the token's crypto.Signer", certificateURI)
}

// PKCS11URI gives "": no certificate comes from a token by its URI (pkcs11-uri, G130).
func (c *TlsCertificate) PKCS11URI() string { return "" }

// PrivateKeyPKCS11URI gives "": no private key comes from a token by its URI
// (private-key-pkcs11-uri, G130).
func (c *TlsCertificate) PrivateKeyPKCS11URI() string { return "" }
