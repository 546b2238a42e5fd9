package handshake

import (
	"crypto/tls"

	"github.com/pion/dtls/v2/pkg/protocol/alert"
	"golang.org/x/crypto/cryptobyte"
)

// marshalCertificate is the body of a Certificate message (RFC 5246 7.4.2).
func marshalCertificate(chain [][]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
	})
	return b.BytesOrPanic() // a chain is far below 2^24 bytes: maxMessage bounds it when it is sent
}

// parseCertificate reads a chain, leaf first; it may be empty. The certificates
// are copies, since they outlive the message.
func parseCertificate(body []byte) ([][]byte, error) {
	s := cryptobyte.String(append([]byte(nil), body...))
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return nil, errDecode("Certificate")
	}
	var chain [][]byte
	for !list.Empty() {
		var der cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || der.Empty() {
			return nil, errDecode("Certificate")
		}
		if len(chain) == maxChain {
			return nil, NewError(KindBadCertificate, alert.BadCertificate, "peer's chain has more than %d certificates", maxChain)
		}
		chain = append(chain, der)
	}
	return chain, nil
}

// certificateRequest is what a server accepts as client certificate (RFC 5246 7.4.4).
type certificateRequest struct {
	types       []byte
	schemes     []tls.SignatureScheme
	authorities [][]byte
}

// Certificate types of a CertificateRequest.
const (
	typeRSASign   = 1
	typeECDSASign = 64
)

func (r *certificateRequest) marshal() []byte {
	b := cryptobyte.NewBuilder(nil)
	addBytes8(b, r.types)
	addSchemes(b, r.schemes)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, name := range r.authorities {
			addBytes16(b, name)
		}
	})
	return b.BytesOrPanic()
}

func (r *certificateRequest) unmarshal(body []byte) bool {
	s := cryptobyte.String(append([]byte(nil), body...))
	var names cryptobyte.String
	if !readBytes8(&s, &r.types) || len(r.types) == 0 || !readSchemes(&s, &r.schemes) ||
		!s.ReadUint16LengthPrefixed(&names) || !s.Empty() {
		return false
	}
	r.authorities = [][]byte{} // asked, even if no name came (G064)
	for !names.Empty() {
		var name cryptobyte.String
		if !names.ReadUint16LengthPrefixed(&name) || name.Empty() {
			return false
		}
		r.authorities = append(r.authorities, name)
	}
	return true
}

// signed is a signature with its scheme (RFC 5246 4.7), as in CertificateVerify.
type signed struct {
	scheme    tls.SignatureScheme
	signature []byte
}

func (v *signed) add(b *cryptobyte.Builder) {
	b.AddUint16(uint16(v.scheme))
	addBytes16(b, v.signature)
}

func (v *signed) read(s *cryptobyte.String) bool {
	var scheme uint16
	ok := s.ReadUint16(&scheme) && readBytes16(s, &v.signature) && len(v.signature) > 0
	v.scheme = tls.SignatureScheme(scheme)
	return ok
}

func (v *signed) marshal() []byte {
	b := cryptobyte.NewBuilder(nil)
	v.add(b)
	return b.BytesOrPanic()
}

func (v *signed) unmarshal(body []byte) bool {
	s := cryptobyte.String(body)
	return v.read(&s) && s.Empty()
}
