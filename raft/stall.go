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
// So a follower answers requests for pre-votes and votes, and grants no more leases, while nothing
// becomes committed that it has acknowledged. It does not campaign by itself: where nobody else asks
// for votes there is no better leader. Where somebody asks whose log is behind its own, it campaigns
// instead.

// stallTimeouts is how many election timeouts a follower waits for a commit.
const stallTimeouts = 2

// stall counts the ticks in which the commit index stayed at commit, in the term, although this node
// had acknowledged more. It goes on where the node follows the leader again after it had left it.
type stall struct {
	term   Term
	commit Index
	ticks  int
}

func (r *Raft) tickStall() {
	s := &r.stall
	switch {
	case s.term != r.term || s.commit != r.commit:
		*s = stall{r.term, r.commit, 0}
	case r.follower.acknowledged > r.commit:
		s.ticks++
	}
}

// leaderStalls tells whether this node follows a leader under which nothing is committed.
func (r *Raft) leaderStalls() bool {
	s := &r.stall
	return r.leaderID != None && s.term == r.term && s.commit == r.commit && s.ticks >= stallTimeouts*r.cfg.ElectionTimeoutTicks
}

// leaveStalledLeader begins a campaign, after a voter whose log is behind this node's has asked for a
// pre-vote.
func (r *Raft) leaveStalledLeader() {
	if r.leaderStalls() && r.isVoter() && r.persist.diskIdle() && !r.leaseGranted() {
		r.startPreVote()
		r.timer.sinceLeader, r.candidate.leaves = r.cfg.ElectionTimeoutTicks, true
	}
}

// leaves tells whether this node does not hear its leader for now, so that the answers to its
// pre-votes have the time to arrive. After an election timeout it follows the leader again.
func (r *Raft) leaves() bool {
	return r.role == PreCandidate && r.candidate.leaves && r.timer.elapsed < r.cfg.ElectionTimeoutTicks
}
