package raft

import "balsa/raft/quorum"

// refusesElection tells whether to leave a vote request unanswered, and its term
// unnoticed, because this node hears from a leader (thesis 4.2.3, 6.4.1): a server
// that was cut off, or has been removed, must not depose a leader that works, and a
// leader's lease stands on its followers not electing anyone else meanwhile.
//
// What counts is the time since a leader was heard, not whether one is known. The
// schedule: F acknowledges leader L of term 2, and then gets a late PreVoteReply
// from X, which is in term 7. F enters term 7 and knows no leader, but has promised
// L its silence; if it voted for X now, both would serve reads.
func (r *Raft) refusesElection(m Message) bool {
	switch m := m.(type) {
	case *PreVote:
	case *RequestVote:
		if m.Transfer {
			return false
		}
	default:
		return false
	}
	return r.role == Leader || r.sinceLeader < r.cfg.ElectionTimeoutTicks
}

// startPreVote asks whether an election could be won before disturbing anyone
// with a new term (thesis 9.6).
func (r *Raft) startPreVote() {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.role = PreCandidate
	r.votes = map[NodeID]bool{r.id: true}
	if r.electionWon() {
		r.startElection(false)
		return
	}
	r.askPreVotes()
}

// askPreVotes asks those who have not answered. It is repeated like a heartbeat:
// who still trusts the old leader does not answer, and stops trusting it soon.
func (r *Raft) askPreVotes() {
	for _, id := range r.otherVoters() {
		if _, answered := r.votes[id]; !answered {
			r.send(&PreVote{Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm()})
		}
	}
}

// startElection enters a new term as its candidate (paper, 5.2). The requests leave
// and the own vote counts only when the own vote is durable: else a crash could
// make this node vote twice in the term.
func (r *Raft) startElection(transfer bool) {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.setHardState(r.term+1, None)
	r.setHardState(r.term, r.id)
	r.role = Candidate
	r.votes = map[NodeID]bool{}
	for _, id := range r.otherVoters() {
		r.send(&RequestVote{Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm(), Transfer: transfer})
	}
}

// countOwnVote is called when writes have ended.
func (r *Raft) countOwnVote() {
	if r.hardStateSeq() > r.persistedSeq {
		return
	}
	if !r.votes[r.id] {
		r.votes[r.id] = true
		r.electionElapsed = 0 // the requests leave only now
	}
	if r.electionWon() {
		r.becomeLeader()
	}
}

func (r *Raft) otherVoters() (ids []NodeID) {
	for _, id := range r.configuration().Voters.IDs() {
		if id != r.id {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *Raft) electionWon() bool {
	return r.configuration().Voters.VoteResult(r.votes) == quorum.VoteWon
}

func (r *Raft) electionLost() bool {
	return r.configuration().Voters.VoteResult(r.votes) == quorum.VoteLost
}

// upToDate tells whether a log that ends so is at least as up to date as this
// node's (paper, 5.4.1).
func (r *Raft) upToDate(lastIndex Index, lastTerm Term) bool {
	own := r.log.lastTerm()
	return lastTerm > own || (lastTerm == own && lastIndex >= r.log.last())
}

// onPreVote answers whether a candidate of the next term would get this vote.
func (r *Raft) onPreVote(m *PreVote) {
	r.send(&PreVoteReply{Header: Header{To: m.From}, Granted: r.upToDate(m.LastIndex, m.LastTerm)})
}

func (r *Raft) onPreVoteReply(m *PreVoteReply) {
	r.votes[m.From] = m.Granted
	switch {
	case r.electionWon():
		r.startElection(false)
	case r.electionLost():
		r.becomeFollower(r.term, None)
	}
}

// onRequestVote gives at most one vote in a term, and only to a log that holds
// everything committed (paper, 5.2 and 5.4.1).
func (r *Raft) onRequestVote(m *RequestVote) {
	free := r.vote == m.From || (r.vote == None && r.leader == None)
	granted := free && r.upToDate(m.LastIndex, m.LastTerm)
	if granted {
		r.setHardState(r.term, m.From)
		r.electionElapsed = 0
	}
	r.send(&RequestVoteReply{Header: Header{To: m.From}, Granted: granted})
}

func (r *Raft) onRequestVoteReply(m *RequestVoteReply) {
	r.votes[m.From] = m.Granted
	switch {
	case r.electionWon():
		r.becomeLeader()
	case r.electionLost():
		r.becomeFollower(r.term, None)
		r.hurryElection(r.cfg.ElectionTimeoutTicks) // a split vote, and no leader to wait for
	}
}

// hurryElection lets an election begin within so many ticks from now, unless a leader
// is heard first. The ticks are random, so that not all who hurry begin together.
func (r *Raft) hurryElection(within int) {
	r.electionTimeout = min(r.electionTimeout, r.electionElapsed+1+r.cfg.Rand.IntN(within))
	r.hurried = true
}

// Unreachable says that the connection to a member broke: what was sent was probably
// lost, and the member may be dead. A leader probes instead of sending on. Who
// follows that member stops trusting it, and soon asks for pre-votes; they are
// granted only by others who do not hear from it either. Where leases are in use a
// follower keeps the silence that it promised.
func (r *Raft) Unreachable(id NodeID) {
	if p := r.peer(id); p != nil && p.state == replicate {
		p.becomeProbe(p.match + 1)
	}
	if r.role == Follower && r.leader == id && r.cfg.LeaseNanos == 0 {
		r.sinceLeader = r.cfg.ElectionTimeoutTicks
		r.hurryElection(max(1, r.cfg.ElectionTimeoutTicks/hurryShare))
	}
}

// hurryShare is the part of an election timeout over which those who lost their
// leader spread their elections: wide enough that few collide.
const hurryShare = 5
