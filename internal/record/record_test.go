package record

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// all are the algorithms under test.
var all = []Algorithm{
	AES128GCM, AES256GCM, AES128CCM, AES256CCM, AES128CCM8, AES256CCM8, ChaCha20Poly1305,
}

// forAll runs a subtest for each algorithm.
func forAll(t *testing.T, f func(t *testing.T, a Algorithm)) {
	t.Helper()
	for _, a := range all {
		t.Run(a.String(), func(t *testing.T) { f(t, a) })
	}
}

// testKeys are keys of the right sizes, the same in each run.
func testKeys(a Algorithm) Keys {
	block := pseudorandom(1, a.KeyBlockSize())
	client, _ := a.SplitKeyBlock(block)
	return client
}

// pseudorandom returns n bytes that depend on the seed only.
func pseudorandom(seed uint64, n int) []byte {
	source := rand.New(rand.NewPCG(seed, seed))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

// newPair makes a sealer and an opener with the same keys, of epoch 1.
func newPair(t testing.TB, a Algorithm) (*Sealer, *Opener) {
	t.Helper()
	s, err := NewSealer(a, testKeys(a), 1)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(a, testKeys(a), 1)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// seal makes a record of application data.
func seal(t testing.TB, s *Sealer, plaintext []byte) []byte {
	t.Helper()
	b, err := s.SealBytes(nil, TypeApplicationData, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open opens a copy of a datagram that holds one record.
func open(t testing.TB, o *Opener, datagram []byte) ([]byte, error) {
	t.Helper()
	rec, rest, ok := Next(bytes.Clone(datagram))
	if !ok || len(rest) != 0 {
		t.Fatalf("not one record: %x", datagram)
	}
	return o.Open(&rec)
}

func TestSealOpen(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		for _, n := range []int{0, 1, 15, 16, 17, 64, 1200, MaxPlaintext} {
			plaintext := pseudorandom(uint64(n), n)
			vectors := [][]byte{plaintext[:n/3], nil, plaintext[n/3 : n/2], plaintext[n/2:]}
			sequence := s.NextSequence()
			prefix := []byte("what stood before")
			datagram, err := s.Seal(bytes.Clone(prefix), TypeApplicationData, vectors)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(datagram, prefix) {
				t.Fatal("Seal changed what stood before the record")
			}
			datagram = datagram[len(prefix):]
			if len(datagram) != n+s.Overhead() || s.Overhead() != HeaderSize+a.Overhead() {
				t.Fatalf("record has %d bytes for %d of plaintext", len(datagram), n)
			}
			rec, rest, ok := Next(datagram)
			if !ok || len(rest) != 0 {
				t.Fatal("not one record")
			}
			if rec.Type != TypeApplicationData || rec.Version != VersionDTLS12 || rec.Epoch != 1 || rec.Sequence != sequence {
				t.Fatalf("header: %+v", rec)
			}
			got, err := o.Open(&rec)
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if !bytes.Equal(got, plaintext) {
				t.Fatalf("%d bytes: plaintext differs", n)
			}
		}
	})
}

// A batch of records and the sum of vectors stay within one record's limit.
func TestMessageTooLarge(t *testing.T) {
	s, _ := newPair(t, AES128GCM)
	big := make([]byte, MaxPlaintext+1)
	dst := []byte{1, 2, 3}
	for name, sealed := range map[string]func() ([]byte, error){
		"bytes":   func() ([]byte, error) { return s.SealBytes(dst, TypeApplicationData, big) },
		"one":     func() ([]byte, error) { return s.Seal(dst, TypeApplicationData, [][]byte{big}) },
		"several": func() ([]byte, error) { return s.Seal(dst, TypeApplicationData, [][]byte{big[:MaxPlaintext], big[:1]}) },
	} {
		got, err := sealed()
		if !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(got, dst) {
			t.Errorf("%s: dst changed: %x", name, got)
		}
	}
	if s.NextSequence() != 0 {
		t.Error("a refused message used a sequence number")
	}
}

func TestSequenceExhausted(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		s.SkipTo(MaxSequence)
		s.SkipTo(5)
		if s.NextSequence() != MaxSequence {
			t.Fatalf("next is %d", s.NextSequence())
		}
		last := seal(t, s, []byte("last"))
		got, err := open(t, o, last)
		if err != nil || string(got) != "last" {
			t.Fatalf("%q, %v", got, err)
		}
		for range 2 {
			if b, err := s.SealBytes(nil, TypeApplicationData, nil); !errors.Is(err, ErrSequenceExhausted) || b != nil {
				t.Fatalf("%x, %v", b, err)
			}
			if b, err := s.Seal(nil, TypeApplicationData, nil); !errors.Is(err, ErrSequenceExhausted) || b != nil {
				t.Fatalf("%x, %v", b, err)
			}
			s.SkipTo(1<<64 - 1)
		}
		if s.NextSequence() != MaxSequence+1 {
			t.Fatalf("next is %d", s.NextSequence())
		}
	})
}

// Whatever byte of a record changes, it does not open, and the genuine one
// still does.
func TestTampered(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		s.SkipTo(7)
		datagram := seal(t, s, []byte("twenty bytes of text"))
		for i := range datagram {
			forged := bytes.Clone(datagram)
			forged[i] ^= 0x10
			rec, _, ok := Next(forged)
			if !ok {
				continue // version or length
			}
			if got, err := o.Open(&rec); err == nil {
				t.Fatalf("opened with byte %d changed: %q", i, got)
			}
		}
		for n := range len(datagram) - HeaderSize {
			forged := bytes.Clone(datagram[:HeaderSize+n])
			forged[11], forged[12] = 0, byte(n)
			if got, err := open(t, o, forged); err == nil {
				t.Fatalf("opened with %d bytes of fragment: %q", n, got)
			}
		}
		if got, err := open(t, o, datagram); err != nil || string(got) != "twenty bytes of text" {
			t.Fatalf("genuine record: %q, %v", got, err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		datagram := seal(t, s, []byte("x"))

		other, err := NewOpener(a, testKeys(a), 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, other, datagram); !errors.Is(err, ErrEpoch) {
			t.Errorf("epoch: %v", err)
		}

		short := bytes.Clone(datagram[:HeaderSize+a.Overhead()-1])
		short[12] = byte(a.Overhead() - 1)
		if _, err := open(t, o, short); !errors.Is(err, ErrMalformed) {
			t.Errorf("short: %v", err)
		}
		long := append(bytes.Clone(datagram[:HeaderSize]), make([]byte, MaxPlaintext+1+a.Overhead())...)
		n := len(long) - HeaderSize
		long[11], long[12] = byte(n>>8), byte(n)
		if _, err := open(t, o, long); !errors.Is(err, ErrMalformed) {
			t.Errorf("long: %v", err)
		}
		if _, err := o.Open(&Record{Epoch: 1}); !errors.Is(err, ErrMalformed) {
			t.Errorf("empty: %v", err)
		}
		if o.Failures() != 0 {
			t.Errorf("%d failures counted before any record was tried", o.Failures())
		}

		forged := bytes.Clone(datagram)
		forged[len(forged)-1]++
		if _, err := open(t, o, forged); !errors.Is(err, ErrAuthentication) || o.Failures() != 1 {
			t.Errorf("forged: %v, %d failures", err, o.Failures())
		}
		if _, err := open(t, o, datagram); err != nil {
			t.Errorf("genuine: %v", err)
		}
		if _, err := open(t, o, datagram); !errors.Is(err, ErrReplayed) || o.Failures() != 1 {
			t.Errorf("replayed: %v, %d failures", err, o.Failures())
		}
	})
}

// A forged record with a high number must not move the window.
func TestForgeryDoesNotMoveWindow(t *testing.T) {
	s, o := newPair(t, AES128GCM)
	first := seal(t, s, nil)
	s.SkipTo(1 << 40)
	high := seal(t, s, nil)
	high[len(high)-1]++
	if _, err := open(t, o, high); !errors.Is(err, ErrAuthentication) {
		t.Fatal(err)
	}
	if _, err := open(t, o, first); err != nil {
		t.Fatal(err)
	}
}

func TestForgeryLimit(t *testing.T) {
	for _, tt := range []struct {
		algorithm Algorithm
		limit     uint64
	}{
		{AES128GCM, 1 << 36}, {AES256GCM, 1 << 36}, {ChaCha20Poly1305, 1 << 36},
		{AES128CCM, 11863283}, {AES256CCM, 11863283}, {AES128CCM8, 1 << 20}, {AES256CCM8, 1 << 20},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			s, o := newPair(t, tt.algorithm)
			datagram := seal(t, s, []byte("genuine"))
			forged := bytes.Clone(datagram)
			forged[len(forged)-1]++

			o.failures = tt.limit - 2
			if _, err := open(t, o, forged); !errors.Is(err, ErrAuthentication) {
				t.Fatalf("the last but one: %v", err)
			}
			for range 2 {
				if _, err := open(t, o, forged); !errors.Is(err, ErrForgeryLimit) {
					t.Fatalf("at the limit: %v", err)
				}
			}
			if _, err := open(t, o, datagram); !errors.Is(err, ErrForgeryLimit) {
				t.Fatalf("genuine after the limit: %v", err)
			}
			if o.Failures() != tt.limit {
				t.Fatalf("%d failures", o.Failures())
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		k := testKeys(a)
		for name, bad := range map[string]Keys{
			"none":      {},
			"short key": {k.Key[1:], k.IV},
			"long key":  {append(bytes.Clone(k.Key), 0), k.IV},
			"short IV":  {k.Key, k.IV[1:]},
			"long IV":   {k.Key, append(bytes.Clone(k.IV), 0)},
		} {
			if _, err := NewSealer(a, bad, 1); err == nil {
				t.Errorf("NewSealer with %s: no error", name)
			}
			if _, err := NewOpener(a, bad, 1); err == nil {
				t.Errorf("NewOpener with %s: no error", name)
			}
		}
	})
	for _, a := range []Algorithm{0, ChaCha20Poly1305 + 1, 255} {
		if _, err := NewSealer(a, Keys{}, 1); err == nil {
			t.Errorf("%v: no error", a)
		}
		if a.KeyBlockSize() != 0 || a.Overhead() != 0 {
			t.Errorf("%v has sizes", a)
		}
	}
}

func TestSplitKeyBlock(t *testing.T) {
	block := make([]byte, AES128GCM.KeyBlockSize())
	for i := range block {
		block[i] = byte(i)
	}
	client, server := AES128GCM.SplitKeyBlock(block)
	for _, tt := range []struct {
		name  string
		got   []byte
		start byte
		size  int
	}{
		{"client key", client.Key, 0, 16}, {"server key", server.Key, 16, 16},
		{"client IV", client.IV, 32, 4}, {"server IV", server.IV, 36, 4},
	} {
		if len(tt.got) != tt.size || cap(tt.got) != tt.size || tt.got[0] != tt.start {
			t.Errorf("%s: %x", tt.name, tt.got)
		}
	}
}
