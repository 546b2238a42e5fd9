package jwtproto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

func pkcs1PEM(key *rsa.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)})
}

func crlf(data []byte) []byte { return bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")) }

func TestParsePublicKey(t *testing.T) {
	rsaPublic, ecPublic := &rsaKey().PublicKey, &ecKey().PublicKey
	withComment := append(bytes.TrimSpace(sshLine(ecPublic)), " student@host\n"...)
	good := map[string][]byte{
		"RSA, PKIX":          pkixPEM(rsaPublic),
		"RSA, PKCS#1":        pkcs1PEM(rsaPublic),
		"RSA, ssh":           sshLine(rsaPublic),
		"P-256, PKIX":        pkixPEM(ecPublic),
		"P-256, ssh":         sshLine(ecPublic),
		"ssh with a comment": withComment,
	}
	for name, data := range good {
		for ending, written := range map[string][]byte{"LF": data, "CRLF": crlf(data), "no end": bytes.TrimSpace(data), "text before": append([]byte("\n"), data...)} {
			key, err := ParsePublicKey(written)
			if err != nil {
				t.Errorf("%s, %s: %v", name, ending, err)
				continue
			}
			if isRSA := strings.HasPrefix(name, "RSA"); isRSA && !rsaPublic.Equal(key) || !isRSA && !ecPublic.Equal(key) {
				t.Errorf("%s, %s: another key", name, ending)
			}
		}
	}
	edPublic, _, _ := ed25519.GenerateKey(rand.Reader)
	private := must(x509.MarshalPKCS8PrivateKey(ecKey()))
	even := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}
	bad := map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "neither PEM nor"},
		"text":           {[]byte("hello"), "neither PEM nor"},
		"private key":    {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "PRIVATE KEY, not"},
		"damaged PEM":    {pkixPEM(ecPublic)[:60], "damaged"},
		"damaged DER":    {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1, 2, 3}}), ""},
		"P-384":          {pkixPEM(&must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey), "P-384"},
		"P-384, ssh":     {sshLine(&must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey), "P-384"},
		"Ed25519":        {pkixPEM(edPublic), "ed25519"},
		"Ed25519, ssh":   {sshLine(edPublic), "ed25519"},
		"short RSA":      {pkcs1PEM(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 767, 1), E: 65537}), "768 bits"},
		"even modulus":   {pkcs1PEM(even), "broken"},
		"exponent of 1":  {pkcs1PEM(&rsa.PublicKey{N: rsaPublic.N, E: 1}), ""},
		"exponent of 4":  {pkcs1PEM(&rsa.PublicKey{N: rsaPublic.N, E: 4}), "broken"},
		"enormous RSA":   {pkcs1PEM(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16383, 1), E: 65537}), "16384 bits"},
		"shortened line": {sshLine(ecPublic)[:80], "neither PEM nor"},
	}
	for name, test := range bad {
		if key, err := ParsePublicKey(test.data); err == nil || key != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: key %v, error %v, want one with %q", name, key, err, test.want)
		}
	}
}

func TestParsePrivateKey(t *testing.T) {
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, data := range map[string][]byte{
		"PKCS#8 RSA": block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey()))),
		"PKCS#1":     block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())),
		"PKCS#8 EC":  crlf(block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey())))),
		"SEC 1":      block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey()))),
	} {
		key, err := ParsePrivateKey(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := NewRequestSigner(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{"text": []byte("x"), "public": pkixPEM(ecKey().Public()), "damaged": block("PRIVATE KEY", []byte{1})} {
		if _, err := ParsePrivateKey(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
