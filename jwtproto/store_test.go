package jwtproto

// reset forgets all groups.
func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.groups)
}
