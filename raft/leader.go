package raft

import (
	"cmp"
	"slices"

	"balsa.example/raft/quorum"
)

// leaderState is what a node keeps while it leads.
type leaderState struct {
	peers            []*progress // the other members, by id, and some that were removed
	heartbeatElapsed int         // ticks since the last heartbeat
	// tickedCommit is what was applied at the last tick, dueCommit at the one before: every peer
	// is to know that.
	tickedCommit, dueCommit Index
	// round is the latest that was begun. roundWanted tells that the next Effects begins
	// another one.
	round       Round
	roundWanted bool
	roundTimes  roundTimes
	// everywhere is the highest index known that every full voter has the log up to on disk. It is
	// kept while there are witnesses.
	everywhere Index
	// pendingBytes is the size of the entries that are not applied.
	pendingBytes int
	ownDisk      diskWatch
	// stateWanted counts the ticks for which a peer needs the own state, and that is damaged.
	stateWanted int
	transfer    transfer
	// reads wait for a quorum to acknowledge a round, oldest first; deferredReads wait for the
	// first commit of this term.
	reads, deferredReads []pendingRead
}

// becomeLeader begins to lead the term. Every peer is probed. An empty entry of the new term
// commits what earlier terms left (paper, 5.4.2 and section 8).
func (r *Raft) becomeLeader() {
	assertf(r.leaderID == None && r.vote == r.id && r.candidate.votes[r.id], "%s: leads from %s", r.id, r.role)
	r.role, r.leaderID = Leader, r.id
	r.leaderChanges++
	r.timer.elapsed = 0
	r.candidate = candidateState{yielded: r.candidate.yielded}
	r.leader = leaderState{
		roundWanted:  true,
		pendingBytes: r.log.bytes(r.applied+1, r.log.last()),
	}
	r.updatePeers(r.confs)
	noop := r.appendOwn(EntryNoop, nil)
	for _, p := range r.leader.peers {
		p.active, p.catchUp.roundEnd = true, noop
	}
}

// stepDown is called when a peer has more of the log than this leader has itself. That can
// happen once: a later leader's snapshot was stored on this node, and sent on to the peer,
// before the message about it was stepped here. That message tells of the later term.
func (r *Raft) stepDown() { r.becomeFollower(r.term, None) }

// onSecondLeader: a term has at most one leader (election safety; paper, figure 3).
func (r *Raft) onSecondLeader(m Message) {
	assertf(false, "%s leads term %d and hears from another leader: %s", r.id, r.term, m)
}

// Propose appends an operation to the leader's log and returns its index. That index and the
// present term name the operation for good; another entry at that index means that the
// operation is lost. The core keeps data, which must not be written to any more.
//
// It returns ErrNotLeader, ErrTooLarge, ErrTransferring or ErrBusy.
func (r *Raft) Propose(data []byte) (Index, error) { return r.propose(EntryCommand, data) }

// ProposeForwarded is Propose for an operation that another node has forwarded (see
// EntryForwarded).
func (r *Raft) ProposeForwarded(from NodeID, data []byte) (Index, error) {
	index, err := r.propose(EntryForwarded, data)
	if p := r.peer(from); p != nil && err == nil {
		p.forwarded = index
	}
	return index, err
}

func (r *Raft) propose(kind EntryKind, data []byte) (Index, error) {
	switch pending := r.leader.pendingBytes; {
	case r.role != Leader || r.cfg.Witness: // a witness leads only to hand over
		return 0, ErrNotLeader
	case len(data) > r.cfg.MaxEntryBytes && kind != EntryConfiguration: // that has its own bound
		return 0, ErrTooLarge
	case r.leader.transfer.to != None:
		return 0, ErrTransferring
	case pending+len(data) > r.cfg.MaxPendingBytes && pending > 0 && kind != EntryConfiguration, r.diskBehind(len(data)), r.logFull(),
		kind != EntryConfiguration && r.needsFullWitness():
		return 0, ErrBusy
	}
	return r.appendOwn(kind, data), nil
}

// appendOwn appends an entry to the leader's own log. A leader never overwrites or deletes
// entries of its log (paper, 5.3).
func (r *Raft) appendOwn(kind EntryKind, data []byte) Index {
	e := Entry{Term: r.term, Index: r.log.last() + 1, Kind: kind, Data: data}
	r.log.append([]Entry{e})
	r.leader.pendingBytes += e.Size()
	if kind == EntryConfiguration {
		r.appendConfiguration(e)
	}
	return e.Index
}

func (r *Raft) tickLeader() {
	if r.timer.elapsed >= r.cfg.ElectionTimeoutTicks {
		r.timer.elapsed = 0
		switch {
		case !r.quorumActive():
			r.becomeFollower(r.term, None)
			return
		case r.machineHinders():
			r.standAside()
			return
		}
	}
	r.tickTransfer()
	r.watchOwnDisk()
	r.watchOwnState()
	r.dropRemovedPeers()
	l := &r.leader
	l.dueCommit, l.tickedCommit = l.tickedCommit, r.applied
	for _, p := range l.peers {
		p.catchUp.tick(p.match, r.log.last(), r.cfg.ElectionTimeoutTicks)
	}
	l.heartbeatElapsed++
	if l.heartbeatElapsed >= r.cfg.HeartbeatTicks {
		// Only a heartbeat resets heartbeatElapsed. If the rounds of reads did as well, nothing
		// would be sent again while there are reads.
		l.roundWanted, l.heartbeatElapsed = true, 0
		for _, p := range l.peers {
			p.retry()
		}
		r.release()
	}
}

// quorumActive is CheckQuorum: a leader that hears from no majority steps down, so that its
// clients look for another one (thesis 6.2). A peer heard right after one check still counts
// at the next, so it may take two election timeouts to notice. A leader whose own disk hangs counts as
// well: it serves reads, and whom it keeps from committing leaves it (see stall).
func (r *Raft) quorumActive() bool {
	active := map[NodeID]bool{r.id: true}
	for _, p := range r.leader.peers {
		active[p.id] = p.active
		p.active, p.wasActive = false, p.active
	}
	return r.configuration().Voters.VoteResult(active) == quorum.VoteWon
}

// flushLeader sends what waits: to each peer the entries that fit into its window, and to all
// a new round if one is wanted.
func (r *Raft) flushLeader() {
	if l := &r.leader; l.roundWanted {
		l.roundWanted = false
		l.round++
		l.roundTimes.add(l.round, r.now)
		r.finishReads() // a sole voter needs no acknowledgement
	}
	for _, p := range r.leader.peers {
		r.sendAppends(p)
	}
	r.maybeSendTimeoutNow()
}

// maybeCommit commits what a majority has on disk, if it is of the leader's own term: an older
// entry can still be replaced, even if a majority has it (paper, 5.4.2, figure 8).
func (r *Raft) maybeCommit() {
	index := r.configuration().Voters.CommittedIndex(r.durableAt)
	if index <= r.commit || !r.log.matches(index, r.term) {
		return
	}
	r.commit = index
	r.noteCommitted()
	r.startDeferredReads()
}

// durableAt is how much of the leader's log a member has on disk. The leader's own disk counts
// like any other (thesis 10.2.1).
func (r *Raft) durableAt(id NodeID) Index {
	if id == r.id {
		return r.log.stable
	}
	if p := r.peer(id); p != nil && p.trusted() {
		return p.match
	}
	return 0
}

func comparePeer(p *progress, id NodeID) int { return cmp.Compare(p.id, id) }

// peer returns what the leader knows of a member, or of one that was removed a short time ago. It is
// nil if this node does not lead, or id is none of these.
func (r *Raft) peer(id NodeID) *progress {
	i, ok := slices.BinarySearchFunc(r.leader.peers, id, comparePeer)
	if !ok {
		return nil
	}
	return r.leader.peers[i]
}
