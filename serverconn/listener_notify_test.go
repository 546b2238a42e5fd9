package serverconn

import (
	"runtime"
	"testing"
	"testing/synctest"

	"gdtls/datagram"
)

// A peer tells of what comes and of room in the base, and has no goroutine for that.
func TestPeerConditionNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const in, out = datagram.In, datagram.Out
		base, other := datagram.NewPipe(datagram.WithQueue(1))
		defer other.Close()
		defer base.Close()
		p := &peer{listener: &DtlsListener{base: base}}
		p.queue.limits = newTestQueue(10, 1<<20, 1<<20).limits
		before := runtime.NumGoroutine()
		var woken int
		tells := func(condition datagram.IOCondition, cause func(), want bool) {
			t.Helper()
			woken = 0
			stop := p.ConditionNotify(condition, func(error) { woken++ })
			cause()
			synctest.Wait()
			stop()
			if got := woken > 0; got != want {
				t.Errorf("woken %d times for %v", woken, condition)
			}
			before := woken
			if p.queue.push([]byte("y")) {
				p.queue.pop().release()
			}
			if woken != before {
				t.Error("woken after stop")
			}
		}
		push := func() { p.queue.push([]byte("x")) }
		pop := func() { p.queue.pop().release() }
		fill := func() {
			if err := datagram.SendOne(t.Context(), p, []byte("x"), datagram.Address{}, 0); err != nil {
				t.Error(err)
			}
		}
		drain := func() { _, _, _ = datagram.ReceiveOne(t.Context(), other, make([]byte, 10), 0) }
		tells(in, func() {}, false)
		tells(in, func() { push(); pop() }, true)
		fill()
		tells(in, drain, false)
		fill()
		tells(out, drain, true)
		tells(in|out, func() { push(); pop() }, true)
		tells(in, func() { p.queue.end(nil) }, true)
		if n := runtime.NumGoroutine(); n != before {
			t.Errorf("%d goroutines more", n-before)
		}
	})
}
