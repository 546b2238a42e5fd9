package datagram

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What another call takes from the kernel between an attempt in vain and the wait that
// follows is no reason for the poller to end the wait.
func TestHaulBeforeWait(t *testing.T) {
	p := pairs["udp4 connected"](t)
	d := p.b.(*Socket).driver.(*system)
	attempts := 0
	b := newBatch(func(*sysCall, uintptr, []InputMessage, MsgFlags) (int, error) {
		attempts++
		d.offload.held.Store(attempts == 1) // what is left of the other call's
		if attempts == 1 {
			d.read.nudge()
			return 0, unix.EAGAIN
		}
		return 1, nil
	})
	b.begin(d, inputs(1, 10), MsgNone, 1)
	b.patience = patience{side: &d.read, ctx: background, deadline: time.Now().Add(10 * time.Second)}
	begun := time.Now()
	n, err := b.finish(b.patience.block(d.raw.Read, b.attempt), receiving)
	if n != 1 || err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("%d, %v after %d attempts in %v", n, err, attempts, time.Since(begun))
	}
	d.offload.held.Store(false)
}
