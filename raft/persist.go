package raft

import "slices"

// persistState tells what of the node's state is on its way to disk and what is durable.
// The log keeps account of its entries itself.
type persistState struct {
	lastSeq    uint64 // the Seq of the last Persist that Effects returned
	durableSeq uint64 // every Persist up to this one is durable
	// hardStateDirty tells that the hard state has changed since Effects returned it last, in
	// the Persist hardStatePersistingSeq.
	hardStateDirty         bool
	hardStatePersistingSeq uint64
	// logReset goes into the next Persist as its Snapshot.
	logReset *SnapshotMeta
	// pendingDurable are messages that wait until a Persist is durable, in the order of Seq.
	pendingDurable []pendingMessage
	// waiting counts the ticks since the disk had nothing to do, or finished a Persist.
	waiting int
}

// pendingMessage is a message that may leave only when the hard state that it was sent
// under is durable.
type pendingMessage struct {
	seq     uint64 // the Persist that holds that hard state
	message Message
}

// hardStateSeq is the Seq of the Persist that holds the present hard state. Effects may not
// have returned it yet.
func (p *persistState) hardStateSeq() uint64 {
	if p.hardStateDirty {
		return p.lastSeq + 1
	}
	return p.hardStatePersistingSeq
}

// hardStateDurable tells whether the present hard state is on disk.
func (p *persistState) hardStateDurable() bool { return p.hardStateSeq() <= p.durableSeq }

// diskIdle tells whether nothing is on its way to disk, the present hard state included.
func (p *persistState) diskIdle() bool {
	return p.lastSeq <= p.durableSeq && p.hardStateDurable()
}

// tick counts for how long the disk has finished nothing.
func (p *persistState) tick() {
	if p.waiting++; p.diskIdle() {
		p.waiting = 0
	}
}

// setHardState changes term and vote (paper, figure 2).
func (r *Raft) setHardState(term Term, vote NodeID) {
	assertf(term > r.term || (term == r.term && (r.vote == None || r.vote == vote)),
		"%s goes from term %d vote %s to term %d vote %s", r.id, r.term, r.vote, term, vote)
	if term == r.term && vote == r.vote {
		return
	}
	if vote != r.vote {
		r.timer.sinceVote, r.timer.votePersist = 0, 0
	}
	r.term, r.vote = term, vote
	r.persist.hardStateDirty = true
}

// takePersist returns what has changed since the last Persist, or nil.
func (r *Raft) takePersist() *Persist {
	p := &r.persist
	entries := r.log.unpersisted()
	if !p.hardStateDirty && len(entries) == 0 && p.logReset == nil {
		return nil
	}
	p.lastSeq++
	persist := &Persist{Seq: p.lastSeq, Snapshot: p.logReset, Entries: entries}
	if p.hardStateDirty {
		persist.HardState = &HardState{Term: r.term, Vote: r.vote, LeaseGrant: r.leaseGrant, LostLog: r.lostLog}
		p.hardStateDirty, p.hardStatePersistingSeq = false, p.lastSeq
	}
	p.logReset = nil
	r.log.startPersist(p.lastSeq)
	return persist
}

// Persisted reports that every Persist up to and with seq is durable.
func (r *Raft) Persisted(seq uint64) {
	p := &r.persist
	assertf(seq <= p.lastSeq, "%s: persisted %d of %d", r.id, seq, p.lastSeq)
	if seq <= p.durableSeq {
		return
	}
	hardStateWas := p.hardStateDurable()
	p.durableSeq, p.waiting = seq, 0
	r.log.persisted(seq)
	r.sendDurable()
	if !hardStateWas && p.hardStateDurable() && r.vote != None {
		r.onVoteDurable()
	}
	switch r.role {
	case Leader:
		r.maybeCommit()
	case Follower:
		r.acknowledgeDurable()
	}
}

// send queues m for the next Effects. A message leaves only when the term and the vote that
// it was sent under are durable (paper, figure 2: "updated on stable storage before
// responding to RPCs"), because after a crash the node would not know of them. RequestVote is
// no response: it leaves at once, so that the disks of the voters work while the candidate's
// does, as in thesis 10.2.1.
func (r *Raft) send(m Message) {
	h := m.Head()
	h.From, h.Term = r.id, r.term
	if h.To == r.id || h.To == None {
		failf("%s sends to %s", r.id, h.To)
	}
	if !r.persist.hardStateDurable() && m.Kind() != KindRequestVote {
		r.persist.sendWhenDurable(m)
		return
	}
	r.effects.Messages = append(r.effects.Messages, m)
}

// sendWhenDurable keeps m back until the present hard state is durable. A disk may hang for
// ever, so of each kind at most one message waits for each peer. m replaces the one before
// it, which counts as lost. That is safe, as with every message. It rarely costs anything: the
// newest answer of a kind says all that the earlier ones did. Only an AppendEntries may have
// held entries that m lacks. They are sent again when the peer rejects m. A leader keeps one
// back only when it forgets a lease of before its start (see shrinkLeaseGrant).
func (p *persistState) sendWhenDurable(m Message) {
	p.pendingDurable = slices.DeleteFunc(p.pendingDurable, func(was pendingMessage) bool {
		return was.message.Kind() == m.Kind() && was.message.Head().To == m.Head().To
	})
	p.pendingDurable = append(p.pendingDurable, pendingMessage{p.hardStateSeq(), m})
}

// sendDurable sends what waited for the Persists that are durable now. Messages of an older
// term are dropped, since no node waits for them any more.
func (r *Raft) sendDurable() {
	p := &r.persist
	n := 0
	for n < len(p.pendingDurable) && p.pendingDurable[n].seq <= p.durableSeq {
		if m := p.pendingDurable[n].message; m.Head().Term == r.term {
			r.effects.Messages = append(r.effects.Messages, m)
		}
		n++
	}
	p.pendingDurable = p.pendingDurable[n:]
}
