//go:build !linux

package bench

import "runtime"

// pin ties the calling goroutine to a thread. The goroutine must end without
// untying itself.
func pin(int) { runtime.LockOSThread() }

// yield lets another goroutine have the processor.
func yield() { runtime.Gosched() }
