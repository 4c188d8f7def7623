//balsa:pure

package rsm

import (
	"slices"

	"balsa.example/raft"
)

// submits are the Submits whose entries are not known to be committed or replaced. An entry
// is identified by its index and term: a leader that loses its entries and is elected again
// proposes other entries at the same indexes.
type submits[W any] struct {
	// terms has one element for each term of an entry for which a Submit still waits, in rising
	// order. There is rarely more than one.
	terms []submitsOfTerm[W]
	count int // of all terms
}

// submitsOfTerm are the Submits of one term, by rising index.
type submitsOfTerm[W any] struct {
	term raft.Term
	list []submit[W]
}

type submit[W any] struct {
	term   raft.Term
	index  raft.Index
	waiter W
}

// add keeps both lists in order: an entry that another leader has proposed may be told of
// late (see forward.go).
func (s *submits[W]) add(term raft.Term, index raft.Index, w W) {
	i := len(s.terms)
	for i > 0 && s.terms[i-1].term > term {
		i--
	}
	if i == 0 || s.terms[i-1].term != term {
		s.terms = slices.Insert(s.terms, i, submitsOfTerm[W]{term: term})
		i++
	}
	t := &s.terms[i-1]
	j := len(t.list)
	for j > 0 && t.list[j-1].index > index {
		j--
	}
	t.list = slices.Insert(t.list, j, submit[W]{term, index, w})
	s.count++
}

// committed says that the entry at index is committed and has the given term. It removes
// the Submits whose outcome that decides, and calls end for each:
//
//   - those at or below index: the committed log up to there is known;
//   - those of an earlier term, at any index: terms never fall along a log, so no entry of
//     an earlier term can follow the committed one.
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
		// The list of the last term stays even when it is empty, to reuse its memory.
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
