package raft

// The log in memory holds what the own disk, the state machine or compaction has not dealt
// with yet. Each of these three may be slow or hang, so each part of the log has a bound. At a
// bound a leader refuses proposals (Propose), and a follower takes no entries (congested).

// Compact drops entries up to and with index from the log in memory. They must have been
// applied and be on this node's disk, and a durable snapshot must cover them.
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

// logFull tells whether the log has to be compacted before it may grow. A node that joins and has no
// configuration yet can make no snapshot, so its log has no bound of its own. It is the leader's log
// from the first entry on, and so within the leader's bound.
func (r *Raft) logFull() bool {
	return r.maxAppliedBytes > 0 && r.appliedBytes > r.maxAppliedBytes && r.confs.at(r.applied).HasVoters()
}

// diskBehind tells whether the own disk is too far behind to give it so many bytes more. A
// disk that has nothing to do takes entries of any size.
func (r *Raft) diskBehind(bytes int) bool {
	unstable := r.log.unstableBytes()
	return unstable > 0 && unstable+bytes > r.cfg.MaxUnstableBytes
}

// congested tells whether a follower has no room for entries that come behind prev. Each
// reason ends by itself:
//
//   - The own disk is behind by MaxUnstableBytes, and has to catch up.
//   - The applied part of the log is full (see LimitLog), and has to be compacted.
//   - The state machine is behind by MaxUnappliedBytes. This counts only while a committed
//     entry waits to be applied: entries that are not committed may need later ones to become
//     so. It does not count the log that this node was started with: to commit anything, a
//     majority may have to take more before it has applied all of that.
//   - A witness has MaxWitnessBytes that it may not drop, and MaxPendingBytes more. Its own bound
//     takes the place of the one before.
//
// Before the log holds an entry of the leader's term neither a full log nor a full witness counts: a
// new leader can commit nothing, serve no reads (thesis 6.4), change no members and release nothing
// until the first entry of its term is committed, which is behind all of earlier terms.
func (r *Raft) congested(prev Index, entries []Entry) bool {
	switch {
	case len(entries) == 0:
		return false
	case r.diskBehind(sizeOf(entries)), r.log.lastTerm() == r.term && (r.logFull() || r.witnessRefuses(entries)):
		return true
	case r.applied >= r.commit:
		return false
	case r.cfg.Witness:
		return false
	}
	return r.log.bytes(max(r.applied, r.log.loadedTo)+1, prev)+sizeOf(entries) > r.cfg.MaxUnappliedBytes
}
