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
// Attach or C; before that it costs nothing but its own memory. While it is at
// work it owns a goroutine.
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
func (s *Source) Attach(callback SourceFunc) {
	go s.watch(callback)
}

// C begins to deliver the conditions on the channel it returns, always the
// same one. The channel is closed when the source ends. A condition received
// was true when it was put there; the consumer may find that it is no more.
func (s *Source) C() <-chan IOCondition {
	s.once.Do(func() {
		s.c = make(chan IOCondition, 1)
		go func() {
			defer close(s.c)
			s.watch(s.offer)
		}()
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

// watch calls trigger while the condition holds, until the source ends.
func (s *Source) watch(trigger SourceFunc) {
	defer s.cancel()
	for {
		err := s.obj.ConditionWait(s.inner, s.condition, -1)
		now := s.obj.ConditionCheck(s.condition)
		switch {
		case s.destroyed.Load():
			return
		case s.inner.Err() != nil: // the caller's context is done (G029)
			trigger(s.obj, now)
			return
		case err != nil: // the object cannot be watched: its next call says why
			trigger(s.obj, now|Err)
			return
		case now == 0:
			continue // it was true for an instant only
		}
		if !trigger(s.obj, now) || now&Hup != 0 {
			return
		}
	}
}
