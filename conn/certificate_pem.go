package conn

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
)

const (
	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
	// maxFileBytes bounds what is read from a certificate file. A system's
	// list of all authorities has some 200 KiB.
	maxFileBytes = 16 << 20
)

// NewCertificateFromPEM makes a certificate from PEM text: its first
// certificate, and its first private key if it holds one (G110-G113). The key
// belongs to the first certificate; PKCS#8, PKCS#1 (RSA) and SEC 1 (EC) keys
// are read, encrypted ones are not. If the text holds more certificates, leaf
// first, and together they form one chain, each becomes the issuer of the one
// before; otherwise the first stands alone.
//
// Text without a certificate, with a certificate or key that is cut off or
// cannot be parsed, or with a key that belongs to another certificate gives a
// BAD_CERTIFICATE TlsError.
func NewCertificateFromPEM(data []byte) (*TlsCertificate, error) {
	certificates, err := parsePEMCertificates(data)
	if err != nil {
		return nil, err
	}
	key, err := parsePEMKey(data)
	if err != nil {
		return nil, err
	}
	return newFromPEM(certificates, key)
}

// NewCertificateFromFile reads a certificate from a file (G114): from a PKCS#12
// container without a password, as [NewCertificateFromPKCS12] does, if its name ends
// with .p12 or .pfx, else as [NewCertificateFromPEM] does. An unreadable file gives
// the error of package os.
func NewCertificateFromFile(name string) (*TlsCertificate, error) {
	if isPKCS12File(name) {
		return NewCertificateFromFileWithPassword(name, "")
	}
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	certificate, err := NewCertificateFromPEM(data)
	return certificate, inFile(name, err)
}

// NewCertificateFromFiles reads a certificate, or a chain of them, from one
// PEM file and its private key from another, which may be the same (G116).
// The key file is read first. An unreadable file gives the error of package
// os, a file without key or certificate a BAD_CERTIFICATE TlsError.
func NewCertificateFromFiles(certificateFile, keyFile string) (*TlsCertificate, error) {
	keyData, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := parsePEMKey(keyData)
	if err == nil && key == nil {
		err = newTlsError(TlsErrorBadCertificate, nil, "no private key in the PEM text")
	}
	if err != nil {
		return nil, inFile(keyFile, err)
	}
	data, err := readFile(certificateFile)
	if err != nil {
		return nil, err
	}
	certificates, err := parsePEMCertificates(data)
	if err != nil {
		return nil, inFile(certificateFile, err)
	}
	certificate, err := newFromPEM(certificates, key)
	return certificate, inFile(certificateFile, err)
}

// ListCertificatesFromFile reads every certificate of a PEM file, without
// keys and without links between them (G119). A file without any gives an
// empty list, a file with a bad one a BAD_CERTIFICATE TlsError and no list,
// an unreadable file the error of package os.
func ListCertificatesFromFile(name string) ([]*TlsCertificate, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	parsed, err := parsePEMCertificates(data)
	if err != nil {
		return nil, inFile(name, err)
	}
	list := make([]*TlsCertificate, len(parsed))
	for i, c := range parsed {
		list[i] = &TlsCertificate{leaf: c}
	}
	return list, nil
}

// newFromPEM applies the chain rule of G111 to the certificates of a PEM
// text.
func newFromPEM(certificates []*x509.Certificate, key crypto.Signer) (*TlsCertificate, error) {
	if len(certificates) == 0 {
		return nil, newTlsError(TlsErrorBadCertificate, nil, "no certificate in the PEM text")
	}
	chain := certificates[:1]
	if len(certificates) <= maxChainCertificates {
		if path, rest := splitPath(certificates); len(rest) == 0 && isSigned(path) {
			chain = path
		}
	}
	var certificate *TlsCertificate
	for _, c := range slices.Backward(chain) {
		certificate = &TlsCertificate{leaf: c, issuer: certificate}
	}
	return certificate.withKey(key)
}

// isSigned reports whether each certificate of the path is signed by the next.
func isSigned(path []*x509.Certificate) bool {
	for i := range len(path) - 1 {
		if !isSignedBy(path[i], path[i+1]) {
			return false
		}
	}
	return true
}

// parsePEMCertificates reads every certificate of a PEM text.
func parsePEMCertificates(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for block := range pemBlocks(data) {
		if block.label != pemCertificate {
			continue
		}
		number := len(certificates) + 1
		der, err := block.decode()
		if err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot read certificate %d of the PEM text", number)
		}
		c, err := x509.ParseCertificate(der.Bytes)
		if err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot parse certificate %d of the PEM text", number)
		}
		certificates = append(certificates, c)
	}
	return certificates, nil
}

// parsePEMKey reads the first private key of a PEM text, and gives nil if
// there is none (G112).
func parsePEMKey(data []byte) (crypto.Signer, error) {
	for block := range pemBlocks(data) {
		if block.label != pemPrivateKey && !strings.HasSuffix(block.label, " "+pemPrivateKey) {
			continue
		}
		der, err := block.decode()
		if err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot read the private key of the PEM text")
		}
		if block.label == "ENCRYPTED "+pemPrivateKey || strings.Contains(der.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, newTlsError(TlsErrorBadCertificate, nil,
				"cannot decrypt the private key of the PEM text; decrypt it first (openssl pkey)")
		}
		key, err := parseKey(block.label, der.Bytes)
		if err != nil {
			return nil, newTlsError(TlsErrorBadCertificate, err, "cannot parse the private key of the PEM text")
		}
		return key, nil
	}
	return nil, nil
}

// parseKey reads a private key in the form that its PEM label names.
func parseKey(label string, der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch label {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	default:
		key, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// pemBlock is one block of a PEM text, not decoded yet.
type pemBlock struct {
	label string
	// text runs from the header to the end of the footer. Without a footer
	// it is nil.
	text []byte
}

// decode gives the block's content. Unlike pem.Decode alone it reports a
// block that is cut off or garbled, instead of passing over it (G113).
func (b pemBlock) decode() (*pem.Block, error) {
	if b.text == nil {
		return nil, fmt.Errorf("no line -----END %s----- follows", b.label)
	}
	block, _ := pem.Decode(b.text)
	if block == nil || block.Type != b.label {
		return nil, fmt.Errorf("the text between -----BEGIN %[1]s----- and -----END %[1]s----- is not base64", b.label)
	}
	return block, nil
}

// pemBlocks finds the blocks of a PEM text, in one pass. Text between them is
// passed over.
func pemBlocks(data []byte) iter.Seq[pemBlock] {
	const header, dashes = "-----BEGIN ", "-----"
	return func(yield func(pemBlock) bool) {
		for {
			start := bytes.Index(data, []byte(header))
			if start < 0 {
				return
			}
			data = data[start:]
			line, body, _ := bytes.Cut(data, []byte("\n"))
			label, ok := bytes.CutSuffix(bytes.TrimRight(line[len(header):], " \t\r"), []byte(dashes))
			if !ok {
				data = data[len(header):]
				continue
			}
			// The body holds no dashes: the first must be the footer's.
			block := pemBlock{label: string(label)}
			footer := []byte("-----END " + block.label + dashes)
			next := body
			if end := bytes.Index(body, []byte(dashes)); end >= 0 && bytes.HasPrefix(body[end:], footer) {
				length := len(data) - len(body) + end + len(footer)
				block.text, next = data[:length], data[length:]
			}
			if !yield(block) {
				return
			}
			data = next
		}
	}
}

// readFile reads a file that should hold certificates, within a bound.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, newTlsError(TlsErrorBadCertificate, nil,
			"%s is too large for a certificate file (more than %d bytes)", name, maxFileBytes)
	}
	return data, nil
}

// inFile adds the file's name to a TlsError that tells of its content.
func inFile(name string, err error) error {
	tlsError, ok := err.(*TlsError)
	if !ok {
		return err
	}
	return &TlsError{Code: tlsError.Code, Message: name + ": " + tlsError.Message, Err: tlsError.Err}
}
