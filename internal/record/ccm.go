package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// ccm is the CCM mode of a 128-bit block cipher (RFC 3610, NIST SP 800-38C) as
// a cipher.AEAD that works in place and allocates nothing. To that end its
// scratch blocks stand in it, so that it is not safe for concurrent use.
//
// Of each 16 bytes one call of the cipher goes into the CBC-MAC and one makes
// the key stream. They are done side by side: neither waits for the other, so
// that the processor overlaps them.
type ccm struct {
	// Constant.
	block     cipher.Block
	nonceSize uint8 // 15-L
	tagSize   uint8 // M

	// Scratch of one call.
	mac     [aes.BlockSize]byte // state of the CBC-MAC
	counter [aes.BlockSize]byte // the block A_i: flags, nonce, i
	stream  [aes.BlockSize]byte // S_i, the encrypted counter
}

// newCCM makes the mode with a nonce of 7 to 13 bytes and a tag of 4 to 16, an
// even number.
func newCCM(block cipher.Block, nonceSize, tagSize int) *ccm {
	return &ccm{block: block, nonceSize: uint8(nonceSize), tagSize: uint8(tagSize)}
}

// NonceSize returns the length of a nonce in bytes.
func (c *ccm) NonceSize() int { return int(c.nonceSize) }

// Overhead returns the length of the tag in bytes.
func (c *ccm) Overhead() int { return int(c.tagSize) }

// maxAAD is the longest additional data whose length takes two bytes.
const maxAAD = 0xfeff

// Seal encrypts plaintext, appends it and the tag to dst, and returns the
// longer slice. The plaintext may begin exactly where the output does.
func (c *ccm) Seal(dst, nonce, plaintext, additional []byte) []byte {
	c.start(nonce, len(plaintext), additional)

	n := len(plaintext)
	total := len(dst) + n + int(c.tagSize)
	out := slices.Grow(dst, n+int(c.tagSize))[:total]
	to := out[len(dst):]

	for from := plaintext; ; {
		if len(from) >= aes.BlockSize {
			lo, hi := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
			c.absorb(lo, hi)
			lo, hi = c.xorStream(lo, hi)
			binary.LittleEndian.PutUint64(to, lo)
			binary.LittleEndian.PutUint64(to[8:], hi)
			from, to = from[aes.BlockSize:], to[aes.BlockSize:]
			continue
		}
		if len(from) > 0 {
			c.absorbBytes(from)
			c.nextStream()
			to = to[subtle.XORBytes(to, from, c.stream[:]):]
		}
		break
	}
	c.finish()
	copy(to, c.mac[:c.tagSize])
	return out
}

// Open decrypts ciphertext, appends the plaintext to dst and returns the longer
// slice, or an error if the tag is wrong; what was decrypted is then cleared.
// The ciphertext may begin exactly where the output does.
func (c *ccm) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	n := len(ciphertext) - int(c.tagSize)
	if n < 0 {
		return nil, ErrAuthentication
	}
	tag := ciphertext[n:]
	c.start(nonce, n, additional)

	out := slices.Grow(dst, n)[:len(dst)+n]
	to := out[len(dst):]

	for from := ciphertext[:n]; ; {
		if len(from) >= aes.BlockSize {
			lo, hi := c.xorStream(binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:]))
			binary.LittleEndian.PutUint64(to, lo)
			binary.LittleEndian.PutUint64(to[8:], hi)
			c.absorb(lo, hi)
			from, to = from[aes.BlockSize:], to[aes.BlockSize:]
			continue
		}
		if len(from) > 0 {
			c.nextStream()
			subtle.XORBytes(to, from, c.stream[:])
			c.absorbBytes(to)
		}
		break
	}
	c.finish()
	if subtle.ConstantTimeCompare(c.mac[:c.tagSize], tag) != 1 {
		clear(out[len(dst):])
		return nil, ErrAuthentication
	}
	return out, nil
}

// start sets the counter to A_0 and runs the CBC-MAC over B_0 and the
// additional data. A length that the mode's parameters cannot express is a
// mistake of the calling code, as with every cipher.AEAD.
func (c *ccm) start(nonce []byte, length int, additional []byte) {
	lengthSize := 15 - int(c.nonceSize) // L
	switch {
	case len(nonce) != int(c.nonceSize):
		panic("record: wrong nonce length for CCM")
	case lengthSize < 4 && length >= 1<<(8*lengthSize):
		panic("record: message too long for CCM")
	case len(additional) > maxAAD:
		panic("record: additional data too long for CCM")
	}

	clear(c.counter[:])
	c.counter[0] = byte(lengthSize - 1)
	copy(c.counter[1:], nonce)

	// B_0: flags, nonce, length of the message.
	c.mac = c.counter
	binary.BigEndian.PutUint32(c.mac[12:], binary.BigEndian.Uint32(c.mac[12:])|uint32(length))
	c.mac[0] |= (c.tagSize - 2) / 2 << 3
	if len(additional) == 0 {
		c.block.Encrypt(c.mac[:], c.mac[:])
		return
	}
	c.mac[0] |= 1 << 6
	c.block.Encrypt(c.mac[:], c.mac[:])

	// The additional data follows its length, two bytes, in the same block.
	c.mac[0] ^= byte(len(additional) >> 8)
	c.mac[1] ^= byte(len(additional))
	n := subtle.XORBytes(c.mac[2:], c.mac[2:], additional)
	c.block.Encrypt(c.mac[:], c.mac[:])
	for rest := additional[n:]; len(rest) > 0; rest = rest[min(len(rest), aes.BlockSize):] {
		c.absorbBytes(rest[:min(len(rest), aes.BlockSize)])
	}
}

// absorb takes a block into the CBC-MAC, as two little-endian words.
func (c *ccm) absorb(lo, hi uint64) {
	binary.LittleEndian.PutUint64(c.mac[:], binary.LittleEndian.Uint64(c.mac[:])^lo)
	binary.LittleEndian.PutUint64(c.mac[8:], binary.LittleEndian.Uint64(c.mac[8:])^hi)
	c.block.Encrypt(c.mac[:], c.mac[:])
}

// absorbBytes takes at most one block, padded with zeros, into the CBC-MAC.
func (c *ccm) absorbBytes(b []byte) {
	subtle.XORBytes(c.mac[:], c.mac[:], b)
	c.block.Encrypt(c.mac[:], c.mac[:])
}

// nextStream counts on and makes the next block of key stream. The counter
// ends with the message, before it could reach into the nonce.
func (c *ccm) nextStream() {
	binary.BigEndian.PutUint32(c.counter[12:], binary.BigEndian.Uint32(c.counter[12:])+1)
	c.block.Encrypt(c.stream[:], c.counter[:])
}

// xorStream encrypts or decrypts a block, as two little-endian words.
func (c *ccm) xorStream(lo, hi uint64) (uint64, uint64) {
	c.nextStream()
	return lo ^ binary.LittleEndian.Uint64(c.stream[:]), hi ^ binary.LittleEndian.Uint64(c.stream[8:])
}

// finish turns the CBC-MAC into the tag: it is encrypted with S_0.
func (c *ccm) finish() {
	clear(c.counter[1+int(c.nonceSize):])
	c.block.Encrypt(c.stream[:], c.counter[:])
	subtle.XORBytes(c.mac[:], c.mac[:], c.stream[:])
}
