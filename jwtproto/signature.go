package jwtproto

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

var requestAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256}

// token is a JWS in compact form that has been taken apart. Its payload is not to be
// trusted before isSignedBy.
type token struct {
	payload []byte

	signed *jose.JSONWebSignature // nil for one with a usual header, which has the rest:

	algorithm jose.SignatureAlgorithm
	digest    [sha256.Size]byte // of header and payload as they came, which are signed
	signature []byte
}

// usualHeaders are the headers of nearly all requests, in base64url. They say nothing but
// the algorithm, so that their tokens can do without a parser of headers, which costs as
// much as all else but the check of the signature.
var usualHeaders = func() map[string]jose.SignatureAlgorithm {
	known := map[string]jose.SignatureAlgorithm{}
	for _, alg := range requestAlgorithms {
		for _, header := range []string{
			`{"alg":"` + string(alg) + `"}`,
			`{"alg":"` + string(alg) + `","typ":"JWT"}`,
			`{"typ":"JWT","alg":"` + string(alg) + `"}`,
		} {
			known[base64.RawURLEncoding.EncodeToString([]byte(header))] = alg
		}
	}
	return known
}()

// parseToken takes a token apart; go-jose does it unless the header is a usual one.
func parseToken(text []byte) (token, Refusal) {
	if !isCompact(text) {
		return token{}, DecodeFailed
	}
	first := bytes.IndexByte(text, '.')
	if algorithm, ok := usualHeaders[string(text[:first])]; ok {
		return parseUsual(text, first, algorithm)
	}
	signed, err := jose.ParseSignedCompact(string(text), requestAlgorithms)
	var unexpected *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &unexpected):
		return token{}, AlgorithmNotSupported
	case err != nil:
		return token{}, DecodeFailed
	}
	return token{payload: signed.UnsafePayloadWithoutVerification(), signed: signed}, accepted
}

// isCostly reports whether go-jose will parse the header of a token. That can take longer
// than a check of a signature: it may be nested deeply, or have certificates in it. So it
// is counted as one.
func isCostly(text []byte) bool {
	first := bytes.IndexByte(text, '.')
	if first < 0 {
		return false
	}
	_, usual := usualHeaders[string(text[:first])]
	return !usual && isCompact(text)
}

// isCompact reports whether a token has three parts in the alphabet of base64url. White
// space is refused, which go-jose and encoding/base64 would skip.
func isCompact(text []byte) bool {
	dots, kinds := 0, byte(0)
	for _, c := range text {
		kind := compactBytes[c]
		kinds |= kind
		dots += int(kind & isDot)
	}
	return dots == 2 && kinds&isForeign == 0
}

// What a byte is in the compact form.
const (
	isDot     = 1
	isForeign = 2
)

var compactBytes = func() (kinds [256]byte) {
	for c := range kinds {
		kinds[c] = isForeign
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		kinds[c] = 0
	}
	kinds['.'] = isDot
	return kinds
}()

// parseUsual takes a token apart whose header ends at first. It keeps nothing of text.
func parseUsual(text []byte, first int, algorithm jose.SignatureAlgorithm) (token, Refusal) {
	last := bytes.LastIndexByte(text, '.')
	room, err := base64.RawURLEncoding.AppendDecode(make([]byte, 0, len(text)-first), text[first+1:last])
	if err != nil {
		return token{}, DecodeFailed
	}
	end := len(room)
	room, err = base64.RawURLEncoding.AppendDecode(room, text[last+1:])
	if err != nil {
		return token{}, DecodeFailed
	}
	return token{algorithm: algorithm, digest: sha256.Sum256(text[:last]), payload: room[:end:end], signature: room[end:]}, accepted
}

// isSignedBy reports whether the owner of the key signed the token, by the algorithm that
// fits the type of the key: RS256 for RSA, ES256 for P-256.
func (t *token) isSignedBy(key crypto.PublicKey) bool {
	if t.signed != nil {
		_, err := t.signed.Verify(key) // takes only an algorithm that fits
		return err == nil
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return t.algorithm == jose.RS256 && rsa.VerifyPKCS1v15(key, crypto.SHA256, t.digest[:], t.signature) == nil
	case *ecdsa.PublicKey:
		const half = 32 // bytes of each of the two numbers (RFC 7518 3.4)
		if t.algorithm != jose.ES256 || len(t.signature) != 2*half {
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:half]), new(big.Int).SetBytes(t.signature[half:])
		return ecdsa.Verify(key, t.digest[:], r, s)
	}
	return false
}
