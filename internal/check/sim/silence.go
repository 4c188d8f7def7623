package sim

import (
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// silence checks what leases stand on: who has promised a leader to elect nobody keeps
// that, by its own clock, whatever restarts and settings come between. Only an election
// that a leader asked for is excepted.
type silence struct {
	until   []time.Duration    // of each node, by its clock
	heard   []heard            // by each node
	term    []raft.Term        // of the leader whom it promised that
	ordered map[ballot]bool    // campaigns by TimeoutNow: the candidate, and its term
	over    map[raft.Term]bool // the leader of this term has sent a TimeoutNow
}

// heard is when the rounds of a term arrived, by the node's clock: what an acknowledgement
// promises counts from there, however long that waits for a disk.
type heard struct {
	term raft.Term
	at   map[raft.Round]time.Duration
}

func newSilence(nodes int) silence {
	return silence{make([]time.Duration, nodes+1), make([]heard, nodes+1), make([]raft.Term, nodes+1), map[ballot]bool{}, map[raft.Term]bool{}}
}

func (s *silence) promise(n *node, m *raft.AppendEntriesReply) {
	if stored := n.disk.hard.Silence; m.Silence > stored {
		n.w.failf("promise", "%s promises %d ns of silence; on disk are %d", n.id, m.Silence, stored)
	}
	s.term[n.id] = m.Term
	from := n.clock.read(n.w.now)
	if h := &s.heard[n.id]; h.term == m.Term {
		if at, ok := h.at[m.Round]; ok {
			from = at
		}
	}
	s.until[n.id] = max(s.until[n.id], from+time.Duration(m.Silence))
}

// hears notes when a round arrived first.
func (s *silence) hears(n *node, m raft.Message) {
	a, ok := m.(*raft.AppendEntries)
	h := &s.heard[n.id]
	if !ok || a.Term < h.term {
		return
	}
	if a.Term > h.term {
		*h = heard{a.Term, map[raft.Round]time.Duration{}}
	}
	if _, again := h.at[a.Round]; !again {
		h.at[a.Round] = n.clock.read(n.w.now)
	}
}

// campaign is a vote for oneself.
func (s *silence) campaign(n *node, m *raft.RequestVote) {
	b := ballot{n.id, m.Term}
	if m.Transfer && !s.ordered[b] {
		n.w.failf("transfer", "%s campaigns in term %d as if the leader before had asked for it", n.id, m.Term)
	}
	s.vote(n, b)
}

// timeoutNow releases the followers of a leader from their promises, for its term.
func (s *silence) timeoutNow(m *raft.TimeoutNow) {
	s.ordered[ballot{m.To, m.Term + 1}] = true
	s.over[m.Term] = true
}

// lease is what a leader reads by.
func (s *silence) lease(n *node, term raft.Term, l rsm.Lease) {
	if l.Until > 0 && s.over[term] {
		n.w.failf("lease after transfer", "%s has a lease in term %d, in which it has sent a TimeoutNow", n.id, term)
	}
}

// vote is one of n for b. One of the same term was given before, and leaves late.
func (s *silence) vote(n *node, b ballot) {
	if rest := s.until[n.id] - n.clock.read(n.w.now); rest > 0 && !s.ordered[b] && b.term > s.term[n.id] {
		n.w.failf("silence", "%s votes for %s in term %d, %v before the end of the silence that it has promised", n.id, b.voter, b.term, rest)
	}
}
