package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	pionccm "github.com/pion/dtls/v2/pkg/crypto/ccm"
)

// Compile-time check.
var _ cipher.AEAD = (*ccm)(nil)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newTestCCM(t testing.TB, key []byte, nonceSize, tagSize int) *ccm {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return newCCM(block, nonceSize, tagSize)
}

// Published vectors: RFC 3610 section 8, which has L=2, and NIST SP 800-38C
// appendix C.3, which has the L=3 of DTLS.
func TestCCMVectors(t *testing.T) {
	const rfcKey = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	for _, tt := range []struct {
		name, key, nonce, aad, plaintext, ciphertext string
		tag                                          int
	}{
		{
			"RFC 3610 #1", rfcKey, "00000003020100a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
			"588c979a61c663d2f066d0c2c0f989806d5f6b61dac384 17e8d12cfdf926e0", 8,
		},
		{
			"RFC 3610 #2", rfcKey, "00000004030201a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3b a091d56e10400916", 8,
		},
		{
			"RFC 3610 #3", rfcKey, "00000005040302a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
			"51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da859657 4adaa76fbd9fb0c5", 8,
		},
		{
			"RFC 3610 #4", rfcKey, "00000006050403a0a1a2a3a4a5", "000102030405060708090a0b",
			"0c0d0e0f101112131415161718191a1b1c1d1e",
			"a28c6865939a9a79faaa5c4c2a9d4a91cdac8c 96c861b9c9e61ef1", 8,
		},
		{
			"RFC 3610 #7", rfcKey, "00000009080706a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
			"0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c 048c56602c97acbb7490", 10,
		},
		{
			"RFC 3610 #13", "d7828d13b2b0bdc325a76236df93cc6b", "00412b4ea9cdbe3c9696766cfa", "0be1a88bace018b1",
			"08e8cf97d820ea258460e96ad9cf5289054d895ceac47c",
			"4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8 e78cf7cb0cddd7b3", 8,
		},
		{
			"SP 800-38C example 3", "404142434445464748494a4b4c4d4e4f", "101112131415161718191a1b",
			"000102030405060708090a0b0c0d0e0f10111213",
			"202122232425262728292a2b2c2d2e2f3031323334353637",
			"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951", 8,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nonce, aad := unhex(t, tt.nonce), unhex(t, tt.aad)
			plaintext, ciphertext := unhex(t, tt.plaintext), unhex(t, tt.ciphertext)
			c := newTestCCM(t, unhex(t, tt.key), len(nonce), tt.tag)

			if got := c.Seal(nil, nonce, plaintext, aad); !bytes.Equal(got, ciphertext) {
				t.Errorf("Seal: %x", got)
			}
			if got, err := c.Open(nil, nonce, ciphertext, aad); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("Open: %x, %v", got, err)
			}
		})
	}
}

// The same answers as another implementation gives, for lengths around each
// block and batch, in place and appended.
func TestCCMAgainstPion(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 5))
	for _, keySize := range []int{16, 32} {
		for _, tagSize := range []int{8, 16} {
			t.Run(fmt.Sprintf("AES-%d tag %d", 8*keySize, tagSize), func(t *testing.T) {
				key := pseudorandom(source.Uint64(), keySize)
				c := newTestCCM(t, key, nonceSize, tagSize)
				block, err := aes.NewCipher(key)
				if err != nil {
					t.Fatal(err)
				}
				reference, err := pionccm.NewCCM(block, tagSize, nonceSize)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 300 {
					n := i
					if i > 280 {
						n = source.IntN(MaxPlaintext + 1)
					}
					plaintext := pseudorandom(source.Uint64(), n)
					aad := pseudorandom(source.Uint64(), source.IntN(40))
					nonce := pseudorandom(source.Uint64(), nonceSize)
					want := reference.Seal(nil, nonce, plaintext, aad)

					prefix := []byte("prefix")
					got := c.Seal(prefix, nonce, plaintext, aad)
					if !bytes.HasPrefix(got, prefix) || !bytes.Equal(got[len(prefix):], want) {
						t.Fatalf("%d bytes: Seal differs", n)
					}
					buffer := append(make([]byte, 0, n+tagSize), plaintext...)
					if got := c.Seal(buffer[:0], nonce, buffer, aad); !bytes.Equal(got, want) {
						t.Fatalf("%d bytes: Seal in place differs", n)
					}
					if got, err := c.Open(prefix, nonce, want, aad); err != nil || !bytes.Equal(got[len(prefix):], plaintext) {
						t.Fatalf("%d bytes: Open: %v", n, err)
					}
					if got, err := c.Open(want[:0], nonce, want, aad); err != nil || !bytes.Equal(got, plaintext) {
						t.Fatalf("%d bytes: Open in place: %v", n, err)
					}
				}
			})
		}
	}
}

// A wrong tag leaves no plaintext behind.
func TestCCMClearsForgery(t *testing.T) {
	c := newTestCCM(t, make([]byte, 16), nonceSize, 16)
	nonce := make([]byte, nonceSize)
	sealed := c.Seal(nil, nonce, []byte("a secret of more than one block"), nil)
	sealed[len(sealed)-1]++
	if got, err := c.Open(sealed[:0], nonce, sealed, nil); err == nil || got != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if n := len(sealed) - 16; !bytes.Equal(sealed[:n], make([]byte, n)) {
		t.Errorf("left behind: %q", sealed[:n])
	}
	if _, err := c.Open(nil, nonce, sealed[:15], nil); err == nil {
		t.Error("opened what is shorter than a tag")
	}
}

func TestCCMPanics(t *testing.T) {
	c := newTestCCM(t, make([]byte, 16), 13, 8)
	for name, f := range map[string]func(){
		"short nonce":  func() { c.Seal(nil, make([]byte, 12), nil, nil) },
		"long message": func() { c.Seal(nil, make([]byte, 13), make([]byte, 1<<16), nil) },
		"long AAD":     func() { c.Seal(nil, make([]byte, 13), nil, make([]byte, 0xff00)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
