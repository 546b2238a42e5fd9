package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

// Bounds of RSA keys: shorter ones can be broken by anybody (RFC 9325 4.5 asks for
// 2048 bits; below that the application is told and decides), and longer ones would
// make a verification take long.
const (
	minRSABits = 1024
	maxRSABits = 8192
)

// keyAuthentication tells which suites a public key may serve.
func keyAuthentication(key crypto.PublicKey) (authentication, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if bits := k.Curve.Params().BitSize; bits < 256 {
			return 0, fmt.Errorf("ECDSA key of %d bits, at least 256 are accepted", bits)
		}
		return authECDSA, nil
	case ed25519.PublicKey:
		return authECDSA, nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return 0, fmt.Errorf("RSA key of %d bits, %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		return authRSA, nil
	}
	return 0, fmt.Errorf("keys of type %T are not supported: use ECDSA, Ed25519 or RSA", key)
}

// schemeHash is the hash that a scheme signs; zero for Ed25519, which hashes itself.
func schemeHash(s tls.SignatureScheme) crypto.Hash {
	switch s {
	case tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PKCS1WithSHA256:
		return crypto.SHA256
	case tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA384, tls.PKCS1WithSHA384:
		return crypto.SHA384
	case tls.ECDSAWithP521AndSHA512, tls.PSSWithSHA512, tls.PKCS1WithSHA512:
		return crypto.SHA512
	}
	return 0
}

func isPSS(s tls.SignatureScheme) bool {
	return s == tls.PSSWithSHA256 || s == tls.PSSWithSHA384 || s == tls.PSSWithSHA512
}

// schemeFits tells whether a key can make signatures of the scheme. In version
// 1.2 an ECDSA scheme does not bind the curve (RFC 8446 4.2.3).
func schemeFits(s tls.SignatureScheme, key crypto.PublicKey) bool {
	if !slices.Contains(supportedSchemes, s) {
		return false
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return s == tls.ECDSAWithP256AndSHA256 || s == tls.ECDSAWithP384AndSHA384 || s == tls.ECDSAWithP521AndSHA512
	case ed25519.PublicKey:
		return s == tls.Ed25519
	case *rsa.PublicKey:
		h := schemeHash(s)
		if isPSS(s) { // salt as long as the hash, RFC 8017 9.1.1
			return k.Size() >= 2*h.Size()+2
		}
		return s == tls.PKCS1WithSHA256 || s == tls.PKCS1WithSHA384 || s == tls.PKCS1WithSHA512
	}
	return false
}

// chooseScheme takes the peer's first scheme that a key can serve.
func chooseScheme(offered []tls.SignatureScheme, key crypto.PublicKey) (tls.SignatureScheme, bool) {
	for _, s := range offered {
		if schemeFits(s, key) {
			return s, true
		}
	}
	return 0, false
}

// sign signs data, which is hashed as the scheme says.
func sign(signer crypto.Signer, scheme tls.SignatureScheme, data ...[]byte) ([]byte, error) {
	message, opts := signingInput(scheme, data)
	return signer.Sign(rand.Reader, message, opts)
}

// verify checks a signature over data.
func verify(key crypto.PublicKey, scheme tls.SignatureScheme, signature []byte, data ...[]byte) error {
	if !schemeFits(scheme, key) {
		return errIllegal("peer signed with %v, which does not fit its key or was not offered", scheme)
	}
	message, opts := signingInput(scheme, data)
	var err error
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(k, message, signature) {
			err = errSignature
		}
	case ed25519.PublicKey:
		if !ed25519.Verify(k, message, signature) {
			err = errSignature
		}
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			err = rsa.VerifyPSS(k, pss.Hash, message, signature, pss)
		} else {
			err = rsa.VerifyPKCS1v15(k, opts.HashFunc(), message, signature)
		}
	}
	if err != nil {
		return NewError(KindProtocol, alert.DecryptError, "peer's %v signature is wrong: its key is another, or the handshake was changed on its way", scheme)
	}
	return nil
}

var errSignature = errors.New("wrong signature")

func signingInput(scheme tls.SignatureScheme, data [][]byte) ([]byte, crypto.SignerOpts) {
	h := schemeHash(scheme)
	if h == 0 {
		return slices.Concat(data...), crypto.Hash(0)
	}
	hash := h.New()
	for _, d := range data {
		hash.Write(d)
	}
	if isPSS(scheme) {
		return hash.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	return hash.Sum(nil), h
}
