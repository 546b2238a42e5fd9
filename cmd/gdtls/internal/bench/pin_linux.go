package bench

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// pin ties the calling goroutine to a thread and that to one of the process's
// processors, if it has several. The goroutine must end without untying itself:
// its thread then ends, too.
func pin(processor int) {
	runtime.LockOSThread()
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() < 2 {
		return
	}
	processor %= all.Count()
	for cpu := range len(all) * 64 {
		if !all.IsSet(cpu) {
			continue
		}
		if processor == 0 {
			var one unix.CPUSet
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one) // without it the measurement is only less steady
			return
		}
		processor--
	}
}

// yield lets another thread have the processor.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
