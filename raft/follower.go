package raft

// follow takes m.From as the leader of the present term. There is only one, so a
// candidate that hears from it has lost.
func (r *Raft) follow(leader NodeID) {
	if r.role != Follower || r.leader != leader {
		assertf(r.leader == None || r.leader == leader, "%s: term %d has leaders %s and %s", r.id, r.term, r.leader, leader)
		r.becomeFollower(r.term, leader)
	}
	r.electionElapsed, r.sinceLeader = 0, 0
	r.sinceVote, r.votePersistTicks = r.cfg.ElectionTimeoutTicks, 0 // what the vote came to is known
	if r.timeoutShortened {
		r.resetElectionTimer()
	}
}

// onAppendEntries is AppendEntries RPC, receiver implementation (paper, figure 2).
func (r *Raft) onAppendEntries(m *AppendEntries) {
	r.follow(m.From)
	newRound := m.Round > r.seenRound
	r.seenRound = max(r.seenRound, m.Round)

	prev, term, entries := skipCommitted(m, r.commit)
	if prev >= r.commit && !r.log.matches(prev, term) {
		r.reject(m)
		return
	}
	if r.congested(prev, entries) {
		entries = nil // as if this were a heartbeat; the leader will send them again
	}
	r.appendFromLeader(entries)
	r.matched = max(r.matched, prev+Index(len(entries)))
	if m.Commit >= r.commit { // the leader has at least what is committed here
		r.matched = max(r.matched, r.commit)
	}
	r.commitTo(m.Commit)

	// What it adds is acknowledged when it is on disk. A round needs no disk.
	if newRound || len(m.Entries) == 0 || r.matched <= r.log.stable {
		r.acknowledge()
	}
}

// congested tells whether entries behind prev are more than this node wants to hold.
// Without a bound the log would grow until memory ends. Each reason passes by itself:
//
//   - the disk is behind by MaxUnstableBytes, and has to catch up;
//   - the log that was applied is full (see LimitLog), and has to be compacted. What a
//     new leader needs to commit the first entry of its term is taken all the same: it
//     could serve no reads without (thesis 6.4);
//   - the state machine is behind by MaxUnappliedBytes, because it is slow or restores
//     a snapshot. That counts only while there is something committed to apply: what is
//     here and not committed may need more entries to become so. The log that this node
//     started with is there anyway, and does not count: a majority may need more before
//     it has replayed that.
func (r *Raft) congested(prev Index, entries []Entry) bool {
	switch {
	case len(entries) == 0:
		return false
	case r.diskBehind(sizeOf(entries)), r.logFull() && r.log.lastTerm() == r.term:
		return true
	case r.applied >= r.commit:
		return false
	}
	return r.log.bytes(max(r.applied, r.log.loadedTo)+1, prev)+sizeOf(entries) > r.cfg.MaxUnappliedBytes
}

// skipCommitted drops the part of m at or below commit. It equals what is here
// (log matching), may be compacted away here, and must never be the cause of a
// truncation: a delayed append would otherwise take back what was acknowledged.
//
// A leader can lack what is committed here in one case. The schedule: leader C of
// term 3 commits entry 10 of term 1; follower E, still in term 2, stores C's snapshot
// at 10, and crashes before it hears of term 3; restarted, it hears from the deposed
// leader B of term 2. So E claims no more to be equal than what B has sent.
func skipCommitted(m *AppendEntries, commit Index) (prev Index, term Term, entries []Entry) {
	prev, term, entries = m.PrevIndex, m.PrevTerm, m.Entries
	for prev < commit && len(entries) > 0 {
		prev, term, entries = entries[0].Index, entries[0].Term, entries[1:]
	}
	return prev, term, entries
}

// appendFromLeader adds what is new, and removes what conflicts with it, an entry
// of the same index and another term (paper, figure 2, steps 3 and 4).
func (r *Raft) appendFromLeader(entries []Entry) {
	for len(entries) > 0 && r.log.matches(entries[0].Index, entries[0].Term) {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return
	}
	if first := entries[0].Index; first <= r.log.last() {
		assertf(first > r.commit, "%s: entry %d conflicts below the commit index %d", r.id, first, r.commit)
		assertf(first > r.matched, "%s: entry %d conflicts below the leader's own %d", r.id, first, r.matched)
		r.log.truncate(first)
		r.confs.truncate(first)
	}
	r.log.append(entries)
	err := r.confs.append(entries)
	assertf(err == nil, "%s: %v", r.id, err)
}

// reject tells the leader how far back to look (paper, 5.3).
func (r *Raft) reject(m *AppendEntries) {
	reject := &AppendEntriesReject{Header: Header{To: m.From}, PrevIndex: m.PrevIndex, Round: r.seenRound}
	if term, ok := r.log.term(m.PrevIndex); ok {
		reject.ConflictTerm = term
		// Below the commit index there is no conflict to look for.
		reject.ConflictIndex = max(r.log.firstOfTerm(term), r.commit+1)
	} else {
		reject.ConflictIndex = r.log.last() + 1
	}
	r.send(reject)
}

// commitTo follows the leader's commit index, as far as this log is known to equal
// the leader's (paper, figure 2, step 5: the index of the last new entry).
func (r *Raft) commitTo(index Index) {
	r.commit = max(r.commit, min(index, r.matched))
}

// acknowledge tells the leader how much of its log is durable here, and grants it a lease.
func (r *Raft) acknowledge() {
	r.acknowledged = min(r.matched, r.log.stable)
	r.send(&AppendEntriesReply{Header: Header{To: r.leader}, Match: r.acknowledged, Round: r.seenRound, LeaseGrant: r.grantLease()})
}

// acknowledgeDurable is called when writes have ended.
func (r *Raft) acknowledgeDurable() {
	if r.leader != None && min(r.matched, r.log.stable) > r.acknowledged {
		r.acknowledge()
	}
}

// onInstallSnapshot takes over a snapshot whose data is durable here already
// (paper, figure 13). The log goes on behind it; if the log holds the snapshot's
// last entry anyway, only the commit index moves.
func (r *Raft) onInstallSnapshot(m *InstallSnapshot) {
	r.follow(m.From)
	meta := m.Meta
	switch {
	case meta.Index <= r.commit:
		r.matched = max(r.matched, meta.Index)
	case r.log.matches(meta.Index, meta.Term):
		r.matched = max(r.matched, meta.Index)
		r.commitTo(meta.Index)
	default:
		r.resetToSnapshot(meta)
	}
	r.acknowledge()
}

// resetToSnapshot begins the log anew behind a snapshot.
func (r *Raft) resetToSnapshot(meta SnapshotMeta) {
	r.log.resetToSnapshot(meta)
	r.confs = configurations{{meta.Index, meta.Configuration}}
	r.commit, r.matched = meta.Index, meta.Index
	r.applying, r.appliedBytes = meta.Index, 0
	r.logReset, r.restore = &meta, &meta
}
