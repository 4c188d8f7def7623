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
// So while nothing becomes committed that a follower has acknowledged, it answers requests for
// pre-votes and votes, grants no more leases, and asks for pre-votes itself, since it may have the
// best log. It follows the leader all the same: where no majority wants another one there is no
// better one.

// stallTimeouts is how many election timeouts a follower waits for a commit.
const stallTimeouts = 2

// stall counts the ticks in which the commit index stayed at commit, in the term, although this node
// had acknowledged more.
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
	case r.follower.acknowledged > r.commit:
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

// leaderStalls tells whether this node follows a leader under which nothing is committed.
func (r *Raft) leaderStalls() bool {
	s := &r.stall
	return r.leaderID != None && s.term == r.term && s.commit == r.commit && s.ticks >= stallTimeouts*r.cfg.ElectionTimeoutTicks
}
