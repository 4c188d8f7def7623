package raft

import "slices"

// checker sees the whole cluster. It checks after every event the properties of Raft (paper,
// figure 3), and that what a node promises is on its disk.
type checker struct {
	c       *cluster
	leaders map[Term]NodeID
	votes   map[ballot]NodeID
	facts   map[position]fact
	// committed is what some leader has committed, from index 1 on.
	committed []committed
	proposals int // committed commands
	elections int // leaders seen
	reads     int // that ended well
	restores  int
	ahead     int // entries applied by a node that did not have them on its own disk
}

// committed is an entry with the term of the leader that committed it.
type committed struct {
	entry Entry
	in    Term
}

type ballot struct {
	voter NodeID
	term  Term
}

// position names an entry: log matching says that it fixes all that is before it.
type position struct {
	index Index
	term  Term
}

type fact struct {
	prevTerm Term
	kind     EntryKind
	data     string
}

// observed is what was last seen of one node since it was started.
type observed struct {
	hard   HardState
	commit Index
	base   Index
	terms  []Term // of the log after base
}

func newChecker(c *cluster) checker {
	return checker{c: c, leaders: map[Term]NodeID{}, votes: map[ballot]NodeID{}, facts: map[position]fact{}}
}

func (k *checker) lastCommitted() Index { return Index(len(k.committed)) }

func (k *checker) started(n *node) {
	r := n.raft
	n.seen = observed{hard: HardState{Term: r.term, Vote: r.vote}, commit: r.commit, base: r.log.base}
	k.log(n)
}

// step is called after every event.
func (k *checker) step(n *node) {
	k.c.t.Helper()
	r := n.raft
	was := n.seen.hard
	if r.term < was.Term || r.term == was.Term && was.Vote != None && was.Vote != r.vote {
		k.c.failf("%s went from term %d vote %s to term %d vote %s", n.id, was.Term, was.Vote, r.term, r.vote)
	}
	n.seen.hard = HardState{Term: r.term, Vote: r.vote}
	if r.commit < n.seen.commit {
		k.c.failf("%s: commit index went back from %d to %d", n.id, n.seen.commit, r.commit)
	}
	k.log(n)
	if r.role == Leader {
		k.leader(n)
	}
	if r.commit > n.seen.commit {
		k.commit(n)
	}
	n.seen.commit = r.commit
}

// log checks log matching (paper, 5.3): the new part of a node's log against all logs seen.
func (k *checker) log(n *node) {
	l := &n.raft.log
	if l.base < n.seen.base {
		k.c.failf("%s: the log begins after %d, then after %d", n.id, n.seen.base, l.base)
	}
	drop := min(int(l.base-n.seen.base), len(n.seen.terms))
	n.seen.base, n.seen.terms = l.base, n.seen.terms[drop:]
	held := l.slice(l.base+1, l.last())
	same := min(len(n.seen.terms), len(held))
	if k.c.steps%512 == 0 {
		same = 0 // all of it, now and then
	}
	// A log changes only at its end.
	for same > 0 && n.seen.terms[same-1] != held[same-1].Term {
		same--
	}
	n.seen.terms = n.seen.terms[:same]
	for i := same; i < len(held); i++ {
		e := held[i]
		prev := l.baseTerm
		if i > 0 {
			prev = held[i-1].Term
		}
		f := fact{prev, e.Kind, string(e.Data)}
		if known, ok := k.facts[position{e.Index, e.Term}]; ok && known != f {
			k.c.failf("log matching: %s holds %s behind term %d; elsewhere it is %v", n.id, e, prev, known)
		}
		k.facts[position{e.Index, e.Term}] = f
		n.seen.terms = append(n.seen.terms, e.Term)
	}
}

// leader checks election safety and leader completeness.
func (k *checker) leader(n *node) {
	r := n.raft
	if id, ok := k.leaders[r.term]; ok {
		if id != n.id {
			k.c.failf("election safety: %s and %s lead term %d", id, n.id, r.term)
		}
		return
	}
	if d := n.disk.hard; d.Term != r.term || d.Vote != n.id {
		k.c.failf("%s leads term %d, on disk is %+v", n.id, r.term, n.disk.hard)
	}
	k.leaders[r.term] = n.id
	k.elections++
	k.c.tracef("%s leads term %d, log to %d", n.id, r.term, r.log.last())
	for i := len(k.committed); i > 0; i-- {
		if got := k.committed[i-1]; got.in < r.term {
			index := Index(i)
			if index > r.log.base && !r.log.matches(index, got.entry.Term) {
				k.c.failf("leader completeness: %s leads term %d without %s", n.id, r.term, got.entry)
			}
			return
		}
	}
}

// commit checks state machine safety, and that what is committed is durable.
func (k *checker) commit(n *node) {
	r := n.raft
	if r.role == Leader {
		for i := k.lastCommitted() + 1; i <= r.commit; i++ {
			e := r.log.slice(i, i)[0]
			k.committed = append(k.committed, committed{e, r.term})
			if e.Kind == EntryCommand {
				k.proposals++
			}
		}
		k.durable(n)
	}
	if r.commit > k.lastCommitted() {
		k.c.failf("%s follows to %d, but only %d is committed", n.id, r.commit, k.lastCommitted())
	}
	for i := max(n.seen.commit, r.log.base) + 1; i <= r.commit; i++ {
		if want := k.committed[i-1].entry.Term; !r.log.matches(i, want) {
			have, _ := r.log.term(i)
			k.c.failf("state machine safety: %s commits %d/%d, elsewhere it is of term %d", n.id, have, i, want)
		}
	}
}

// durable checks that a quorum holds the leader's commit index on disk.
func (k *checker) durable(n *node) {
	at := n.raft.commit
	term := k.committed[at-1].entry.Term
	durable := n.raft.configuration().Voters.CommittedIndex(func(id NodeID) Index {
		d := &k.c.node(id).disk
		if have, ok := d.term(at); ok && have == term || d.snapshot.Index > at {
			return at
		}
		return 0
	})
	if durable < at {
		k.c.failf("%s commits %d, which is not durable on a quorum", n.id, at)
	}
}

// persisting checks that what a node writes never takes back a vote.
func (k *checker) persisting(n *node, p Persist) {
	if p.HardState != nil && p.HardState.Vote != None {
		k.vote(n.id, p.HardState.Term, p.HardState.Vote)
	}
}

func (k *checker) vote(voter NodeID, term Term, candidate NodeID) {
	b := ballot{voter, term}
	if was, ok := k.votes[b]; ok && was != candidate {
		k.c.failf("%s votes for %s and %s in term %d", voter, was, candidate, term)
	}
	k.votes[b] = candidate
}

// sending checks that a message promises only what is durable.
func (k *checker) sending(n *node, m Message) {
	h, d := m.Head(), &n.disk
	if m.Kind() == KindRequestVote {
		return // a request, which promises nothing
	}
	if h.Term > d.hard.Term {
		k.c.failf("%s sends in term %d, on disk is %d: %s", n.id, h.Term, d.hard.Term, m)
	}
	voted := func(candidate NodeID) {
		k.vote(n.id, h.Term, candidate)
		if d.hard.Term == h.Term && d.hard.Vote != candidate {
			k.c.failf("%s sends a vote that is not on disk: %s", n.id, m)
		}
	}
	switch m := m.(type) {
	case *RequestVoteReply:
		if m.Granted {
			voted(h.To)
		}
	case *AppendEntriesReply:
		k.acknowledging(n, m)
	}
}

// acknowledging checks that the log is on disk as far as it is acknowledged. An answer of an
// earlier term may be about entries that were overwritten since.
func (k *checker) acknowledging(n *node, m *AppendEntriesReply) {
	d := &n.disk
	if m.LeaseGrant > d.hard.LeaseGrant {
		k.c.failf("%s grants a lease of %d ns; on disk are %d", n.id, m.LeaseGrant, d.hard.LeaseGrant)
	}
	if m.Term < n.raft.term || m.Match <= d.snapshot.Index {
		return
	}
	onDisk, ok := d.term(m.Match)
	inMemory, held := n.raft.log.term(m.Match)
	if !ok || held && onDisk != inMemory {
		k.c.failf("%s acknowledges %d/%d; on disk it is of term %d", n.id, inMemory, m.Match, onDisk)
	}
}

// applying checks that each node's state machine gets what is committed, once and
// in order.
func (k *checker) applying(n *node, e Entry) {
	if e.Index != n.applied+1 {
		k.c.failf("%s applies %d after %d", n.id, e.Index, n.applied)
	}
	want := k.committed[e.Index-1].entry
	if e.Term != want.Term || e.Kind != want.Kind || !slices.Equal(e.Data, want.Data) {
		k.c.failf("%s applies %s, committed is %s", n.id, e, want)
	}
	if n.disk.last() < e.Index {
		k.ahead++ // of its own disk, while a majority has it: see durable
	}
}

func (k *checker) restoring(n *node, m SnapshotMeta) {
	k.restores++
	if m.Index <= n.applied {
		k.c.failf("%s restores a snapshot of %d after %d", n.id, m.Index, n.applied)
	}
	if m.Index > k.lastCommitted() || k.committed[m.Index-1].entry.Term != m.Term {
		k.c.failf("%s restores a snapshot of %s, which was not committed", n.id, m)
	}
}

// readEnded checks that a read reflects all that was committed when it was asked
// for. What any leader has committed may have been acknowledged.
func (k *checker) readEnded(n *node, s ReadState) {
	call, ok := n.reads[s.ID]
	if !ok {
		k.c.failf("%s ends a read %d that is not open", n.id, s.ID)
	}
	delete(n.reads, s.ID)
	if !s.OK {
		return
	}
	k.reads++
	if s.Index < call.floor {
		k.c.failf("stale read: %s reads at %d, committed was %d (mode %d)", n.id, s.Index, call.floor, call.mode)
	}
}
