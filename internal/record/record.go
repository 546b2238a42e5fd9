// Package record is the DTLS 1.2 record layer (RFC 6347 section 4.1): it
// splits datagrams into records, seals and opens them in place, refuses
// replays, and keeps the limits of a key.
//
// Nothing here reads a socket, a clock or a random source, and nothing on the
// way of an application record allocates. A [Sealer] and an [Opener] each
// serve one direction of one epoch; neither may be used by two goroutines at
// once, but the two of a connection are independent of each other.
//
// Only AEAD suites exist here: AES-GCM (RFC 5288), AES-CCM and AES-CCM_8
// (RFC 6655, 7251) and ChaCha20-Poly1305 (RFC 7905). Nonces are always made
// of epoch and sequence number, never of random bytes: a random 8-byte nonce
// collides long before the sequence number ends, and one collision under GCM
// gives away the authentication key (CVE-2026-26014).
package record

import (
	"encoding/binary"
	"slices"

	"github.com/pion/dtls/v2/pkg/protocol"
)

// Sizes and limits of RFC 6347 section 4.1 and RFC 5246 section 6.2, in bytes
// unless told otherwise.
const (
	// HeaderSize is the length of a record's header: content type, version,
	// epoch, sequence number and length.
	HeaderSize = 13

	// MaxPlaintext is the most that one record may carry.
	MaxPlaintext = 1 << 14

	// MaxSequence is the highest sequence number of an epoch. It has 48 bits
	// and never wraps: a record after this one needs other keys.
	MaxSequence = 1<<48 - 1

	// maxFragment is the most that a record's length field may say for any
	// cipher (RFC 5246 section 6.2.3).
	maxFragment = MaxPlaintext + 2048
)

// Protocol versions as they stand on the wire: the ones' complement of the
// version that a person would write. A ClientHello and a HelloVerifyRequest
// travel in records of DTLS 1.0.
const (
	VersionDTLS10 uint16 = 0xfeff
	VersionDTLS12 uint16 = 0xfefd
)

// ContentType tells what a record carries (RFC 5246 section 6.2.1).
type ContentType = protocol.ContentType

// The content types of DTLS 1.2.
const (
	TypeChangeCipherSpec ContentType = protocol.ContentTypeChangeCipherSpec // 20
	TypeAlert            ContentType = protocol.ContentTypeAlert            // 21
	TypeHandshake        ContentType = protocol.ContentTypeHandshake        // 22
	TypeApplicationData  ContentType = protocol.ContentTypeApplicationData  // 23
)

// Record is one record as it stands in a datagram. Nothing in it is to be
// believed before [Opener.Open] accepted it.
type Record struct {
	// Raw is the header and the fragment. It aliases the datagram.
	Raw []byte

	// Sequence is the record's number within its epoch, 48 bits.
	Sequence uint64

	// Epoch counts the changes of keys; 0 is the time before any.
	Epoch uint16

	// Version is the version of the header. Its upper byte is 0xfe.
	Version uint16

	// Type may be a value that DTLS 1.2 does not know.
	Type ContentType
}

// Fragment returns what follows the header: the plaintext in epoch 0, and
// explicit nonce, ciphertext and tag in later ones. It aliases the datagram.
func (r *Record) Fragment() []byte { return r.Raw[HeaderSize:] }

// Next splits the first record off a datagram and returns what follows it. A
// datagram may hold many records, none lies across two (RFC 6347 section
// 4.1.1). ok is false where no record begins: fewer bytes than a header, a
// length that goes beyond the datagram or beyond what any cipher may produce,
// or a version whose upper byte is not DTLS's. The rest is then of no use. A
// content type that DTLS 1.2 does not know is left to the caller to judge.
func Next(datagram []byte) (rec Record, rest []byte, ok bool) {
	if len(datagram) < HeaderSize || datagram[1] != 0xfe {
		return Record{}, nil, false
	}
	length := int(binary.BigEndian.Uint16(datagram[11:]))
	end := HeaderSize + length
	if length > maxFragment || end > len(datagram) {
		return Record{}, nil, false
	}
	number := binary.BigEndian.Uint64(datagram[3:])
	return Record{
		Type:     ContentType(datagram[0]),
		Version:  binary.BigEndian.Uint16(datagram[1:]),
		Epoch:    uint16(number >> 48),
		Sequence: number & MaxSequence,
		// The capacity ends with the record: appending to one cannot
		// overwrite the next.
		Raw: datagram[:end:end],
	}, datagram[end:], true
}

// LooksLikeDTLS reports whether a datagram begins as one of DTLS does: with a
// content type of the range that RFC 7983 keeps for it, and a DTLS version. It
// tells a peer that speaks something else from one whose datagram was merely
// truncated, and proves nothing more.
func LooksLikeDTLS(datagram []byte) bool {
	return len(datagram) >= HeaderSize &&
		datagram[0] >= 20 && datagram[0] <= 63 &&
		datagram[1] == 0xfe
}

// AppendPlaintext appends an unprotected record of epoch 0 to dst and returns
// the longer slice. The sequence number is taken modulo 2^48 and the fragment
// must not be longer than [MaxPlaintext]; handshake messages are cut to the
// path's size long before that.
func AppendPlaintext(dst []byte, typ ContentType, version uint16, sequence uint64, fragment []byte) []byte {
	dst = slices.Grow(dst, HeaderSize+len(fragment))
	dst = append(dst, byte(typ))
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint64(dst, sequence&MaxSequence)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(fragment)))
	return append(dst, fragment...)
}
