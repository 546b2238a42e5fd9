package handshake

import (
	"crypto"
	"crypto/hmac"
	"hash"
)

// keyedPRF is the pseudorandom function of a cipher suite (RFC 5246 5) under one secret,
// whose keyed HMAC serves for all that is derived from it.
type keyedPRF struct {
	mac hash.Hash
	a   []byte // A(i), and behind it room for the next block
}

func newPRF(h crypto.Hash, secret []byte) *keyedPRF {
	return &keyedPRF{mac: hmac.New(h.New, secret), a: make([]byte, 0, 2*h.Size())}
}

// expand fills out from a label and the parts of a seed.
func (p *keyedPRF) expand(out []byte, label string, seed ...[]byte) {
	size := p.mac.Size()
	labelled := []byte(label)
	writeSeed := func() {
		p.mac.Write(labelled)
		for _, part := range seed {
			p.mac.Write(part)
		}
	}
	p.mac.Reset()
	writeSeed()
	p.a = p.mac.Sum(p.a[:0])
	for len(out) > 0 {
		p.mac.Reset()
		p.mac.Write(p.a)
		writeSeed()
		out = out[copy(out, p.mac.Sum(p.a)[size:]):]
		p.mac.Reset()
		p.mac.Write(p.a)
		p.a = p.mac.Sum(p.a[:0])
	}
}
