package datagram

import (
	"context"
	"sync"
	"sync/atomic"
)

// What a SourceFunc returns (G030).
const (
	SourceContinue = true  // G_SOURCE_CONTINUE: call again
	SourceRemove   = false // G_SOURCE_REMOVE: the source is done
)

// SourceFunc is called by a source with its object and with what is true of its
// condition, Err and Hup included (GDatagramBasedSourceFunc, G030). It is
// called again while it returns SourceContinue.
type SourceFunc func(obj DatagramBased, condition IOCondition) bool

// Source watches a condition of a datagram object (G026-G030). It begins with
// Attach or C. It has a goroutine only while there is something to tell; what watches
// its object meanwhile is the object itself ([ConditionNotifier]): nothing for a pipe,
// one goroutine for all sources of a socket.
//
// It is level triggered: while the condition holds it triggers again, so a
// callback should receive or send until WOULD_BLOCK. It may trigger without
// cause (G005). It ends when its callback returns SourceRemove, when Destroy is
// called, when its context is done (after one last trigger with the condition
// at that moment, which may be 0: G029), and after it has reported Hup, since
// nothing changes any more then.
//
// Its methods may be called from any goroutine, Destroy also from the callback.
type Source struct {
	obj       DatagramBased // keeps the object alive (G027)
	condition IOCondition
	inner     context.Context // done with the caller's or once the source is destroyed
	cancel    context.CancelFunc
	destroyed atomic.Bool // by Destroy, not by the context

	once sync.Once // makes c and its goroutine
	c    chan IOCondition
}

// NewSource returns a source that watches obj. It is meant for implementations
// of CreateSource.
func NewSource(obj DatagramBased, ctx context.Context, condition IOCondition) *Source {
	s := &Source{obj: obj, condition: condition}
	s.inner, s.cancel = context.WithCancel(ctx)
	return s
}

// Attach begins to call callback, from a goroutine of the source, whenever the
// condition holds (g_source_attach with a callback set).
func (s *Source) Attach(callback SourceFunc) { s.watch(callback, func() {}) }

// C begins to deliver the conditions on the channel it returns, always the
// same one. The channel is closed when the source ends. A condition received
// was true when it was put there; the consumer may find that it is no more.
func (s *Source) C() <-chan IOCondition {
	s.once.Do(func() {
		s.c = make(chan IOCondition, 1)
		s.watch(s.offer, func() { close(s.c) })
	})
	return s.c
}

// offer puts a condition into the channel of C, where the last one may take
// the place of none: a consumer that has one waiting is triggered by that.
func (s *Source) offer(_ DatagramBased, condition IOCondition) bool {
	if s.inner.Err() != nil {
		select {
		case s.c <- condition:
		default:
		}
		return SourceRemove
	}
	select {
	case s.c <- condition:
	case <-s.inner.Done():
	}
	return SourceContinue
}

// Destroy ends the source (g_source_destroy). A callback that has begun goes on
// to its end. Destroy may be called more than once.
func (s *Source) Destroy() {
	s.destroyed.Store(true)
	s.cancel()
}

// watch has trigger called while the condition holds, until the source ends.
func (s *Source) watch(trigger SourceFunc, ended func()) {
	w := &sourceWatch{Source: s, trigger: trigger, ended: ended, unregister: func() {}}
	w.state.Store(watchRuns)
	w.detach = context.AfterFunc(s.inner, func() { w.wake(nil) })
	go w.run()
}

// sourceWatch is a source at work.
type sourceWatch struct {
	*Source
	trigger SourceFunc
	ended   func()
	detach  func() bool // from the context

	state      atomic.Int32 // watchIdle, watchRuns or watchAgain
	unwatched  atomic.Pointer[error]
	unregister func() // from the object; of the goroutine that runs
}

const (
	watchIdle  = iota // no goroutine: wake starts one
	watchRuns         // a goroutine looks, or has looked for the last time
	watchAgain        // and has to look once more
)

// wake has a goroutine look at the object. It does not block.
func (w *sourceWatch) wake(err error) {
	if err != nil {
		w.unwatched.Store(&err)
	}
	for {
		switch w.state.Load() {
		case watchIdle:
			if w.state.CompareAndSwap(watchIdle, watchRuns) {
				go w.run()
				return
			}
		case watchRuns:
			if w.state.CompareAndSwap(watchRuns, watchAgain) {
				return
			}
		default:
			return
		}
	}
}

// run calls trigger while the condition holds.
func (w *sourceWatch) run() {
	for !w.isIdle() {
		w.state.Store(watchRuns)
		now := w.obj.ConditionCheck(w.condition)
		switch failed := w.unwatched.Load() != nil; {
		case w.destroyed.Load():
			w.end()
			return
		case w.inner.Err() != nil: // the caller's context is done (G029)
			w.trigger(w.obj, now)
			w.end()
			return
		case failed: // the object cannot be watched: its next call says why
			w.trigger(w.obj, now|Err)
			w.end()
			return
		case now != 0 && (!w.trigger(w.obj, now) || now&Hup != 0):
			w.end()
			return
		}
	}
}

// isIdle leaves the watching to the object if nothing is true.
func (w *sourceWatch) isIdle() bool {
	w.unregister()
	w.unregister = func() {}
	if w.state.Load() == watchAgain || w.obj.ConditionCheck(w.condition) != 0 || w.inner.Err() != nil {
		return false
	}
	w.unregister = ConditionNotify(w.obj, w.condition, w.wake)
	if w.obj.ConditionCheck(w.condition) != 0 || w.inner.Err() != nil {
		return false
	}
	return w.state.CompareAndSwap(watchRuns, watchIdle)
}

// end ends the source. Who wakes it from now on finds it running.
func (w *sourceWatch) end() {
	w.unregister()
	w.detach()
	w.cancel()
	w.ended()
}
