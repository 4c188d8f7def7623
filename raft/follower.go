package raft

// followerState is what a node keeps while it follows one leader, or none, in one term.
type followerState struct {
	// matched: the log up to there is known to equal the leader's. acknowledged is what of that
	// the leader was told to be durable here.
	matched, acknowledged Index
	// leaderLast is the highest index that the leader's log is known to have reached, and leaderCommit
	// the highest that it is known to have committed. This log may not reach there yet.
	leaderLast, leaderCommit Index
	// unheard, if above 0, tells that the leader has sent what this node has acknowledged, within the last
	// election timeout: it does not get the answers. It counts ticks down.
	unheard int
	// refuses tells that this node had no room for the last entries that the leader sent.
	refuses bool
	// seenRound is the latest round of the leader.
	seenRound Round
	// forwardedReads wait for the leader's answer, oldest first.
	forwardedReads []forwardedRead
}

// becomeFollower enters a term, or steps back to following within the term. leader is None
// if it is not known.
func (r *Raft) becomeFollower(term Term, leader NodeID) {
	newTerm := term > r.term
	if newTerm || r.leaderID != leader {
		r.failForwardedReads()
		r.follower = followerState{}
		if leader != None {
			r.leaderChanges++
		}
	}
	if r.role != Follower || leader != None {
		r.resetElectionTimer()
	}
	if newTerm || leader != None {
		r.candidate = candidateState{} // its campaign is over
	}
	r.candidate.preVotes = nil
	r.failReads()
	r.leader = leaderState{}
	vote := r.vote
	if newTerm {
		vote = None
	}
	r.setHardState(term, vote)
	r.role, r.leaderID = Follower, leader
}

// follow takes another node as the leader of the present term. A term has only one leader, so
// a candidate that hears from it has lost (paper, 5.2).
func (r *Raft) follow(leader NodeID) {
	if r.role != Follower || r.leaderID != leader {
		assertf(r.leaderID == None || r.leaderID == leader, "%s: term %d has leaders %s and %s", r.id, r.term, r.leaderID, leader)
		r.becomeFollower(r.term, leader)
	}
	t := &r.timer
	t.elapsed, t.sinceLeader = 0, 0
	t.sinceVote, t.votePersist = r.cfg.ElectionTimeoutTicks, 0 // the outcome of the vote is known
	if t.timeoutShortened {
		r.resetElectionTimer()
	}
}

// onAppendEntries is AppendEntries RPC, receiver implementation (paper, figure 2).
func (r *Raft) onAppendEntries(m *AppendEntries) {
	r.follow(m.From)
	f := &r.follower
	newRound := m.Round > f.seenRound
	f.seenRound = max(f.seenRound, m.Round)
	r.noteProgress(m)

	prev, term, entries := skipCommitted(m, r.commit)
	if prev >= r.commit && !r.log.matches(prev, term) {
		r.reject(m)
		return
	}
	if len(entries) > 0 {
		if f.refuses = r.congested(prev, entries); f.refuses {
			entries = nil // the leader will send them again
		}
	}
	r.appendFromLeader(entries)
	f.matched = max(f.matched, prev+Index(len(entries)))
	if m.Commit >= r.commit { // then the leader has all that is committed here
		f.matched = max(f.matched, r.commit)
	}
	r.commitTo(m.Commit)

	// New entries are acknowledged when they are on disk (acknowledgeDurable), a new round
	// at once.
	if newRound || len(m.Entries) == 0 || f.matched <= r.log.stable {
		r.acknowledge()
	}
}

// noteProgress notes what m tells of the leader: how far it is, and whether it hears this node.
func (r *Raft) noteProgress(m *AppendEntries) {
	f, last := &r.follower, m.PrevIndex+Index(len(m.Entries))
	f.leaderLast, f.leaderCommit = max(f.leaderLast, last, m.Commit), max(f.leaderCommit, m.Commit)
	if last < f.acknowledged || last == f.acknowledged && len(m.Entries) > 0 {
		f.unheard = r.cfg.ElectionTimeoutTicks
	}
}

// skipCommitted drops those entries of m that are at or below commit, and returns the others
// with the index and term of the entry before them. The dropped entries equal those of this
// node (log matching, paper 5.3), which may have compacted them. They must never lead to a
// truncation: a late append would then take back entries that were acknowledged.
//
// A leader can lack entries that are committed here. The schedule:
//
//  1. C, the leader of term 3, commits entry 10 of term 1.
//  2. E, a follower still in term 2, stores C's snapshot at 10, and crashes before it hears of
//     term 3.
//  3. E restarts, and hears from B, the deposed leader of term 2.
//
// So onAppendEntries takes no more than what m itself holds to be equal to the leader's log,
// unless the leader says that it has committed as much.
func skipCommitted(m *AppendEntries, commit Index) (prev Index, term Term, entries []Entry) {
	prev, term, entries = m.PrevIndex, m.PrevTerm, m.Entries
	for prev < commit && len(entries) > 0 {
		prev, term, entries = entries[0].Index, entries[0].Term, entries[1:]
	}
	return prev, term, entries
}

// appendFromLeader appends the entries that are new. It first removes those that conflict
// with them: the first entry of the same index and another term, and all behind it (paper,
// figure 2, AppendEntries steps 3 and 4).
func (r *Raft) appendFromLeader(entries []Entry) {
	for len(entries) > 0 && r.log.matches(entries[0].Index, entries[0].Term) {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return
	}
	taken := false // a configuration is taken back with its entry
	if first := entries[0].Index; first <= r.log.last() {
		assertf(first > r.commit, "%s: entry %d conflicts below the commit index %d", r.id, first, r.commit)
		assertf(first > r.follower.matched, "%s: entry %d conflicts, but the log equals the leader's up to %d", r.id, first, r.follower.matched)
		r.log.truncate(first)
		taken = r.confs.truncate(first)
	}
	r.log.append(entries)
	added, err := r.confs.append(entries)
	assertf(err == nil, "%s: %v", r.id, err)
	if taken || added {
		r.configurationChanged()
	}
}

// reject tells the leader how far back to look for the last entry that the logs share
// (paper, the end of 5.3).
func (r *Raft) reject(m *AppendEntries) {
	reject := &AppendEntriesReject{Header: Header{To: m.From}, PrevIndex: m.PrevIndex, Round: r.follower.seenRound}
	if term, ok := r.log.term(m.PrevIndex); ok {
		reject.ConflictTerm = term
		// Up to the commit index the logs do not differ.
		reject.ConflictIndex = max(r.log.firstOfTerm(term), r.commit+1)
	} else {
		reject.ConflictIndex = r.log.last() + 1
	}
	r.send(reject)
}

// commitTo raises the commit index to the leader's, as far as this log is known to equal the
// leader's (paper, figure 2, AppendEntries step 5: the index of the last new entry).
func (r *Raft) commitTo(index Index) {
	r.commit = max(r.commit, min(index, r.follower.matched))
	r.noteCommitted()
}

// acknowledge tells the leader how much of its log is durable here, and grants it a lease.
func (r *Raft) acknowledge() {
	f := &r.follower
	f.acknowledged = min(f.matched, r.log.stable)
	r.send(&AppendEntriesReply{Header: Header{To: r.leaderID}, Match: f.acknowledged, Round: f.seenRound, LeaseGrant: r.grantLease()})
}

// acknowledgeDurable tells the leader of entries that have become durable.
func (r *Raft) acknowledgeDurable() {
	if f := &r.follower; r.leaderID != None && min(f.matched, r.log.stable) > f.acknowledged {
		r.acknowledge()
	}
}

// onInstallSnapshot takes over a snapshot whose data is durable here already (paper, figure
// 13). If the log holds the last entry that the snapshot covers, the log stays as it is, and
// only the commit index moves.
func (r *Raft) onInstallSnapshot(m *InstallSnapshot) {
	r.follow(m.From)
	f, meta := &r.follower, m.Meta
	switch {
	case meta.Index <= r.commit:
		f.matched = max(f.matched, meta.Index)
	case r.log.matches(meta.Index, meta.Term):
		f.matched = max(f.matched, meta.Index)
		r.commitTo(meta.Index)
	default:
		r.resetToSnapshot(meta)
	}
	r.acknowledge()
}

// resetToSnapshot replaces the log by an empty one behind a snapshot, and the state machine by
// the snapshot.
func (r *Raft) resetToSnapshot(meta SnapshotMeta) {
	r.log.resetToSnapshot(meta)
	r.confs = configurations{{meta.Index, meta.Configuration}}
	r.commit, r.applying, r.follower.matched = meta.Index, meta.Index, meta.Index
	r.appliedBytes = 0
	r.persist.logReset, r.effects.Restore = &meta, &meta
	r.noteCommitted()
	r.configurationChanged()
}
