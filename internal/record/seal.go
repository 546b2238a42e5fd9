package record

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Errors of [Sealer.Seal]. Nothing was sealed and no sequence number was used.
var (
	// ErrSequenceExhausted says that the epoch's last sequence number is used
	// up. The connection must end: one number more would repeat a nonce.
	ErrSequenceExhausted = errors.New("record: all 2^48 sequence numbers of this epoch are used; make a new connection")

	// ErrMessageTooLarge says that the plaintext is longer than MaxPlaintext.
	ErrMessageTooLarge = errors.New("record: message is longer than the 16384 bytes of one record; send it in parts")
)

// Sealer protects the records of one direction of one epoch and numbers them.
// It must not be copied once it has sealed, as two copies would use the same
// nonces, and is not safe for concurrent use.
type Sealer struct {
	protection
	next uint64 // sequence number of the next record; MaxSequence+1 at the end
}

// NewSealer makes a sealer whose first record has sequence number 0. It fails
// if the algorithm is unknown or a key has the wrong size. The keys are not
// kept.
func NewSealer(a Algorithm, k Keys, epoch uint16) (*Sealer, error) {
	p, err := newProtection(a, k, epoch)
	if err != nil {
		return nil, err
	}
	return &Sealer{protection: p}, nil
}

// Epoch returns the epoch of the records.
func (s *Sealer) Epoch() uint16 { return s.epoch }

// NextSequence returns the sequence number of the next record. It is
// MaxSequence+1 when there can be none.
func (s *Sealer) NextSequence() uint64 { return s.next }

// SkipTo leaves out the sequence numbers below sequence. It never goes back,
// since no number may come twice: a lower one changes nothing.
func (s *Sealer) SkipTo(sequence uint64) {
	s.next = max(s.next, min(sequence, MaxSequence+1))
}

// Overhead returns by how many bytes a record is longer than its plaintext:
// header, explicit nonce and tag.
func (s *Sealer) Overhead() int { return HeaderSize + s.overhead() }

// Seal appends one record of DTLS 1.2 to dst, with the vectors' bytes one
// after the other as its plaintext, and returns the longer slice. It allocates
// only if dst lacks the capacity; the vectors must not lie in it. Plaintext
// may be empty. On an error dst comes back as it was.
func (s *Sealer) Seal(dst []byte, typ ContentType, vectors [][]byte) ([]byte, error) {
	n := 0
	for _, v := range vectors {
		// Checked at each step so that the sum cannot overflow.
		if n += len(v); n > MaxPlaintext {
			return dst, ErrMessageTooLarge
		}
	}
	out, body, err := s.begin(dst, typ, n)
	if err != nil {
		return dst, err
	}
	rest := body
	for _, v := range vectors {
		rest = rest[copy(rest, v):]
	}
	s.aead.Seal(body[:0], s.nonce[:], body, s.aad[:])
	return out, nil
}

// SealBytes is Seal for plaintext in one piece.
func (s *Sealer) SealBytes(dst []byte, typ ContentType, plaintext []byte) ([]byte, error) {
	if len(plaintext) > MaxPlaintext {
		return dst, ErrMessageTooLarge
	}
	out, body, err := s.begin(dst, typ, len(plaintext))
	if err != nil {
		return dst, err
	}
	copy(body, plaintext)
	s.aead.Seal(body[:0], s.nonce[:], body, s.aad[:])
	return out, nil
}

// begin takes the next sequence number, makes room for a record with n bytes
// of plaintext, and writes its header and explicit nonce. body is where the
// plaintext goes and is encrypted; the tag's room follows in its capacity.
func (s *Sealer) begin(dst []byte, typ ContentType, n int) (out, body []byte, err error) {
	if s.next > MaxSequence {
		return nil, nil, ErrSequenceExhausted
	}
	number := s.number(s.next)
	s.next++

	fragment := s.overhead() + n
	start := len(dst)
	out = slices.Grow(dst, HeaderSize+fragment)[:start+HeaderSize+fragment]

	head := out[start : start+HeaderSize : len(out)]
	head[0] = byte(typ)
	binary.BigEndian.PutUint16(head[1:], VersionDTLS12)
	binary.BigEndian.PutUint64(head[3:], number)
	binary.BigEndian.PutUint16(head[11:], uint16(fragment))

	body = out[start+HeaderSize:]
	if s.explicit != 0 {
		binary.BigEndian.PutUint64(body, number)
		body = body[8:]
	}
	s.setNonce(number)
	s.setAAD(number, typ, VersionDTLS12, n)
	return out, body[:n], nil
}
