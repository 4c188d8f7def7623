package kv

// Held returns how many records s keeps for images alone.
func Held(s *Store) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for o := s.state.images.first; o != nil; o = o.next {
		n++
	}
	return n
}
