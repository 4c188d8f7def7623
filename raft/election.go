package raft

import "balsa.example/raft/quorum"

// ignoresVoteRequest tells whether to leave a vote request unanswered, and its term
// unnoticed, because this node hears from a leader (thesis 4.2.3, 6.4.1): a server
// that was cut off, or has been removed, must not depose a leader that works, and a
// leader's lease stands on its followers not electing anyone else meanwhile.
//
// What counts is the time since a leader was heard, not whether one is known. The
// schedule: F acknowledges leader L of term 2, and then gets a late PreVoteReply
// from X, which is in term 7. F enters term 7 and knows no leader, but has promised
// L a lease; if it voted for X now, both would serve reads.
func (r *Raft) ignoresVoteRequest(m Message) bool {
	switch m := m.(type) {
	case *PreVote:
	case *RequestVote:
		if m.Transfer {
			return false
		}
	default:
		return false
	}
	return r.role == Leader || r.sinceLeader < r.cfg.ElectionTimeoutTicks || r.leaseGranted()
}

// tickElection begins an election when the time has come, and repeats what may be lost.
func (r *Raft) tickElection() {
	switch {
	case r.lostLog > 0:
	case r.leaseGranted() && r.timeoutShortened:
		r.electionTimeout++ // a short timeout counts from the end of the lease
	case r.leaseGranted():
	case r.electionElapsed >= r.electionTimeout && r.isVoter() && r.diskIdle() && !r.awaitsVoteOutcome(r.id):
		r.startPreVote()
	case r.electionElapsed%r.cfg.HeartbeatTicks == 0:
		r.askPreVotes()
		r.askVotes()
	}
}

// diskIdle tells whether nothing is on its way to disk. Who has a write under way starts
// no election: its own vote would wait behind that write, and while it waits the votes
// of others would be lost to one whose disk hangs.
func (r *Raft) diskIdle() bool { return max(r.seq, r.hardStateSeq()) <= r.persistedSeq }

// awaitsVoteOutcome tells whether this node has just voted for somebody else than except, who
// may win yet: within an election timeout after the vote was durable, or within as long
// again as its own disk took for that, since the candidate needs other disks, too.
func (r *Raft) awaitsVoteOutcome(except NodeID) bool {
	switch r.vote {
	case None, except:
		return false
	case r.id:
		return r.role == Candidate
	default:
		return r.sinceVote < max(r.cfg.ElectionTimeoutTicks, r.votePersistTicks)
	}
}

// maxVoteWaitTimeouts bounds, in election timeouts, for how long a vote is waited for, if the own disk
// took long for it: a disk that hung for an hour says nothing of the others', and the
// candidate may be gone.
const maxVoteWaitTimeouts = 20

// startPreVote asks whether an election could be won before disturbing anyone
// with a new term (thesis 9.6). A candidate asks so beside its campaign, whose votes may
// still be on their way to the voters' disks: what comes first decides.
func (r *Raft) startPreVote() {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.role = PreCandidate
	r.preVotes = map[NodeID]bool{r.id: true}
	if r.wins(r.preVotes) {
		r.startElection(false)
		return
	}
	r.askPreVotes()
}

// askPreVotes asks those who have not answered. It is repeated like a heartbeat:
// who still trusts the old leader does not answer, and stops trusting it soon. Who owes an
// answer to the campaign beside is asked for that alone: it may be the vote that decides.
func (r *Raft) askPreVotes() {
	if r.role != PreCandidate {
		return
	}
	for _, id := range r.otherVoters() {
		_, voted := r.votes[id]
		if _, answered := r.preVotes[id]; !answered && (voted || r.votes == nil) {
			r.send(&PreVote{Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm()})
		}
	}
}

// startElection enters a new term as its candidate (paper, 5.2). The requests leave at
// once, so that the voters' disks work while the own one does. The own vote counts when
// it is durable, and only then can the node lead: else a crash could make it vote twice
// in the term.
//
// Such a crash can make it campaign twice in one term, with a log that was truncated in
// between, so each campaign has a name, and counts only votes that were given to it. The
// schedule: X asks for votes in term 6, and crashes before it has written that; V's vote
// is under way. X restarts in term 4, and the leader of term 5 truncates its log; X asks
// for votes in term 6 again. V's vote, given to the longer log, must not elect the shorter.
func (r *Raft) startElection(transfer bool) {
	r.becomeFollower(r.term, None)
	r.resetElectionTimer()
	r.setHardState(r.term+1, None)
	r.setHardState(r.term, r.id)
	r.role = Candidate
	r.yielded = false // a split vote must not leave both as they are
	r.votes = map[NodeID]bool{}
	r.campaign++
	r.byTransfer = transfer
	r.askVotes()
}

// askVotes repeats the requests of a campaign that is not decided. A vote takes the
// voter a sync, however long that is, so no timeout ends the campaign.
func (r *Raft) askVotes() {
	if r.votes == nil {
		return
	}
	for _, id := range r.otherVoters() {
		if _, answered := r.votes[id]; !answered {
			r.send(&RequestVote{
				Header: Header{To: id}, LastIndex: r.log.last(), LastTerm: r.log.lastTerm(),
				Campaign: r.campaign, Transfer: r.byTransfer,
			})
		}
	}
}

// onVoteDurable is called when the vote of this term is durable: for others it leaves only
// now, and the own one counts. From now on there is something to wait for.
func (r *Raft) onVoteDurable() {
	r.electionElapsed = 0
	if r.leader == None { // else the outcome is known
		r.sinceVote, r.votePersistTicks = 0, min(r.sinceVote, maxVoteWaitTimeouts*r.cfg.ElectionTimeoutTicks)
	}
	if r.votes != nil {
		r.votes[r.id] = true
		r.countVotes()
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

func (r *Raft) wins(votes map[NodeID]bool) bool {
	return r.configuration().Voters.VoteResult(votes) == quorum.VoteWon
}

func (r *Raft) loses(votes map[NodeID]bool) bool {
	return r.configuration().Voters.VoteResult(votes) == quorum.VoteLost
}

// upToDate tells whether a log that ends so is at least as up to date as this
// node's (paper, 5.4.1).
func (r *Raft) upToDate(lastIndex Index, lastTerm Term) bool {
	own := r.log.lastTerm()
	return lastTerm > own || (lastTerm == own && lastIndex >= r.log.last())
}

// onPreVote answers whether a candidate of the next term would get this vote. Who has
// just voted waits for what comes of that, and an answer that had to wait for the disk
// would tell of a time that is over: the question will be repeated.
func (r *Raft) onPreVote(m *PreVote) {
	upToDate := r.upToDate(m.LastIndex, m.LastTerm)
	if r.role == PreCandidate && upToDate && !r.yielded && r.ranksBelow(m) {
		// Both would become candidates, and neither might win. It is done once only: the
		// other may be one who cannot hear the answers.
		r.becomeFollower(r.term, None)
		r.yielded = true
	}
	if r.awaitsVoteOutcome(m.From) || r.hardStateSeq() > r.persistedSeq {
		return
	}
	r.send(&PreVoteReply{Header: Header{To: m.From}, Granted: upToDate})
}

// ranksBelow orders pre-candidates: by their logs, and where those are equal by id.
func (r *Raft) ranksBelow(m *PreVote) bool {
	return m.LastIndex != r.log.last() || m.LastTerm != r.log.lastTerm() || m.From < r.id
}

func (r *Raft) onPreVoteReply(m *PreVoteReply) {
	r.preVotes[m.From] = m.Granted
	switch {
	case r.wins(r.preVotes):
		r.startElection(false)
	case r.loses(r.preVotes):
		r.becomeFollower(r.term, None)
	}
}

// onRequestVote gives at most one vote in a term, and only to a log that holds
// everything committed (paper, 5.2 and 5.4.1).
func (r *Raft) onRequestVote(m *RequestVote) {
	free := r.vote == m.From || (r.vote == None && r.leader == None)
	granted := free && r.upToDate(m.LastIndex, m.LastTerm)
	if granted {
		if r.vote == None { // to a request that is repeated this vote was given before
			r.electionElapsed = 0
		}
		r.setHardState(r.term, m.From)
	}
	r.send(&RequestVoteReply{Header: Header{To: m.From}, Campaign: m.Campaign, Granted: granted})
}

func (r *Raft) onRequestVoteReply(m *RequestVoteReply) {
	if r.votes == nil || m.Campaign != r.campaign {
		return // an answer to an earlier campaign, or the term has a leader
	}
	r.votes[m.From] = m.Granted
	r.countVotes()
}

func (r *Raft) countVotes() {
	switch {
	case r.wins(r.votes) && r.votes[r.id]:
		r.becomeLeader()
	case r.role == Candidate && r.loses(r.votes):
		r.becomeFollower(r.term, None)
		r.shortenElectionTimeout(r.cfg.ElectionTimeoutTicks) // a split vote, and no leader to wait for
	}
}

// shortenElectionTimeout lets an election begin within so many ticks from now, unless a
// leader is heard first. The timeout is random, so that not all nodes that shorten theirs
// begin together.
func (r *Raft) shortenElectionTimeout(within int) {
	r.electionTimeout = min(r.electionTimeout, r.electionElapsed+1+r.cfg.Rand.IntN(within))
	r.timeoutShortened = true
}

// Unreachable says that the connection to a member broke: what was sent was probably
// lost, and the member may be dead. A leader probes instead of sending on. Who
// follows that member stops trusting it, and soon asks for pre-votes; they are
// granted only by others who do not hear from it either. A lease that the follower has
// granted stays in force.
func (r *Raft) Unreachable(id NodeID) {
	if p := r.peer(id); p != nil && p.state == replicate {
		p.becomeProbe(p.match + 1)
	}
	if r.role == Follower && r.leader == id {
		r.sinceLeader = r.cfg.ElectionTimeoutTicks
		r.shortenElectionTimeout(max(1, r.cfg.ElectionTimeoutTicks/shortTimeoutDivisor))
	}
}

// shortTimeoutDivisor: followers that lost the connection to their leader begin their
// elections within ElectionTimeoutTicks / shortTimeoutDivisor. That is soon, and still
// spread enough that few elections collide.
const shortTimeoutDivisor = 5
