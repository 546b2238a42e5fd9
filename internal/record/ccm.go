package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// ccmBatch is how many blocks of key stream are made at a time. They do not
// depend on each other, so that the processor overlaps them; the CBC-MAC, where
// each block waits for the one before, leaves it that room.
const ccmBatch = 4

// ccm is the CCM mode of a 128-bit block cipher (RFC 3610, NIST SP 800-38C) as
// a cipher.AEAD that works in place and allocates nothing. To that end its
// scratch blocks stand in it, so that it is not safe for concurrent use.
type ccm struct {
	// Constant.
	block     cipher.Block
	nonceSize uint8 // 15-L
	tagSize   uint8 // M

	// State of one call. The names are those of RFC 3610.
	count    uint32                         // i of the last A_i, and the nonce's end above it
	mac      [aes.BlockSize]byte            // X_i, the CBC-MAC
	counters [ccmBatch * aes.BlockSize]byte // A_i: flags, nonce, i
	stream   [ccmBatch * aes.BlockSize]byte // S_i, the encrypted counters
}

// newCCM makes the mode with a nonce of 12 or 13 bytes, which leaves 3 or 2 for
// the length of a message, and a tag of an even number of bytes, 4 to 16.
func newCCM(block cipher.Block, nonceSize, tagSize int) *ccm {
	return &ccm{block: block, nonceSize: uint8(nonceSize), tagSize: uint8(tagSize)}
}

// NonceSize returns the length of a nonce in bytes.
func (c *ccm) NonceSize() int { return int(c.nonceSize) }

// Overhead returns the length of the tag in bytes.
func (c *ccm) Overhead() int { return int(c.tagSize) }

// Seal encrypts plaintext, appends it and the tag to dst, and returns the
// longer slice. The plaintext may begin exactly where the output does.
func (c *ccm) Seal(dst, nonce, plaintext, additional []byte) []byte {
	n, m := len(plaintext), int(c.tagSize)
	out := slices.Grow(dst, n+m)[:len(dst)+n+m]
	to := out[len(dst):]

	c.start(nonce, n, additional)
	for from := plaintext; len(from) > 0; {
		n := min(len(from), len(c.stream))
		c.nextStream(n)
		c.absorb(from[:n])
		subtle.XORBytes(to, from[:n], c.stream[:])
		from, to = from[n:], to[n:]
	}
	copy(to, c.finish())
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
	out := slices.Grow(dst, n)[:len(dst)+n]
	to := out[len(dst):]

	c.start(nonce, n, additional)
	for from := ciphertext[:n]; len(from) > 0; {
		n := min(len(from), len(c.stream))
		c.nextStream(n)
		subtle.XORBytes(to, from[:n], c.stream[:])
		c.absorb(to[:n])
		from, to = from[n:], to[n:]
	}
	if subtle.ConstantTimeCompare(c.finish(), ciphertext[n:]) != 1 {
		clear(out[len(dst):])
		return nil, ErrAuthentication
	}
	return out, nil
}

// start makes A_0 and runs the CBC-MAC over B_0 and the additional data. A
// length that the mode's parameters cannot express is a mistake of the calling
// code, as with every cipher.AEAD.
func (c *ccm) start(nonce []byte, length int, additional []byte) {
	lengthSize := 15 - int(c.nonceSize) // L
	switch {
	case len(nonce) != int(c.nonceSize):
		panic("record: wrong nonce length for CCM")
	case length >= 1<<(8*lengthSize):
		panic("record: message too long for CCM")
	case len(additional) >= 0xff00:
		panic("record: additional data too long for CCM")
	}

	a0 := c.counters[:aes.BlockSize]
	clear(a0)
	a0[0] = byte(lengthSize - 1)
	copy(a0[1:], nonce)
	c.count = binary.BigEndian.Uint32(a0[12:])
	for i := 1; i < ccmBatch; i++ {
		copy(c.counters[i*aes.BlockSize:], a0)
	}

	// B_0 has other flags, and the message's length where A_0 counts.
	copy(c.mac[:], a0)
	c.mac[0] |= (c.tagSize - 2) / 2 << 3
	if len(additional) > 0 {
		c.mac[0] |= 1 << 6
	}
	binary.BigEndian.PutUint32(c.mac[12:], c.count|uint32(length))
	c.block.Encrypt(c.mac[:], c.mac[:])

	// The additional data follows its own length, two bytes, in one block.
	if len(additional) > 0 {
		c.mac[0] ^= byte(len(additional) >> 8)
		c.mac[1] ^= byte(len(additional))
		n := subtle.XORBytes(c.mac[2:], c.mac[2:], additional)
		c.block.Encrypt(c.mac[:], c.mac[:])
		c.absorb(additional[n:])
	}
}

// absorb takes whole blocks into the CBC-MAC, the last one padded with zeros.
func (c *ccm) absorb(b []byte) {
	for len(b) > 0 {
		// One store of 16 bytes: the cipher loads them as one, and would
		// wait for two stores of 8 to reach the cache.
		n := subtle.XORBytes(c.mac[:], c.mac[:], b)
		c.block.Encrypt(c.mac[:], c.mac[:])
		b = b[n:]
	}
}

// nextStream makes key stream for the next n bytes, at most one batch. The
// message ends before the counter could reach into the nonce.
func (c *ccm) nextStream(n int) {
	for i := 0; i < n; i += aes.BlockSize {
		c.count++
		binary.BigEndian.PutUint32(c.counters[i+12:], c.count)
	}
	for i := 0; i < n; i += aes.BlockSize {
		c.block.Encrypt(c.stream[i:i+aes.BlockSize], c.counters[i:i+aes.BlockSize])
	}
}

// finish encrypts the CBC-MAC with S_0, which makes it the tag.
func (c *ccm) finish() []byte {
	a0 := c.counters[:aes.BlockSize]
	clear(a0[1+int(c.nonceSize):])
	c.block.Encrypt(c.stream[:], a0)
	subtle.XORBytes(c.mac[:], c.mac[:], c.stream[:])
	return c.mac[:c.tagSize]
}
