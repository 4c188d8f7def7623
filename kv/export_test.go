package kv

// Retained returns how many records s retains for images alone.
func Retained(s *Store) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for v := s.state.images.oldest; v != nil; v = v.next {
		n++
	}
	return n
}
