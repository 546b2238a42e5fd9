package handshake

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
)

func rsaKeyOf(bits uint) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
}

func TestSchemeFits(t *testing.T) {
	ecdsaSchemes := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512}
	all := append(slices.Clone(supportedSchemes), tls.PKCS1WithSHA1, tls.ECDSAWithSHA1, 0, 0xffff)
	for _, test := range []struct {
		name string
		key  crypto.PublicKey
		want []tls.SignatureScheme
	}{
		{"P-256", testCertificate(t, "ECDSA P-256").Signer.Public(), ecdsaSchemes},
		{"P-384", testCertificate(t, "ECDSA P-384").Signer.Public(), ecdsaSchemes}, // 1.2 does not bind the curve
		{"Ed25519", testCertificate(t, "Ed25519").Signer.Public(), []tls.SignatureScheme{tls.Ed25519}},
		{"RSA 2048", rsaKeyOf(2048), []tls.SignatureScheme{tls.PSSWithSHA256, tls.PKCS1WithSHA256,
			tls.PSSWithSHA384, tls.PKCS1WithSHA384, tls.PSSWithSHA512, tls.PKCS1WithSHA512}},
		{"RSA 1024", rsaKeyOf(1024), []tls.SignatureScheme{tls.PSSWithSHA256, tls.PKCS1WithSHA256,
			tls.PSSWithSHA384, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}}, // too small for PSS with SHA-512
		{"key exchange key", &ecdh.PublicKey{}, nil},
		{"none", nil, nil},
	} {
		for _, s := range all {
			if got, want := schemeFits(s, test.key), slices.Contains(test.want, s); got != want {
				t.Errorf("%s and %v: %v, want %v", test.name, s, got, want)
			}
		}
	}
}

func TestKeyAuthentication(t *testing.T) {
	for _, test := range []struct {
		key  crypto.PublicKey
		want authentication
		text string
	}{
		{&ecdsa.PublicKey{Curve: elliptic.P256()}, authECDSA, ""},
		{rsaKeyOf(maxRSABits), authRSA, ""},
		{rsaKeyOf(minRSABits), authRSA, ""},
		{rsaKeyOf(minRSABits - 1), 0, "1023 bits"}, // RFC 9325 4.5
		{&ecdsa.PublicKey{Curve: elliptic.P224()}, 0, "224 bits"},
		{rsaKeyOf(maxRSABits + 1), 0, "8193 bits"}, // a verification that costs more than it is worth
		{&ecdh.PublicKey{}, 0, "ecdh.PublicKey"},
		{nil, 0, "not supported"},
	} {
		got, err := keyAuthentication(test.key)
		if got != test.want || (err == nil) != (test.text == "") || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%T: %v, %v", test.key, got, err)
		}
	}
}

// TestSignAndVerify signs by each scheme, and changes key, scheme, data and signature.
func TestSignAndVerify(t *testing.T) {
	for _, kind := range keyKinds {
		signer := testCertificate(t, kind).Signer
		for _, scheme := range supportedSchemes {
			if !schemeFits(scheme, signer.Public()) {
				continue
			}
			signature, err := sign(signer, scheme, []byte("some "), []byte("data"))
			if err != nil {
				t.Fatalf("%s, %v: %v", kind, scheme, err)
			}
			if err := verify(signer.Public(), scheme, signature, []byte("some data")); err != nil {
				t.Errorf("%s, %v: %v", kind, scheme, err)
			}
			refused := func(what string, key crypto.PublicKey, scheme tls.SignatureScheme, signature, data []byte) {
				err := verify(key, scheme, signature, data)
				if e, ok := err.(*Error); !ok || e.Alert != alert.DecryptError && e.Alert != alert.IllegalParameter {
					t.Errorf("%s, %v, another %s: %v", kind, scheme, what, err)
				}
			}
			refused("data", signer.Public(), scheme, signature, []byte("some date"))
			refused("signature", signer.Public(), scheme, append(slices.Clone(signature[:len(signature)-1]), signature[len(signature)-1]^1), []byte("some data"))
			refused("length", signer.Public(), scheme, signature[:len(signature)-1], []byte("some data"))
			for _, other := range keyKinds {
				if other != kind {
					refused("key", testCertificate(t, other).Signer.Public(), scheme, signature, []byte("some data"))
				}
			}
			for _, other := range supportedSchemes {
				if other != scheme {
					refused("scheme", signer.Public(), other, signature, []byte("some data"))
				}
			}
		}
	}
}
