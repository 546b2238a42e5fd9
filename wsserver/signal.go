package wsserver

import (
	"slices"
	"sync"

	"gdtls/conn"
)

// signals holds handlers in the order in which they were connected.
type signals struct {
	mu   sync.Mutex
	last conn.SignalHandlerID

	newConnection  []handler[func()]
	originRequired []handler[func(*CorsAuthenticator)]
	refused        []handler[func(Refusal)]
	serverError    []handler[func(error)]
	closed         []handler[func()]
	revoked        []handler[func(loginID string)]
}

type handler[F any] struct {
	id   conn.SignalHandlerID
	call F
}

func connect[F any](s *signals, list *[]handler[F], call F) conn.SignalHandlerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	// A new slice each time: an emission may be going through the old one.
	*list = append(slices.Clip(*list), handler[F]{s.last, call})
	return s.last
}

// calls gives the handlers that are connected now.
func calls[F any](s *signals, list *[]handler[F]) []handler[F] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *list
}

func (s *signals) disconnect(id conn.SignalHandlerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	remove(&s.newConnection, id)
	remove(&s.originRequired, id)
	remove(&s.refused, id)
	remove(&s.serverError, id)
	remove(&s.closed, id)
	remove(&s.revoked, id)
}

func remove[F any](list *[]handler[F], id conn.SignalHandlerID) {
	*list = slices.DeleteFunc(slices.Clone(*list), func(h handler[F]) bool { return h.id == id })
}
