// Package pki issues certificates for trying things: a certificate authority, and
// leaf certificates for servers and clients. Its keys lie in files or memory
// without a password, so it is not for more than that.
package pki

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"time"
)

// Request says what certificate is wanted.
type Request struct {
	// Names are DNS names and IP addresses. The first is the common name, too.
	Names  []string
	Client bool // for a client; otherwise for a server
	RSA    bool // an RSA key of 2,048 bits; otherwise ECDSA P-256
	Days   int  // how long it is valid; 0: as long as its issuer
}

// Pair is a certificate and its private key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// clockSkew is how far in the past validity begins, for peers whose clock is slow.
const clockSkew = time.Hour

// NewAuthority makes a certificate authority with a self-signed certificate.
func NewAuthority(name string, useRSA bool, days int) (*Pair, error) {
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(0, 0, days),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it issues leaves only
	}
	return issue(template, nil, useRSA)
}

// Issue makes a leaf certificate that the authority has signed. It does not outlive
// its issuer.
func (p *Pair) Issue(r Request) (*Pair, error) {
	template, err := r.template()
	if err != nil {
		return nil, err
	}
	if last := p.Certificate.NotAfter; r.Days == 0 || template.NotAfter.After(last) {
		template.NotAfter = last
	}
	return issue(template, p, r.RSA)
}

// SelfSigned makes a leaf certificate that nobody but itself has signed.
func SelfSigned(r Request) (*Pair, error) {
	template, err := r.template()
	if err != nil {
		return nil, err
	}
	return issue(template, nil, r.RSA)
}

func (r Request) template() (*x509.Certificate, error) {
	if len(r.Names) == 0 {
		return nil, fmt.Errorf("a certificate needs at least one name")
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.Names[0]},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(0, 0, r.Days),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if r.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, name := range r.Names {
		address, err := netip.ParseAddr(name)
		switch {
		case err == nil:
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		case name == "":
			return nil, fmt.Errorf("a name of the certificate is empty")
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template, nil
}

// issue makes a key and has the template signed by the issuer, by itself if nil.
func issue(template *x509.Certificate, issuer *Pair, useRSA bool) (*Pair, error) {
	var key crypto.Signer
	var err error
	if useRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a private key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // RFC 5280 4.1.2.2: at most 20 bytes
	if err != nil {
		return nil, fmt.Errorf("cannot make a serial number: %w", err)
	}
	template.SerialNumber = serial
	issuer = cmp.Or(issuer, &Pair{template, key})
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, key.Public(), issuer.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot issue the certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issued certificate cannot be read: %w", err)
	}
	return &Pair{certificate, key}, nil
}

// TLS gives the pair as Go's TLS packages want it.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.Key, Leaf: p.Certificate}
}

// CertificatePEM gives the certificate in PEM.
func (p *Pair) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Raw})
}

// KeyPEM gives the private key as unencrypted PKCS#8 in PEM.
func (p *Pair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot write the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
