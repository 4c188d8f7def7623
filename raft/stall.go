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
// it reads, or the snapshot takes long. Such a follower has nothing to acknowledge, and keeps the leader in
// office all the same. In the schedule let A be such a follower: B or C could give it what it lacks.
//
// So while nothing becomes committed that a follower has acknowledged, or it does not get what the
// leader has, it answers requests for pre-votes and votes, grants no more leases, and asks for pre-votes
// itself, since it may have the best log. It follows the leader all the same: where no majority wants
// another one there is no better one. A follower that waits for a snapshot under a leader that commits
// does no harm by that: the others that commit do not answer.

// stallTimeouts is how many election timeouts a follower waits for a commit.
const stallTimeouts = 2

// stall counts the ticks in which the commit index stayed at commit, in the term, although this node
// had acknowledged more or could not get more (see behindInVain).
type stall struct {
	term   Term
	commit Index
	ticks  int
}

// tickStall counts for how long the leader of this follower stalls, and then asks for pre-votes like
// a pre-candidate.
func (r *Raft) tickStall() {
	s := &r.stall
	switch {
	case s.term != r.term || s.commit != r.commit:
		*s = stall{r.term, r.commit, 0}
		if r.role == Follower {
			r.candidate.preVotes = nil
		}
	case r.follower.acknowledged > r.commit || r.behindInVain():
		s.ticks++
	}
	if !r.leaderStalls() || r.leaseGranted() || !r.mayCampaign() || !r.persist.diskIdle() || s.ticks%r.cfg.HeartbeatTicks > 0 {
		return
	}
	if r.candidate.preVotes == nil || s.ticks%r.cfg.ElectionTimeoutTicks < r.cfg.HeartbeatTicks { // old answers expire
		r.candidate.preVotes = map[NodeID]bool{r.id: true}
	}
	r.askPreVotes()
}

// behindInVain tells whether the leader has entries that this follower does not get. It is not for a disk
// that is busy here: the vote of this node might hang like its entries, and be no help to anybody.
func (r *Raft) behindInVain() bool {
	return r.follower.leaderLast > r.log.last() && r.persist.diskIdle()
}

// leaderStalls tells whether this node follows a leader under which nothing is committed.
func (r *Raft) leaderStalls() bool {
	s := &r.stall
	return r.leaderID != None && s.term == r.term && s.commit == r.commit && s.ticks >= stallTimeouts*r.cfg.ElectionTimeoutTicks
}
