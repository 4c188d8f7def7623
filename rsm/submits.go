//balsa:pure

package rsm

import "balsa.example/raft"

// submits are those who wait for the entry that they proposed, by place. A place
// is an index and a term: the same index may have been proposed in several terms
// by a leader that lost its entries and came back.
type submits[W any] struct {
	// terms are the terms that this replica led and in which somebody waits still, by
	// rising term: rarely more than one.
	terms []submitsOfTerm[W]
	count int
}

// submitsOfTerm are those of one term, by rising index.
type submitsOfTerm[W any] struct {
	term raft.Term
	list []submit[W]
}

type submit[W any] struct {
	term   raft.Term
	index  raft.Index
	waiter W
}

func (s *submits[W]) add(term raft.Term, index raft.Index, w W) {
	if n := len(s.terms); n == 0 || s.terms[n-1].term != term {
		s.terms = append(s.terms, submitsOfTerm[W]{term: term})
	}
	latest := &s.terms[len(s.terms)-1]
	latest.list = append(latest.list, submit[W]{term, index, w})
	s.count++
}

// committed removes those whose fate the commit of an entry of the given term at
// index decides, and calls end for each: all at or below index, and all of earlier
// terms wherever they are. Behind a committed entry no log that ever leads holds one
// of an earlier term, because terms never fall along a log.
func (s *submits[W]) committed(index raft.Index, term raft.Term, end func(submit[W])) {
	kept := s.terms[:0]
	for _, t := range s.terms {
		n := 0
		for n < len(t.list) && (t.list[n].index <= index || t.term < term) {
			end(t.list[n])
			n++
		}
		clear(t.list[:n])
		s.count -= n
		// The last list keeps its space for those to come.
		if t.list = t.list[n:]; len(t.list) > 0 || t.term == s.terms[len(s.terms)-1].term {
			kept = append(kept, t)
		}
	}
	clear(s.terms[len(kept):])
	s.terms = kept
}

func (s *submits[W]) len() int { return s.count }

func (s *submits[W]) drain() (waiters []W) {
	for _, t := range s.terms {
		for _, sub := range t.list {
			waiters = append(waiters, sub.waiter)
		}
	}
	s.terms, s.count = nil, 0
	return waiters
}
