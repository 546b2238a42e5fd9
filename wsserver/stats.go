package wsserver

import "sync/atomic"

// Stats counts what a server has done since it was made.
type Stats struct {
	Accepted uint64 // requests that became connections
	Refused  uint64 // requests that did not
	Open     int    // connections now, pending ones included
	Pending  int    // connections that wait for Accept now
}

type counts struct{ accepted, refused atomic.Uint64 }

// Stats gives the counts.
func (s *WebSocketServer) Stats() Stats {
	s.mu.Lock()
	open := len(s.connections)
	s.mu.Unlock()
	return Stats{
		Accepted: s.counts.accepted.Load(),
		Refused:  s.counts.refused.Load(),
		Open:     open,
		Pending:  len(s.pending),
	}
}
