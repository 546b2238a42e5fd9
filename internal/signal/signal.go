// Package signal holds the handlers of the signals of an object, as GLib and Qt have
// them, for the packages whose objects have signals of many kinds.
package signal

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// Signal holds the handlers of one signal, in the order in which they were connected. F
// is the type of a handler, ID what names one. The zero value has none. Emitting a signal
// takes no lock.
type Signal[F any, ID ~uint64] struct {
	handlers atomic.Pointer[[]handler[F, ID]] // what it points to is not changed
}

type handler[F any, ID ~uint64] struct {
	id   ID
	call F
}

// IDs numbers the handlers of an object's signals, from 1.
type IDs[ID ~uint64] struct {
	mu   sync.Mutex // held while handlers are connected and disconnected
	last ID
}

// Connect adds a handler, and gives the name by which Disconnect removes it.
func (s *Signal[F, ID]) Connect(ids *IDs[ID], call F) ID {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	ids.last++
	next := append(slices.Clip(s.load()), handler[F, ID]{ids.last, call})
	s.handlers.Store(&next)
	return ids.last
}

// Disconnect removes a handler, if it is one of this signal. One that is running is not
// waited for.
func (s *Signal[F, ID]) Disconnect(ids *IDs[ID], id ID) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.load()), func(h handler[F, ID]) bool { return h.id == id })
	s.handlers.Store(&next)
}

func (s *Signal[F, ID]) load() []handler[F, ID] {
	if handlers := s.handlers.Load(); handlers != nil {
		return *handlers
	}
	return nil
}

// IsConnected tells whether there is any handler.
func (s *Signal[F, ID]) IsConnected() bool { return len(s.load()) > 0 }

// Calls gives the handlers that are connected now.
func (s *Signal[F, ID]) Calls() iter.Seq[F] {
	handlers := s.load()
	return func(yield func(F) bool) {
		for _, h := range handlers {
			if !yield(h.call) {
				return
			}
		}
	}
}
