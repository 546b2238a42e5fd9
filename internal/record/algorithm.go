package record

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Algorithm is an AEAD of DTLS 1.2 with the parameters that its cipher suites
// give it. The zero value is none.
type Algorithm uint8

// The algorithms, each named as its cipher suites name it.
const (
	AES128GCM        Algorithm = iota + 1 // RFC 5288
	AES256GCM                             // RFC 5288
	AES128CCM                             // RFC 6655, 7251
	AES256CCM                             // RFC 6655, 7251
	AES128CCM8                            // RFC 6655, 7251: with a tag of 8 bytes
	AES256CCM8                            // RFC 6655, 7251: with a tag of 8 bytes
	ChaCha20Poly1305                      // RFC 7905
)

const (
	nonceSize = 12 // of every AEAD here
	saltSize  = 4  // the part of a nonce that comes from the key block in GCM and CCM
)

// parameters of an algorithm; sizes in bytes.
type parameters struct {
	name     string
	key      uint8
	iv       uint8 // from the key block
	explicit uint8 // part of the nonce that travels in the record
	tag      uint8
	// failures is the number of records that may fail authentication under
	// one key. DTLS 1.2 sets no limit; these are the ones of RFC 9147
	// section 4.5.3 for the same AEADs.
	failures uint64
}

const (
	failuresGCM    = 1 << 36
	failuresChaCha = 1 << 36
	failuresCCM    = 11863283 // 2^23.5

	// For CCM_8 RFC 9147 appendix B.3 finds no number that does both: keep a
	// forgery as unlikely as with the other AEADs (that would take 2^7), and
	// keep a stranger from ending connections by sending rubbish. 2^20 lets a
	// forgery through with a chance of 2^-44 over the life of a key, and makes
	// it cost a million well-addressed datagrams to end a connection.
	failuresCCM8 = 1 << 20
)

var algorithms = [...]parameters{
	AES128GCM:        {"AES-128-GCM", 16, saltSize, 8, 16, failuresGCM},
	AES256GCM:        {"AES-256-GCM", 32, saltSize, 8, 16, failuresGCM},
	AES128CCM:        {"AES-128-CCM", 16, saltSize, 8, 16, failuresCCM},
	AES256CCM:        {"AES-256-CCM", 32, saltSize, 8, 16, failuresCCM},
	AES128CCM8:       {"AES-128-CCM-8", 16, saltSize, 8, 8, failuresCCM8},
	AES256CCM8:       {"AES-256-CCM-8", 32, saltSize, 8, 8, failuresCCM8},
	ChaCha20Poly1305: {"ChaCha20-Poly1305", 32, nonceSize, 0, 16, failuresChaCha},
}

// parameters returns those of the algorithm; all are zero if there is none.
func (a Algorithm) parameters() parameters {
	if int(a) < len(algorithms) {
		return algorithms[a]
	}
	return parameters{}
}

// String returns the algorithm's usual name, as AES-128-GCM.
func (a Algorithm) String() string {
	if p := a.parameters(); p.name != "" {
		return p.name
	}
	return fmt.Sprintf("Algorithm(%d)", uint8(a))
}

// KeySize returns the length of a key in bytes.
func (a Algorithm) KeySize() int { return int(a.parameters().key) }

// IVSize returns how many bytes of the nonce come from the key block: the
// 4-byte salt of GCM and CCM, or the whole 12-byte IV of ChaCha20-Poly1305.
func (a Algorithm) IVSize() int { return int(a.parameters().iv) }

// Overhead returns by how many bytes a fragment is longer than its plaintext:
// explicit nonce and tag.
func (a Algorithm) Overhead() int {
	p := a.parameters()
	return int(p.explicit) + int(p.tag)
}

// KeyBlockSize returns how many bytes of key block the two directions need.
func (a Algorithm) KeyBlockSize() int { return 2 * (a.KeySize() + a.IVSize()) }

// Keys are what one direction takes from the key block.
type Keys struct {
	// Key has KeySize bytes.
	Key []byte
	// IV has IVSize bytes.
	IV []byte
}

// SplitKeyBlock cuts a key block (RFC 5246 section 6.3) into the keys that the
// client writes with and those that the server writes with. An AEAD has no MAC
// keys. The block must have at least KeyBlockSize bytes; the keys alias it.
func (a Algorithm) SplitKeyBlock(block []byte) (client, server Keys) {
	take := func(n int) []byte {
		part := block[:n:n]
		block = block[n:]
		return part
	}
	client.Key = take(a.KeySize())
	server.Key = take(a.KeySize())
	client.IV = take(a.IVSize())
	server.IV = take(a.IVSize())
	return client, server
}

// aead makes the algorithm's AEAD for a key of the right size.
func (a Algorithm) aead(key []byte) (cipher.AEAD, error) {
	if a == ChaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	switch a {
	case AES128GCM, AES256GCM:
		return cipher.NewGCM(block)
	default:
		return newCCM(block, nonceSize, int(a.parameters().tag)), nil
	}
}
