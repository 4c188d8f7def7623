package raft

// candidateState is what a node keeps as pre-candidate and as candidate.
type candidateState struct {
	// preVotes are the answers to PreVote, its own included; nil unless it is pre-candidate, or a
	// follower whose leader stalls (see tickStall).
	preVotes map[NodeID]bool
	// votes are the answers to the RequestVotes of the campaign of this term. Its own vote is
	// among them when it is durable. nil means that there is no such campaign, or that the term
	// has a leader. A campaign outlasts the role of candidate: the node may follow nobody, or
	// be pre-candidate again, while votes are on their way.
	votes map[NodeID]bool
	// byTransfer tells that a TimeoutNow began that campaign.
	byTransfer bool
	// yielded tells that the node has given way to another pre-candidate (see onPreVote). It
	// stays true until the node campaigns, enters a new term, or follows a leader.
	yielded bool
	// wanted tells that a candidate asked this node, which is no voter by its own configuration, and has a
	// shorter log (see mayCampaign).
	wanted bool
}

// startPreVote asks whether an election could be won, before it disturbs anyone with a new
// term (thesis 9.6). A node that is still a candidate goes on with its campaign meanwhile: the
// votes may be on their way to the disks of the voters. What succeeds first decides.
func (r *Raft) startPreVote() {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.role = PreCandidate
	r.candidate.preVotes = map[NodeID]bool{r.id: true}
	if r.wins(r.candidate.preVotes) {
		r.startElection(false)
		return
	}
	r.askPreVotes()
}

// askPreVotes asks the voters that have not answered. It is repeated like a heartbeat: a
// voter that hears from the old leader does not answer, but may soon hear from it no more. A
// voter that owes an answer to the campaign of this term is asked for its vote alone (see
// askVotes): that may be the vote that decides.
func (r *Raft) askPreVotes() {
	c := &r.candidate
	if c.preVotes == nil {
		return
	}
	for _, id := range r.otherVoters() {
		_, voted := c.votes[id]
		if _, answered := c.preVotes[id]; !answered && (voted || c.votes == nil) {
			r.send(&PreVote{Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm()})
		}
	}
}

func (r *Raft) onPreVoteReply(m *PreVoteReply) {
	if r.candidate.preVotes == nil {
		return
	}
	r.candidate.preVotes[m.From] = m.Granted
	switch {
	case r.wins(r.candidate.preVotes):
		r.startElection(false)
	case r.role == Follower: // it goes on to follow a leader that stalls
	case r.loses(r.candidate.preVotes):
		r.becomeFollower(r.term, None)
	}
}

// startElection enters a new term as its candidate (paper, 5.2). The requests leave at once,
// so that the disks of the voters work while the candidate's does. The candidate's own vote
// counts only when it is durable, and a node leads only with its own vote: otherwise a crash
// could make it vote twice in the term.
//
// A crash can make it campaign twice in one term, with a shorter log the second time. So each
// campaign has a name, and counts only the votes that were given to it. A bad schedule
// otherwise:
//
//  1. X asks for votes in term 6, and crashes before its disk knows of that term. The vote of
//     V is under way.
//  2. X restarts in term 4. The leader of term 5 truncates the log of X.
//  3. X asks for votes in term 6 again. V's vote, which was given to the longer log, elects
//     the shorter one.
func (r *Raft) startElection(byTransfer bool) {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.setHardState(r.term+1, None)
	r.setHardState(r.term, r.id)
	r.campaign++
	r.role = Candidate
	r.candidate = candidateState{votes: map[NodeID]bool{}, byTransfer: byTransfer}
	r.askVotes()
}

// askVotes asks the voters that have not answered the campaign of this term. It is repeated
// until the campaign is decided. No timeout ends it: a voter answers when its disk has the
// vote, however long that takes.
func (r *Raft) askVotes() {
	if r.candidate.votes == nil {
		return
	}
	for _, id := range r.otherVoters() {
		if _, answered := r.candidate.votes[id]; !answered {
			r.send(&RequestVote{
				Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm(),
				Campaign: r.campaign, Transfer: r.candidate.byTransfer,
			})
		}
	}
}

func (r *Raft) onRequestVoteReply(m *RequestVoteReply) {
	if r.candidate.votes == nil || m.Campaign != r.campaign {
		return // an answer to an earlier campaign, or the term has a leader
	}
	r.candidate.votes[m.From] = m.Granted
	r.countVotes()
}

func (r *Raft) countVotes() {
	votes := r.candidate.votes
	switch {
	case r.wins(votes) && votes[r.id]:
		r.becomeLeader()
	case r.role == Candidate && r.loses(votes):
		r.becomeFollower(r.term, None)
		// The votes were split, so there is no leader to wait for.
		r.shortenElectionTimeout(r.cfg.ElectionTimeoutTicks)
	}
}
