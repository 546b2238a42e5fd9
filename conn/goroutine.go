package conn

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID tells goroutines apart, by the number that stands first in a stack
// trace. It is asked for only when a signal with handlers is emitted during a
// handshake, and by calls that would wait for one, so that a handler which calls
// back into its connection gets an error instead of a deadlock (G191).
func goroutineID() uint64 {
	var buf [64]byte
	trace := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(trace, []byte(" "))
	id, _ := strconv.ParseUint(string(digits), 10, 64)
	return id
}
