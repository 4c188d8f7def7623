//balsa:pure

package rsm

import "balsa/raft"

// submits are those who wait for the entry that they proposed, by place. A place
// is an index and a term: the same index may have been proposed in several terms
// by a leader that lost its entries and came back.
type submits[W any] struct {
	// latest are those of the term of reign, by rising index.
	term   raft.Term
	latest []submit[W]
	// earlier are those of terms before; few, and rarely any.
	earlier []submit[W]
}

type submit[W any] struct {
	term   raft.Term
	index  raft.Index
	waiter W
}

func (s *submits[W]) add(term raft.Term, index raft.Index, w W) {
	if term != s.term {
		s.earlier = append(s.earlier, s.latest...)
		s.term, s.latest = term, nil
	}
	s.latest = append(s.latest, submit[W]{term, index, w})
}

// committed removes those whose fate the commit of an entry of the given term at
// index decides, and calls end for each: all at or below index, and all of earlier
// terms wherever they are. Behind a committed entry no log that ever leads holds one
// of an earlier term, because terms never fall along a log.
func (s *submits[W]) committed(index raft.Index, term raft.Term, end func(submit[W])) {
	if len(s.earlier) > 0 {
		kept := s.earlier[:0]
		for _, sub := range s.earlier {
			if sub.index <= index || sub.term < term {
				end(sub)
			} else {
				kept = append(kept, sub)
			}
		}
		clear(s.earlier[len(kept):])
		s.earlier = kept
	}
	n := 0
	for n < len(s.latest) && (s.latest[n].index <= index || s.term < term) {
		end(s.latest[n])
		n++
	}
	clear(s.latest[:n])
	s.latest = s.latest[n:]
}

func (s *submits[W]) len() int { return len(s.latest) + len(s.earlier) }

func (s *submits[W]) drain() (waiters []W) {
	for _, list := range [][]submit[W]{s.earlier, s.latest} {
		for _, sub := range list {
			waiters = append(waiters, sub.waiter)
		}
	}
	s.earlier, s.latest = nil, nil
	return waiters
}
