package raft

import "slices"

// Effects is what the core wants done. Its parts do not wait for each other; what
// has to wait for a write is not in Effects before Persisted. Whoever gets it owns
// its slices; entries and messages are shared and must not be written to.
type Effects struct {
	// Persist, if not nil, is to be made durable after all earlier Persists, and then
	// reported by Persisted. Several that wait may be made durable together.
	Persist *Persist
	// Messages may be sent at once. Losing any is safe.
	Messages []Message
	// Snapshots are headers of InstallSnapshot messages to be sent with the newest
	// durable snapshot; each is to be answered with SnapshotSent.
	Snapshots []Header
	// Restore, if not nil, says that the state machine is to be replaced by the
	// snapshot with this meta, after everything committed so far has been applied or
	// skipped, and before Committed. Report with Applied(Restore.Index).
	Restore *SnapshotMeta
	// Committed is to be applied in order, each entry once, after all earlier ones.
	// Report with Applied. Every entry in it is committed: durable on a majority, which
	// need not include this node (thesis 10.2.1). So the state machine may be ahead of
	// the log on this node's disk.
	Committed []Entry
	// Reads are ReadIndex calls that came to an end.
	Reads []ReadState
	// ShutOut are members that were found to have lost what they had acknowledged: people
	// should know.
	ShutOut []NodeID
}

// ReadState is the end of a ReadIndex call. If OK, a state machine that has
// applied Index reflects all that was acknowledged before the call. If not, the
// call failed and may be repeated.
type ReadState struct {
	ID    ReadID
	Index Index
	OK    bool
}

// Empty tells whether there is nothing to do.
func (e *Effects) Empty() bool {
	return e.Persist == nil && len(e.Messages) == 0 && len(e.Snapshots) == 0 &&
		e.Restore == nil && len(e.Committed) == 0 && len(e.Reads) == 0 && len(e.ShutOut) == 0
}

// pendingMessage is a message that may leave only when the hard state that it was sent
// under is durable.
type pendingMessage struct {
	seq     uint64 // the Persist that holds that hard state
	message Message
}

// send queues m. A message leaves only when the term and vote it was sent under
// are durable (paper, figure 2: "updated on stable storage before responding to
// RPCs"); then it cannot be disowned by a crash. A RequestVote responds to nobody: the
// voters' disks work while the candidate's does, as in thesis 10.2.1.
func (r *Raft) send(m Message) {
	h := m.Head()
	h.From, h.Term = r.id, r.term
	if h.To == r.id || h.To == None {
		failf("%s sends to %s", r.id, h.To)
	}
	if seq := r.hardStateSeq(); seq > r.persistedSeq && m.Kind() != KindRequestVote {
		r.sendWhenDurable(seq, m)
		return
	}
	r.outbox = append(r.outbox, m)
}

// sendWhenDurable keeps m back until the Persist seq is durable. At most one message of
// each kind waits for each peer, because a disk may hang for ever: m replaces the one
// before it, as the newest message of a kind says all that the earlier ones did.
func (r *Raft) sendWhenDurable(seq uint64, m Message) {
	r.pendingDurable = slices.DeleteFunc(r.pendingDurable, func(p pendingMessage) bool {
		return p.message.Kind() == m.Kind() && p.message.Head().To == m.Head().To
	})
	r.pendingDurable = append(r.pendingDurable, pendingMessage{seq, m})
}

// hardStateSeq is the Seq of the Persist that holds the present hard state. It may
// be one that Effects has not returned yet.
func (r *Raft) hardStateSeq() uint64 {
	if r.hardStateDirty {
		return r.seq + 1
	}
	return r.hardStatePersistingSeq
}

// setHardState changes term and vote. Paper, figure 2.
func (r *Raft) setHardState(term Term, vote NodeID) {
	assertf(term > r.term || (term == r.term && (r.vote == None || r.vote == vote)),
		"%s goes from term %d vote %s to term %d vote %s", r.id, r.term, r.vote, term, vote)
	if term == r.term && vote == r.vote {
		return
	}
	if vote != r.vote {
		r.sinceVote, r.votePersistTicks = 0, 0
	}
	r.term, r.vote = term, vote
	r.hardStateDirty = true
}

// Effects returns what is to be done since the last call.
func (r *Raft) Effects() Effects {
	if r.role == Leader {
		r.flushLeader()
	}
	e := Effects{
		Persist:   r.takePersist(),
		Messages:  r.outbox,
		Snapshots: r.snapshotsWanted,
		Reads:     r.readsDone,
		ShutOut:   r.shutOuts,
	}
	r.outbox, r.snapshotsWanted, r.readsDone, r.shutOuts = nil, nil, nil, nil
	e.Restore, e.Committed = r.takeCommitted()
	r.checkInvariants()
	return e
}

func (r *Raft) takePersist() *Persist {
	entries := r.log.unpersisted()
	if !r.hardStateDirty && len(entries) == 0 && r.logReset == nil {
		return nil
	}
	r.seq++
	p := &Persist{Seq: r.seq, Snapshot: r.logReset, Entries: entries}
	if r.hardStateDirty {
		p.HardState = &HardState{Term: r.term, Vote: r.vote, LeaseGrant: r.leaseGrant, LostLog: r.lostLog}
		r.hardStateDirty = false
		r.hardStatePersistingSeq = r.seq
	}
	r.logReset = nil
	r.log.startPersist(r.seq)
	return p
}

// takeCommitted moves the apply cursor over what is committed.
//
// It does not wait for this node's own disk: what a majority holds is executed and
// answered, whosever disk is late. A restart then finds a log that ends before what was
// executed, or one that a later leader's entries had replaced in memory only. That costs
// nothing: what the state machine keeps of its own is a snapshot, which names index and
// term, and the log on disk counts only behind an entry of that index and term (State).
func (r *Raft) takeCommitted() (restore *SnapshotMeta, committed []Entry) {
	restore, r.restore = r.restore, nil
	if restore != nil {
		r.applying = restore.Index
	}
	if r.commit > r.applying {
		committed = r.log.slice(r.applying+1, r.commit)
		r.applying = r.commit
	}
	return restore, committed
}

// Persisted reports that every Persist up to and with seq is durable.
func (r *Raft) Persisted(seq uint64) {
	assertf(seq <= r.seq, "%s: persisted %d of %d", r.id, seq, r.seq)
	if seq <= r.persistedSeq {
		return
	}
	saved := r.hardStateSeq() > r.persistedSeq && r.hardStateSeq() <= seq
	r.persistedSeq = seq
	r.log.persisted(seq)
	n := 0
	for n < len(r.pendingDurable) && r.pendingDurable[n].seq <= seq {
		if m := r.pendingDurable[n].message; m.Head().Term == r.term { // else nobody waits for it
			r.outbox = append(r.outbox, m)
		}
		n++
	}
	r.pendingDurable = r.pendingDurable[n:]
	if saved && r.vote != None {
		r.onVoteDurable()
	}
	switch r.role {
	case Leader:
		r.maybeCommit()
	case Follower:
		r.acknowledgeDurable()
	}
}

// Applied reports that the state machine reflects everything up to index.
func (r *Raft) Applied(index Index) {
	assertf(index <= r.applying, "%s: applied %d of %d handed out", r.id, index, r.applying)
	if index <= r.applied {
		return
	}
	bytes := r.log.bytes(r.applied+1, index)
	if r.role == Leader {
		r.pendingBytes -= bytes
	}
	r.applied = index
	r.appliedBytes += bytes
}

// Compact drops entries up to and with index from the log in memory. A durable
// snapshot must cover them, and they must have been applied.
func (r *Raft) Compact(index Index) {
	assertf(index <= r.applied && index <= r.log.stable, "%s: compact %d beyond applied %d or durable %d", r.id, index, r.applied, r.log.stable)
	if index > r.log.base {
		before := r.log.size
		r.log.compact(index)
		r.appliedBytes -= before - r.log.size
		r.confs.compact(index)
	}
}

// LimitLog bounds the part of the log that has been applied and not compacted, in the
// measure of Entry.Size; 0 means no bound. Beyond it a leader takes no proposals, and a
// follower no entries, until Compact has made room.
func (r *Raft) LimitLog(bytes int) { r.maxAppliedBytes = bytes }

// AppliedBytes is the size of the part of the log that LimitLog bounds.
func (r *Raft) AppliedBytes() int { return r.appliedBytes }
