package serverconn

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"gdtls/conn"
)

// signal holds the handlers of one signal, in the order in which they were connected.
// Emitting it takes no lock.
type signal[F any] struct {
	handlers atomic.Pointer[[]signalHandler[F]] // what it points to is not changed
}

type signalHandler[F any] struct {
	id   conn.SignalHandlerID
	call F
}

// signalIDs numbers the handlers of an object's signals.
type signalIDs struct {
	mu   sync.Mutex // held while handlers are connected and disconnected
	last conn.SignalHandlerID
}

func (s *signal[F]) connect(ids *signalIDs, call F) conn.SignalHandlerID {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	ids.last++
	next := append(slices.Clip(s.load()), signalHandler[F]{ids.last, call})
	s.handlers.Store(&next)
	return ids.last
}

func (s *signal[F]) disconnect(ids *signalIDs, id conn.SignalHandlerID) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.load()), func(h signalHandler[F]) bool { return h.id == id })
	s.handlers.Store(&next)
}

func (s *signal[F]) load() []signalHandler[F] {
	if handlers := s.handlers.Load(); handlers != nil {
		return *handlers
	}
	return nil
}

// calls gives the handlers that are connected now.
func (s *signal[F]) calls() iter.Seq[F] {
	handlers := s.load()
	return func(yield func(F) bool) {
		for _, h := range handlers {
			if !yield(h.call) {
				return
			}
		}
	}
}
