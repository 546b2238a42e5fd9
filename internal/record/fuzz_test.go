package record

import (
	"bytes"
	"testing"
)

// FuzzNext splits anything into records and checks that they are, one after
// the other, exactly the bytes that came in.
func FuzzNext(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendPlaintext(nil, TypeHandshake, VersionDTLS10, 0, []byte("hello")))
	f.Add(AppendPlaintext(AppendPlaintext(nil, 99, VersionDTLS12, 1, nil), TypeAlert, VersionDTLS12, 2, []byte{2, 40}))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		rest := datagram
		for {
			rec, after, ok := Next(rest)
			if !ok {
				return
			}
			if !LooksLikeDTLS(rest) && rec.Type >= 20 && rec.Type <= 63 {
				t.Fatal("a record that does not look like DTLS")
			}
			if len(rec.Raw)+len(after) != len(rest) || !bytes.Equal(rec.Raw, rest[:len(rec.Raw)]) {
				t.Fatal("the record is not the datagram's beginning")
			}
			if rec.Sequence > MaxSequence || len(rec.Fragment()) > MaxPlaintext+2048 {
				t.Fatalf("impossible record: %+v", rec)
			}
			if rec.Epoch == 0 {
				again := AppendPlaintext(nil, rec.Type, rec.Version, rec.Sequence, rec.Fragment())
				if !bytes.Equal(again, rec.Raw) {
					t.Fatal("the record does not come back from its parts")
				}
			}
			rest = after
		}
	})
}

// FuzzOpen opens anything under each algorithm. What opens must be a record
// that the sealer makes, as nobody else has the key.
func FuzzOpen(f *testing.F) {
	for i, a := range all {
		s, _ := newPair(f, a)
		f.Add(uint8(i), seal(f, s, []byte("some text")))
		f.Add(uint8(i), seal(f, s, nil))
	}
	f.Fuzz(func(t *testing.T, index uint8, datagram []byte) {
		a := all[int(index)%len(all)]
		s, o := newPair(t, a)
		rec, _, ok := Next(bytes.Clone(datagram))
		if !ok {
			return
		}
		record := bytes.Clone(rec.Raw)
		plaintext, err := o.Open(&rec)
		if err != nil {
			if plaintext != nil {
				t.Fatal("plaintext together with an error")
			}
			return
		}
		if len(plaintext)+s.Overhead() != len(rec.Raw) {
			t.Fatalf("%d bytes of plaintext from %d", len(plaintext), len(rec.Raw))
		}
		s.SkipTo(rec.Sequence)
		again, err := s.SealBytes(nil, rec.Type, plaintext)
		if err != nil || !bytes.Equal(again, record) {
			t.Fatalf("opened a record that the sealer does not make: %x, %v", again, err)
		}
		if o.window.Check(rec.Sequence) {
			t.Fatal("an opened record can be replayed")
		}
	})
}
