package raft

// A leader can hear from a majority and commit nothing: some of its followers acknowledge its
// rounds, but their disks hang. Then another majority may be well, and unable to elect a leader,
// because followers that hear from a leader do not vote (ignoresVoteRequest). A bad schedule
// otherwise, of five voters:
//
//  1. The leader L reaches A and H. The disk of H hangs. B and C cannot reach L.
//  2. L has its entries on two disks of five: its own and A's. A and H keep it in office.
//  3. B and C ask for pre-votes. A does not answer, since it hears from L. A, B and C would be a
//     majority that commits.
//
// Or they lack what the leader has compacted, and do not get its snapshot: the leader's disk hangs when
// it reads, or the connection breaks. Such a follower has nothing to acknowledge, and keeps the leader in
// office all the same. In the schedule let A be such a follower: B or C could give it what it lacks.
//
// Or the leader does not hear them: then they do not keep it in office, but from their silence the others
// have no majority. In the schedule let B hear L, and L not hear B.
//
// So while the leader commits nothing, and leaves a follower stuck in one of these ways, that follower answers
// requests for pre-votes and votes, grants no more leases, and asks for pre-votes itself, since it may have
// the best log. It follows the leader all the same: where no majority wants another one there is no better one.

// stallTimeouts is how many election timeouts a follower that is stuck waits for a commit.
const stallTimeouts = 2

// stall counts the ticks in which this follower was stuck, and its leader was not known to commit anything.
type stall struct {
	term   Term
	commit Index // of the leader, as this node knows it
	own    Index // the commit index
	last   Index // where the log ends
	// arrives tells that a part of a state has arrived since the last tick (see StateArrives).
	arrives bool
	ticks   int
}

// StateArrives tells a follower that a part of the state arrives that it gets from its leader. A large state
// takes long, and its sender may be the only node that can give it.
func (r *Raft) StateArrives() { r.stall.arrives = true }

// tickStall counts for how long the leader of this follower stalls, and then asks for pre-votes like
// a pre-candidate.
func (r *Raft) tickStall() {
	s := &r.stall
	r.follower.unheard = max(0, r.follower.unheard-1)
	now := r.stallNow()
	if s.since(now) && r.stuck() {
		now.ticks = s.ticks + 1
	} else if r.role == Follower {
		r.candidate.preVotes = nil
	}
	*s = now
	if !r.leaderStalls() || r.leaseGranted() || !r.mayCampaign() || r.refuses() || r.standsAside() || s.ticks%r.cfg.HeartbeatTicks > 0 {
		return
	}
	if r.candidate.preVotes == nil || s.ticks%r.cfg.ElectionTimeoutTicks < r.cfg.HeartbeatTicks { // old answers expire
		r.candidate.preVotes = map[NodeID]bool{r.id: true}
	}
	r.askPreVotes()
}

// stallNow is how far this node and its leader are, for since.
func (r *Raft) stallNow() stall {
	return stall{term: r.term, commit: r.leaderCommit(), own: r.commit, last: r.log.last()}
}

// since tells whether nothing was committed between s and now.
func (s *stall) since(now stall) bool {
	return s.term == now.term && s.commit == now.commit && s.own == now.own
}

// stuck tells whether this follower has acknowledged more than is committed, or is not heard by its leader, or
// does not get what the leader has. It is not where a disk hangs here: the vote of this node would hang like its
// entries. That would help nobody, and the leader would lose its quorum, by which it serves reads.
func (r *Raft) stuck() bool {
	f, s := &r.follower, &r.stall
	switch {
	case r.diskHangs():
		return false
	case f.acknowledged > r.leaderCommit(), f.unheard > 0:
		return true
	}
	return f.leaderLast > r.log.last() && s.last == r.log.last() && !s.arrives
}

// noteLeaderLast notes how far the leader's log is from a request that gets no answer: an entry of this term
// that its sender has can only be from this leader. The leader itself may not tell, as it waits for an answer
// that it does not get.
func (r *Raft) noteLeaderLast(m Message) {
	if p, ok := m.(*PreVote); ok && r.leaderID != None && p.LastTerm == r.term {
		r.follower.leaderLast = max(r.follower.leaderLast, p.LastIndex)
	}
}

// refuses tells whether this follower has no room itself for what the leader sends. It would not have any as
// leader, and refuse operations until it has. A witness that is full has to lead all the same where it has the
// longest log: it hands that over.
func (r *Raft) refuses() bool { return r.follower.refuses && !r.cfg.Witness }

// leaderCommit is what the leader of this follower is known to have committed.
func (r *Raft) leaderCommit() Index { return max(r.commit, r.follower.leaderCommit) }

// diskHangs tells whether this node's disk finishes nothing. It is not enough that it is busy: a leader that
// can commit nothing may keep the disks of its followers busy for ever.
func (r *Raft) diskHangs() bool { return r.persist.waiting >= r.cfg.ElectionTimeoutTicks }

// leaderStalls tells whether this node follows a leader under which nothing is committed.
func (r *Raft) leaderStalls() bool {
	s := &r.stall
	return r.leaderID != None && s.ticks >= stallTimeouts*r.cfg.ElectionTimeoutTicks &&
		s.since(r.stallNow())
}
