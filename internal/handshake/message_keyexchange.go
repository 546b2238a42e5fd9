package handshake

import (
	"github.com/pion/dtls/v2/pkg/crypto/elliptic"
	"golang.org/x/crypto/cryptobyte"
)

// These codecs replace pion's, whose ServerKeyExchange indexes out of range on a
// short message (CVE-2026-54908).

// serverKeyExchange is the server's part of the key exchange: an identity hint
// (RFC 4279 2), or signed ephemeral parameters (RFC 8422 5.4).
type serverKeyExchange struct {
	hint      []byte
	group     elliptic.Curve
	publicKey []byte
	signed    signed
}

// params is the part that the signature covers, behind the two randoms.
func (k *serverKeyExchange) params() []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 4+len(k.publicKey)))
	b.AddUint8(uint8(elliptic.CurveTypeNamedCurve))
	b.AddUint16(uint16(k.group))
	addBytes8(b, k.publicKey)
	return b.BytesOrPanic()
}

func (k *serverKeyExchange) marshal(s *Suite) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 160))
	if s.PSK() {
		addBytes16(b, k.hint)
	}
	if s.ecdhe {
		b.AddBytes(k.params())
	}
	if !s.PSK() {
		k.signed.add(b)
	}
	return b.BytesOrPanic()
}

func (k *serverKeyExchange) unmarshal(suite *Suite, body []byte) bool {
	s := cryptobyte.String(body)
	if suite.PSK() && !readBytes16(&s, &k.hint) {
		return false
	}
	if suite.ecdhe {
		var curveType uint8
		var group uint16
		if !s.ReadUint8(&curveType) || curveType != uint8(elliptic.CurveTypeNamedCurve) ||
			!s.ReadUint16(&group) || !readBytes8(&s, &k.publicKey) || len(k.publicKey) == 0 {
			return false
		}
		k.group = elliptic.Curve(group)
	}
	if !suite.PSK() && !k.signed.read(&s) {
		return false
	}
	return s.Empty()
}

// clientKeyExchange is the client's part: identity (RFC 4279 2) or ephemeral key.
type clientKeyExchange struct {
	identity  []byte
	publicKey []byte
}

func (k *clientKeyExchange) marshal(s *Suite) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128))
	if s.PSK() {
		addBytes16(b, k.identity)
	}
	if s.ecdhe {
		addBytes8(b, k.publicKey)
	}
	return b.BytesOrPanic()
}

func (k *clientKeyExchange) unmarshal(suite *Suite, body []byte) bool {
	s := cryptobyte.String(body)
	if suite.PSK() && !readBytes16(&s, &k.identity) {
		return false
	}
	if suite.ecdhe && (!readBytes8(&s, &k.publicKey) || len(k.publicKey) == 0) {
		return false
	}
	return s.Empty()
}
