package clerk

//balsa:pure

// maxOutstanding is how many writes of a session may be without an outcome at a time, counted
// from the oldest of them to the newest. A server remembers the outcomes of so many.
const maxOutstanding = 1024

// sequence numbers the writes of a session, and knows which of them are settled: their outcome
// is known, or nobody waits for it any more.
type sequence struct {
	last  uint64 // the number given out last; 0: none yet
	acked uint64 // all numbers up to this one are settled
	// settled has a bit for each number in (acked, acked+maxOutstanding], at its remainder.
	settled [maxOutstanding / 64]uint64
}

// next gives out a number; 0 if so many are outstanding that there is none.
func (s *sequence) next() uint64 {
	if s.last-s.acked == maxOutstanding {
		return 0
	}
	s.last++
	return s.last
}

// settle notes that a number is settled. It returns true if acked has moved.
func (s *sequence) settle(n uint64) (moved bool) {
	if n <= s.acked || n > s.last {
		return false
	}
	word, bit := s.at(n)
	s.settled[word] |= bit
	for before := s.acked; ; moved = true {
		word, bit := s.at(s.acked + 1)
		if s.settled[word]&bit == 0 {
			return s.acked > before
		}
		s.settled[word] &^= bit
		s.acked++
	}
}

func (s *sequence) at(n uint64) (word int, bit uint64) {
	i := int(n % maxOutstanding)
	return i / 64, 1 << (i % 64)
}
