package raft

import "balsa.example/raft/quorum"

// becomeLeader opens a reign: every peer is probed, and an empty entry of the new
// term commits what earlier terms left (paper, 5.4.2 and section 8).
func (r *Raft) becomeLeader() {
	assertf(r.leader == None && r.vote == r.id && r.persistedSeq >= r.hardStateSeq(), "%s: leads from %s", r.id, r.role)
	r.role, r.leader, r.votes, r.preVotes = Leader, r.id, nil, nil
	r.leaderChanges++
	r.electionElapsed, r.heartbeatElapsed = 0, 0
	r.round, r.roundWanted = 0, true
	for _, id := range r.configuration().Members() {
		if id != r.id {
			r.peers = append(r.peers, &progress{id: id, next: r.log.last() + 1, active: true})
		}
	}
	r.pendingBytes = r.log.bytes(r.applied+1, r.log.last())
	r.ownDisk.wasFull = r.logFull()
	r.appendOwn(EntryNoop, nil)
}

func (r *Raft) tickLeader() {
	if r.electionElapsed >= r.cfg.ElectionTimeoutTicks {
		r.electionElapsed = 0
		if !r.quorumActive() {
			r.becomeFollower(r.term, None)
			return
		}
	}
	r.tickTransfer()
	r.watchOwnDisk()
	r.heartbeatElapsed++
	if r.heartbeatElapsed >= r.cfg.HeartbeatTicks {
		// Rounds for reads do not put this off: they would put off what is tried again
		// here for as long as somebody reads.
		r.roundWanted, r.heartbeatElapsed = true, 0
		for _, p := range r.peers {
			switch {
			case p.state == probe && p.probeSent: // the probe, or its answer, may be lost
				p.next, p.probeSent = p.probePrev+1, false
			case p.state == snapshot && p.snapshotFailed: // it was not stored: try again
				p.becomeProbe(p.match + 1)
			}
		}
	}
}

// quorumActive is CheckQuorum: a leader that hears from no majority steps down, so
// that its clients look elsewhere (thesis 6.2). Whoever was heard right after one check
// counts at the next, so it may take two election timeouts to notice.
func (r *Raft) quorumActive() bool {
	heard := map[NodeID]bool{r.id: true}
	for _, p := range r.peers {
		heard[p.id] = p.active
		p.active, p.wasActive = false, p.active
	}
	return r.configuration().Voters.VoteResult(heard) == quorum.VoteWon
}

// flushLeader sends what waits: entries within each peer's window, and to everybody
// a round if one is wanted.
func (r *Raft) flushLeader() {
	if r.roundWanted {
		r.roundWanted = false
		r.round++
		r.roundTimes.add(r.round, r.now)
		r.finishReads() // a single voter acknowledges itself
	}
	for _, p := range r.peers {
		r.sendAppends(p)
	}
	r.maybeSendTimeoutNow()
}

// sendAppends sends p what it may get now. A round that p has not seen goes along,
// or alone in an empty append.
func (r *Raft) sendAppends(p *progress) {
	if p.state != snapshot && p.state != lost && p.next <= r.log.base {
		p.becomeSnapshot()
		r.snapshotsWanted = append(r.snapshotsWanted, Header{From: r.id, To: p.id, Term: r.term})
	}
	sent := false
	for p.next <= r.log.last() && p.maySend(&r.cfg) {
		entries := r.log.sliceBytes(p.next, r.cfg.MaxAppendBytes)
		r.sendAppend(p, p.next-1, entries)
		sent = true
	}
	if sent || p.sentRound == r.round {
		return
	}
	switch p.state {
	case snapshot, lost: // any prev will do that the log still knows
		r.sendAppend(p, r.log.base, nil)
	default:
		r.sendAppend(p, p.next-1, nil)
	}
}

// maySend tells whether entries may go now.
func (p *progress) maySend(cfg *Config) bool {
	switch p.state {
	case probe:
		return !p.probeSent
	case replicate:
		return !p.window.full(cfg)
	default:
		return false
	}
}

func (r *Raft) sendAppend(p *progress, prev Index, entries []Entry) {
	term, ok := r.log.term(prev)
	if !ok {
		failf("%s: no term for %d before %s's next %d; the log is %d to %d", r.id, prev, p.id, p.next, r.log.base+1, r.log.last())
	}
	r.send(&AppendEntries{
		Header: Header{To: p.id}, PrevIndex: prev, PrevTerm: term, Entries: entries, Commit: r.commit, Round: r.round,
	})
	p.sentRound = r.round
	last := prev + Index(len(entries))
	switch {
	case p.state == probe && !p.probeSent:
		p.probePrev, p.probeSent, p.next = prev, true, last+1
	case p.state == replicate && len(entries) > 0:
		p.next = last + 1
		p.window.add(last, r.log.bytes(prev+1, last))
	}
}

// recordAck takes note that p still follows in this term.
func (r *Raft) recordAck(p *progress, round Round) {
	p.active = true
	if round > p.ackedRound {
		assertf(round <= r.round, "%s: %s acknowledges round %d of %d", r.id, p.id, round, r.round)
		p.ackedRound = round
		r.finishReads()
	}
}

func (r *Raft) onAppendEntriesReply(m *AppendEntriesReply) {
	p := r.peer(m.From)
	if p == nil {
		return // not a member any more
	}
	if m.Match > r.log.last() {
		r.stepDown()
		return
	}
	if p.state == lost {
		r.shutOut(p)
		return
	}
	r.recordAck(p, m.Round)
	p.clearSuspicion(m)
	r.extendLease(p, m)
	advanced := m.Match > p.match
	if advanced {
		p.match, p.matchRound = m.Match, r.round
		p.window.release(m.Match)
	}
	switch p.state {
	case probe:
		// The logs agree. If nothing is there of what was sent along it is not on disk yet, or
		// the peer has no room for it (see congested) and gets it again with the next heartbeat.
		// Any part of it will do: an answer to all of it can be later than the next heartbeat,
		// always, where the network or the disk is that slow, and by then there is more.
		if p.match+1 >= p.next || p.probeSent && p.match > p.probePrev {
			p.becomeReplicate()
		}
	case replicate:
		p.next = max(p.next, p.match+1)
	case snapshot:
		if p.match >= r.log.base {
			p.becomeProbe(p.match + 1)
		}
	}
	if advanced {
		r.maybeCommit()
	}
}

// onAppendEntriesReject goes back to where the logs may agree: to the end of the
// follower's log, or past a whole term that differs (paper, 5.3).
func (r *Raft) onAppendEntriesReject(m *AppendEntriesReject) {
	p := r.peer(m.From)
	if p == nil {
		return
	}
	if p.state == lost {
		r.shutOut(p)
		return
	}
	r.recordAck(p, m.Round)
	switch {
	case p.provesLoss(m):
		r.suspect(p)
		return
	case m.PrevIndex <= p.match: // overtaken by what was acknowledged since
		return
	case p.state == snapshot:
		return
	case p.state == probe && (!p.probeSent || m.PrevIndex != p.probePrev): // not the probe under way
		return
	}
	next := m.ConflictIndex
	if m.ConflictTerm != 0 {
		if last := r.log.lastOfTerm(m.ConflictTerm, m.PrevIndex); last > r.log.base && r.log.matches(last, m.ConflictTerm) {
			next = last + 1
		}
	}
	p.becomeProbe(min(next, m.PrevIndex))
}

// maybeCommit commits what a majority has on disk, if it is of the leader's own
// term: an older entry on a majority can still be replaced (paper, 5.4.2, figure 8).
func (r *Raft) maybeCommit() {
	index := r.configuration().Voters.CommittedIndex(r.durableAt)
	if index <= r.commit || !r.log.matches(index, r.term) {
		return
	}
	r.commit = index
	r.startDeferredReads()
}

// durableAt is how much of the leader's log a member has on disk. The leader's own
// disk counts like any other (thesis 10.2.1).
func (r *Raft) durableAt(id NodeID) Index {
	if id == r.id {
		return r.log.stable
	}
	if p := r.peer(id); p != nil && p.trusted() {
		return p.match
	}
	return 0
}

// onSecondLeader: election safety (paper, figure 3) makes it impossible.
func (r *Raft) onSecondLeader(m Message) {
	assertf(false, "%s leads term %d and hears from another leader: %s", r.id, r.term, m)
}

// SnapshotSent answers Effects.Snapshots: the peer has stored the snapshot that ends
// at index, or (ok false) has not.
func (r *Raft) SnapshotSent(to NodeID, index Index, ok bool) {
	p := r.peer(to)
	if p == nil || p.state != snapshot {
		return
	}
	switch {
	case !ok:
		p.snapshotFailed = true // for the next heartbeat
	case index > r.log.last():
		r.stepDown()
	default:
		p.becomeProbe(index + 1)
	}
}

// stepDown is called when a peer has more from this leader than it has itself. It can
// be so once: a later leader's snapshot was stored here, and sent on to the peer,
// before the message about it was stepped. That message tells the later term.
func (r *Raft) stepDown() { r.becomeFollower(r.term, None) }
