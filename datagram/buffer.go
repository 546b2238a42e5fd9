package datagram

import "sync"

// smallBuffer holds what fits an Ethernet frame, and so nearly every datagram.
const smallBuffer = 2048

// buffer is pooled memory for one datagram.
type buffer struct{ b []byte }

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, smallBuffer)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, MaxDatagram)} }}
)

// getBuffer returns a buffer of at least n bytes, at most MaxDatagram.
func getBuffer(n int) *buffer {
	if n <= smallBuffer {
		return smallBuffers.Get().(*buffer)
	}
	return largeBuffers.Get().(*buffer)
}

// release gives the buffer back; its bytes must not be used after it.
func (b *buffer) release() {
	if len(b.b) == smallBuffer {
		smallBuffers.Put(b)
	} else {
		largeBuffers.Put(b)
	}
}
