package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync/atomic"
)

// memory is one direction of handing over sealed buffers from one processor to
// another.
type memory struct {
	slots [][]byte
	_     [64]byte // the counters are written by different processors
	put   atomic.Uint64
	_     [64]byte
	taken atomic.Uint64
	_     [64]byte
}

func newMemory(slots, size int) *memory {
	m := &memory{slots: make([][]byte, slots)}
	for i := range m.slots {
		m.slots[i] = make([]byte, size+16)
	}
	return m
}

// aeadEnd seals and opens with AES-128-GCM as a record layer does, and does nothing
// else.
type aeadEnd struct {
	aead          cipher.AEAD
	batch         int
	plain, opened []byte
	out, in       *memory
	nonce, header []byte
	interrupted   atomic.Bool
}

// aeadPair gives two ends.
func aeadPair(size, batch int) (client, server *aeadEnd, err error) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return nil, nil, err
	}
	there, back := newMemory(maxWindow+batch, size), newMemory(maxWindow+batch, size)
	newEnd := func(out, in *memory) (*aeadEnd, error) {
		aead, err := cipher.NewGCM(block)
		return &aeadEnd{
			aead: aead, batch: batch, out: out, in: in,
			plain: make([]byte, size), opened: make([]byte, 0, size),
			nonce: make([]byte, 12), header: make([]byte, 13),
		}, err
	}
	if client, err = newEnd(there, back); err == nil {
		server, err = newEnd(back, there)
	}
	return client, server, err
}

// number puts a sequence number into nonce and header.
func (e *aeadEnd) number(n uint64) {
	binary.BigEndian.PutUint64(e.nonce[4:], n)
	binary.BigEndian.PutUint64(e.header, n)
}

func (e *aeadEnd) send(n int) error {
	first := e.out.put.Load()
	for spins := 0; first+uint64(n)-e.out.taken.Load() > uint64(len(e.out.slots)); spins++ {
		breathe(spins, true)
	}
	for i := first; i < first+uint64(n); i++ {
		e.number(i)
		e.aead.Seal(e.out.slots[i%uint64(len(e.out.slots))][:0], e.nonce, e.plain, e.header)
	}
	e.out.put.Store(first + uint64(n))
	return nil
}

func (e *aeadEnd) receive() (int, error) {
	first := e.in.taken.Load()
	last := e.in.put.Load()
	for spins := 0; last == first; spins++ {
		if e.interrupted.Load() {
			return 0, nil
		}
		breathe(spins, true)
		last = e.in.put.Load()
	}
	last = min(last, first+uint64(e.batch))
	for i := first; i < last; i++ {
		e.number(i)
		if _, err := e.aead.Open(e.opened, e.nonce, e.in.slots[i%uint64(len(e.in.slots))], e.header); err != nil {
			return 0, err
		}
	}
	e.in.taken.Store(last)
	return int(last - first), nil
}

func (e *aeadEnd) begin()       { e.interrupted.Store(false) }
func (e *aeadEnd) interrupt()   { e.interrupted.Store(true) }
func (e *aeadEnd) close() error { return nil }
