package record

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

func TestNoAllocation(t *testing.T) {
	forAll(t, func(t *testing.T, a Algorithm) {
		s, o := newPair(t, a)
		buffer := make([]byte, 0, 2048)
		payload := make([]byte, 1200)
		vectors := [][]byte{payload[:500], payload[500:]}
		forged := seal(t, s, payload)
		forged[HeaderSize+20]++
		spoilt := make([]byte, len(forged))

		if n := testing.AllocsPerRun(100, func() {
			datagram, err := s.Seal(buffer, TypeApplicationData, vectors)
			if err != nil {
				t.Fatal(err)
			}
			rec, _, ok := Next(datagram)
			if !ok {
				t.Fatal("no record")
			}
			if _, err := o.Open(&rec); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Seal and Open: %v allocations", n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.SealBytes(buffer, TypeApplicationData, payload); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("SealBytes: %v allocations", n)
		}
		o.window = ReplayWindow{} // so that each try reaches the cipher
		if n := testing.AllocsPerRun(100, func() {
			copy(spoilt, forged)
			rec, _, _ := Next(spoilt)
			if _, err := o.Open(&rec); err != ErrAuthentication {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Open of a forgery: %v allocations", n)
		}
	})
}

// What a connection of 3 KB spends on its keys.
func TestMemory(t *testing.T) {
	const pairs = 10000
	keys := testKeys(AES128GCM)
	sealers, openers := make([]*Sealer, pairs), make([]*Opener, pairs)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range pairs {
		var err1, err2 error
		sealers[i], err1 = NewSealer(AES128GCM, keys, 1)
		openers[i], err2 = NewOpener(AES128GCM, keys, 1)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / pairs
	runtime.KeepAlive(sealers)
	runtime.KeepAlive(openers)
	t.Logf("heap of a Sealer and an Opener for AES-128-GCM: %d bytes", each)
	if each > 2048 {
		t.Errorf("Sealer and Opener take %d bytes", each)
	}
}

var benchSizes = []int{64, 1200, 16000}

func benchmark(b *testing.B, f func(b *testing.B, a Algorithm, size int)) {
	for _, a := range all {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%v/%d", a, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				f(b, a, size)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, a Algorithm, size int) {
		s, _ := newPair(b, a)
		buffer := make([]byte, 0, size+s.Overhead())
		vectors := [][]byte{make([]byte, size)}
		for b.Loop() {
			if _, err := s.Seal(buffer, TypeApplicationData, vectors); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, a Algorithm, size int) {
		s, o := newPair(b, a)
		datagram := seal(b, s, make([]byte, size))
		buffer := make([]byte, len(datagram))
		for b.Loop() {
			copy(buffer, datagram) // opening in place used it up
			o.window = ReplayWindow{}
			rec, _, _ := Next(buffer)
			if _, err := o.Open(&rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Sealing and opening a record beside the bare AEAD doing the same work on the
// same buffer: gathering the plaintext, Seal, Open.
func BenchmarkAgainstBareAEAD(b *testing.B) {
	for _, size := range benchSizes {
		payload := make([]byte, size)
		b.Run(fmt.Sprintf("record/%d", size), func(b *testing.B) {
			s, o := newPair(b, AES128GCM)
			buffer := make([]byte, 0, size+s.Overhead())
			vectors := [][]byte{payload}
			for b.Loop() {
				datagram, err := s.Seal(buffer, TypeApplicationData, vectors)
				if err != nil {
					b.Fatal(err)
				}
				rec, _, _ := Next(datagram)
				if _, err := o.Open(&rec); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) {
			aead, err := AES128GCM.aead(testKeys(AES128GCM).Key)
			if err != nil {
				b.Fatal(err)
			}
			buffer := make([]byte, HeaderSize+8+size+16)
			body := buffer[HeaderSize+8:]
			nonce, aad := make([]byte, 12), make([]byte, 13)
			for b.Loop() {
				n := copy(body, payload)
				sealed := aead.Seal(body[:0], nonce, body[:n], aad)
				if _, err := aead.Open(sealed[:0], nonce, sealed, aad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
