package kv

// Held returns how many records s keeps for images alone.
func Held(s *Store) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seen := map[*slot]bool{}
	for _, sl := range s.state.images.holders {
		for o := sl.before; o != nil && !seen[sl]; o = o.before {
			n++
		}
		seen[sl] = true
	}
	return n
}
