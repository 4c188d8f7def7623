package sim

import (
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// leaseGrants checks what leases stand on: a node that has granted a leader a lease votes
// for no candidate until the lease ends by the clock of that node, also if it restarts or its
// settings change in between. Only an election that the leader asked for is excepted.
type leaseGrants struct {
	until   []time.Duration    // of each node, by its clock
	arrived []arrivals         // at each node
	term    []raft.Term        // of the leader to which each node granted its lease
	ordered map[ballot]bool    // campaigns by TimeoutNow: the candidate, and its term
	over    map[raft.Term]bool // the leader of this term has sent a TimeoutNow
}

// arrivals are when the rounds of a term arrived, by the node's clock: what an acknowledgement
// grants counts from then, however long it waits for a disk.
type arrivals struct {
	term raft.Term
	at   map[raft.Round]time.Duration
}

func newLeaseGrants(nodes int) leaseGrants {
	return leaseGrants{make([]time.Duration, nodes+1), make([]arrivals, nodes+1), make([]raft.Term, nodes+1), map[ballot]bool{}, map[raft.Term]bool{}}
}

func (s *leaseGrants) grant(n *node, m *raft.AppendEntriesReply) {
	if stored := n.disk.hard.LeaseGrant; m.LeaseGrant > stored {
		n.w.failf("lease grant", "%s grants a lease of %d ns; on disk are %d", n.id, m.LeaseGrant, stored)
	}
	s.term[n.id] = m.Term
	from := n.clock.read(n.w.now)
	if h := &s.arrived[n.id]; h.term == m.Term {
		if at, ok := h.at[m.Round]; ok {
			from = at
		}
	}
	s.until[n.id] = max(s.until[n.id], from+time.Duration(m.LeaseGrant))
}

// arrives notes when a round arrived for the first time.
func (s *leaseGrants) arrives(n *node, m raft.Message) {
	a, ok := m.(*raft.AppendEntries)
	h := &s.arrived[n.id]
	if !ok || a.Term < h.term {
		return
	}
	if a.Term > h.term {
		*h = arrivals{a.Term, map[raft.Round]time.Duration{}}
	}
	if _, again := h.at[a.Round]; !again {
		h.at[a.Round] = n.clock.read(n.w.now)
	}
}

// campaign checks the vote of a candidate for itself.
func (s *leaseGrants) campaign(n *node, m *raft.RequestVote) {
	b := ballot{n.id, m.Term}
	if m.Transfer && !s.ordered[b] {
		n.w.failf("transfer", "%s campaigns in term %d as if the leader before had asked for it", n.id, m.Term)
	}
	s.vote(n, b)
}

// timeoutNow ends the leases that were granted to its sender, for the rest of the term.
func (s *leaseGrants) timeoutNow(m *raft.TimeoutNow) {
	s.ordered[ballot{m.To, m.Term + 1}] = true
	s.over[m.Term] = true
}

// lease checks the lease by which a leader serves reads.
func (s *leaseGrants) lease(n *node, term raft.Term, l rsm.Lease) {
	if l.Until > 0 && s.over[term] {
		n.w.failf("lease after transfer", "%s has a lease in term %d, in which it has sent a TimeoutNow", n.id, term)
	}
	if l.Until <= n.now() {
		return
	}
	granted := func(id raft.NodeID) bool { return id == n.id || s.until[id] > n.w.node(id).clock.read(n.w.now) }
	if conf := n.w.check.views[n.id].latest(); !won(conf.Voters, granted) {
		n.w.failf("lease without a majority", "%s has a lease in term %d, granted by %v; in force is %s", n.id, term, those(conf.Voters, granted), conf)
	}
}

// vote checks a vote of n for b. A vote in the term of the lease was given before the lease,
// and is sent late.
func (s *leaseGrants) vote(n *node, b ballot) {
	if rest := s.until[n.id] - n.clock.read(n.w.now); rest > 0 && !s.ordered[b] && b.term > s.term[n.id] {
		n.w.failf("lease grant", "%s votes for %s in term %d, %v before the end of the lease that it has granted", n.id, b.voter, b.term, rest)
	}
}
