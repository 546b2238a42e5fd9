package jwtproto

import (
	"bytes"
	"crypto"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// viaJose judges a token with go-jose alone.
func viaJose(text []byte, key crypto.PublicKey) (payload []byte, why Refusal, signed bool) {
	if !isCompact(text) {
		return nil, DecodeFailed, false
	}
	t, err := jose.ParseSignedCompact(string(text), requestAlgorithms)
	if err != nil {
		if strings.Contains(err.Error(), "unexpected signature algorithm") {
			return nil, AlgorithmNotSupported, false
		}
		return nil, DecodeFailed, false
	}
	_, err = t.Verify(key)
	return t.UnsafePayloadWithoutVerification(), accepted, err == nil
}

// compareWays checks that the way for usual headers judges as go-jose does.
func compareWays(t *testing.T, text []byte) {
	t.Helper()
	for _, key := range []crypto.PublicKey{rsaKey().Public(), ecKey().Public()} {
		payload, why, signed := viaJose(text, key)
		got, gotWhy := parseToken(text)
		if gotWhy != why || why == accepted && (!bytes.Equal(got.payload, payload) || got.isSignedBy(key) != signed) {
			t.Fatalf("%q: refused %q, payload %q, signed by the %T: %v; go-jose: %q, %q, %v", text, gotWhy, got.payload, key, got.isSignedBy(key), why, payload, signed)
		}
	}
}

func TestUsualHeaders(t *testing.T) {
	usual := 0
	for _, row := range specification {
		text := row.token()
		compareWays(t, text)
		if parsed, why := parseToken(text); why == accepted && parsed.signed == nil {
			usual++
		}
	}
	if usual < len(specification)/2 {
		t.Errorf("%d of %d tokens have a usual header: the test shows nothing", usual, len(specification))
	}
}

// FuzzUsualHeaders compares both ways with whatever comes.
func FuzzUsualHeaders(f *testing.F) {
	for _, row := range specification {
		f.Add(row.token())
	}
	f.Fuzz(compareWays)
}
