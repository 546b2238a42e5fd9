package wsserver

import "sync/atomic"

// Stats counts what a server has done since it was made.
type Stats struct {
	Accepted uint64 // requests that became connections
	Refused  uint64 // requests that did not
	Dropped  uint64 // TCP connections beyond the Limits, since Listen
	Open     int    // connections now, pending ones included
	Pending  int    // connections that wait for Accept now
}

type counts struct{ accepted, refused atomic.Uint64 }

// Stats gives the counts.
func (s *WebSocketServer) Stats() Stats {
	s.mu.Lock()
	open := len(s.connections)
	var dropped uint64
	if s.listening != nil {
		dropped = s.listening.listener.Dropped()
	}
	s.mu.Unlock()
	return Stats{
		Accepted: s.counts.accepted.Load(),
		Refused:  s.counts.refused.Load(),
		Dropped:  dropped,
		Open:     open,
		Pending:  len(s.pending),
	}
}
