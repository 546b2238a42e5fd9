package jwtproto

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"gdtls/conn"
)

// MemberCertificate makes a certificate for a group's key, signed by the key itself and
// good for a day. A DTLS client that shows it speaks for the group, and for no other.
// Nobody has to sign it: the server knows the key.
func MemberCertificate(group string, key crypto.Signer) (*conn.TlsCertificate, error) {
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: group},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("jwtproto: cannot make a certificate for the key of %s: %w", group, err)
	}
	return conn.NewCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
}
