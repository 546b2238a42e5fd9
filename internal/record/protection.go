package record

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// protection is what sealing and opening have in common: the AEAD of one
// direction of one epoch, and the arrays that its nonce and additional data
// are written into. They stand here because what is passed to an AEAD through
// its interface would otherwise be allocated for each record.
type protection struct {
	// Constant.
	aead cipher.AEAD
	mask uint64 // xored with epoch and sequence number to make the nonce

	// Scratch of one call; the nonce's first 4 bytes are constant.
	nonce [nonceSize]byte
	aad   [13]byte

	// Constant.
	explicit uint8 // bytes of the nonce that travel in the record
	tag      uint8
	epoch    uint16
}

// newProtection checks the keys and makes the AEAD. The keys are not kept.
func newProtection(a Algorithm, k Keys, epoch uint16) (protection, error) {
	p := a.parameters()
	switch {
	case p.name == "":
		return protection{}, fmt.Errorf("record: unknown algorithm %v", a)
	case len(k.Key) != int(p.key):
		return protection{}, fmt.Errorf("record: %v needs a key of %d bytes, not %d", a, p.key, len(k.Key))
	case len(k.IV) != int(p.iv):
		return protection{}, fmt.Errorf("record: %v needs an IV of %d bytes, not %d", a, p.iv, len(k.IV))
	}
	aead, err := a.aead(k.Key)
	if err != nil {
		return protection{}, fmt.Errorf("record: %v: %w", a, err)
	}
	s := protection{aead: aead, explicit: p.explicit, tag: p.tag, epoch: epoch}
	s.setIV(k.IV)
	return s, nil
}

// overhead is what a fragment has beyond its plaintext.
func (p *protection) overhead() int { return int(p.explicit) + int(p.tag) }

// number is epoch and sequence number as they stand in header, nonce and
// additional data.
func (p *protection) number(sequence uint64) uint64 { return uint64(p.epoch)<<48 | sequence }

// Both nonce rules are one formula here: 4 constant bytes, and then 8 bytes
// that are a mask xored with a number. In GCM and CCM the constant bytes are
// the salt, the mask is zero and the number is the record's explicit nonce; in
// ChaCha20-Poly1305 constant bytes and mask are the IV, and the number is
// epoch and sequence number (RFC 7905 section 2).

// setIV takes the constant bytes and the mask from the key block's IV.
func (p *protection) setIV(iv []byte) {
	copy(p.nonce[:saltSize], iv)
	if len(iv) == nonceSize {
		p.mask = binary.BigEndian.Uint64(iv[saltSize:])
	}
}

// setNonce makes the nonce of the record with this number.
func (p *protection) setNonce(number uint64) {
	binary.BigEndian.PutUint64(p.nonce[saltSize:], p.mask^number)
}

// setAAD makes the additional data (RFC 5246 section 6.2.3.3): epoch, sequence
// number, content type, version and the length of the plaintext.
func (p *protection) setAAD(number uint64, typ ContentType, version uint16, length int) {
	binary.BigEndian.PutUint64(p.aad[0:], number)
	p.aad[8] = byte(typ)
	binary.BigEndian.PutUint16(p.aad[9:], version)
	binary.BigEndian.PutUint16(p.aad[11:], uint16(length))
}
