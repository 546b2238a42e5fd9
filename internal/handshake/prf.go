package handshake

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha512"
	"hash"
)

// keyedPRF is the pseudorandom function of a cipher suite (RFC 5246 5) under one secret,
// whose keyed HMAC serves for all that is derived from it.
type keyedPRF struct {
	mac hash.Hash

	// Scratch of one call. It stands here because what is passed to a hash through
	// its interface would otherwise be allocated.
	seed   [sha512.Size384 + maxSeed]byte // A(i), and behind it the seed with its label
	block  [sha512.Size384]byte
	digest [sha512.Size384]byte
}

// maxSeed is the longest seed: the randoms, behind the label for the keys.
const maxSeed = len(labelKeys) + 2*32

// Labels of what is derived.
const (
	labelMaster         = "master secret"
	labelExtendedMaster = "extended master secret"
	labelKeys           = "key expansion"
	labelClient         = "client finished"
	labelServer         = "server finished"
)

func newPRF(h crypto.Hash, secret []byte) *keyedPRF {
	return &keyedPRF{mac: hmac.New(h.New, secret)}
}

// expand fills out from a label and the two parts of a seed, which together have
// maxSeed bytes at most.
func (p *keyedPRF) expand(out []byte, label string, one, two []byte) {
	size := p.mac.Size()
	a, seed := p.seed[:size], append(append(append(p.seed[:size], label...), one...), two...)[size:]
	p.sum(a[:0], seed)
	for {
		out = out[copy(out, p.sum(p.block[:0], p.seed[:size+len(seed)])):]
		if len(out) == 0 {
			return
		}
		p.sum(a[:0], a)
	}
}

// sum appends the HMAC of the content to dst, in place of which it may lie.
func (p *keyedPRF) sum(dst, content []byte) []byte {
	p.mac.Reset()
	p.mac.Write(content)
	return p.mac.Sum(dst)
}
