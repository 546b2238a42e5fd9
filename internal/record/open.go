package record

import (
	"encoding/binary"
	"errors"
)

// Errors of [Opener.Open]. All but ErrForgeryLimit mean that the record is to
// be dropped in silence (RFC 6347 section 4.1.2.7).
var (
	// ErrEpoch says that the record belongs to other keys.
	ErrEpoch = errors.New("record: epoch is not the one of these keys")

	// ErrReplayed says that the record was received before, or is older than
	// the replay window and so may have been.
	ErrReplayed = errors.New("record: replayed, or too old to tell")

	// ErrAuthentication says that the record was not made with these keys, or
	// was changed on its way.
	ErrAuthentication = errors.New("record: authentication failed")

	// ErrMalformed says that the record is too short to hold nonce and tag, or
	// carries more than MaxPlaintext.
	ErrMalformed = errors.New("record: length is impossible")

	// ErrForgeryLimit says that so many records failed authentication that the
	// keys are not to be trusted any longer (RFC 9147 section 4.5.3). The
	// connection must end; every later call returns it too.
	ErrForgeryLimit = errors.New("record: too many records failed authentication; make a new connection")
)

// Opener checks and decrypts the records of one direction of one epoch. It is
// not safe for concurrent use.
type Opener struct {
	protection
	window   ReplayWindow
	failures uint64
	limit    uint64 // constant: the number of failures that ends the key
}

// NewOpener makes an opener that has seen no record. It fails if the algorithm
// is unknown or a key has the wrong size. The keys are not kept.
func NewOpener(a Algorithm, k Keys, epoch uint16) (*Opener, error) {
	p, err := newProtection(a, k, epoch)
	if err != nil {
		return nil, err
	}
	return &Opener{protection: p, limit: a.parameters().failures}, nil
}

// Epoch returns the epoch of the records.
func (o *Opener) Epoch() uint16 { return o.epoch }

// Failures returns how many records failed authentication.
func (o *Opener) Failures() uint64 { return o.failures }

// Next returns the number after the highest of the records that were opened.
func (o *Opener) Next() uint64 { return o.window.highest + 1 }

// Open checks the record's epoch, its length and that it is none of those seen
// before, decrypts it where it stands, and remembers its number. The plaintext
// aliases rec.Raw, whose fragment is overwritten even if authentication fails.
// Only a record that authenticates moves the replay window, so that a forged
// number cannot shut out genuine ones. Nothing is allocated.
func (o *Opener) Open(rec *Record) (plaintext []byte, err error) {
	if o.failures >= o.limit {
		return nil, ErrForgeryLimit
	}
	if rec.Epoch != o.epoch {
		return nil, ErrEpoch
	}
	if len(rec.Raw) < HeaderSize+o.overhead() {
		return nil, ErrMalformed
	}
	body := rec.Raw[HeaderSize:]
	n := len(body) - o.overhead()
	if n > MaxPlaintext || rec.Sequence > MaxSequence {
		return nil, ErrMalformed
	}
	if !o.window.Check(rec.Sequence) {
		return nil, ErrReplayed
	}
	number := o.number(rec.Sequence)
	o.setAAD(number, rec.Type, rec.Version, n)
	if o.explicit != 0 {
		// The sender may number its nonces in another way than its records.
		number = binary.BigEndian.Uint64(body)
		body = body[8:]
	}
	o.setNonce(number)
	plaintext, err = o.aead.Open(body[:0], o.nonce[:], body, o.aad[:])
	if err != nil {
		o.failures++
		if o.failures >= o.limit {
			return nil, ErrForgeryLimit
		}
		return nil, ErrAuthentication
	}
	o.window.Mark(rec.Sequence)
	return plaintext, nil
}
