package raft

import "balsa.example/raft/quorum"

// electionTimer counts, in ticks, what elections wait for.
type electionTimer struct {
	// elapsed counts from the last word of a leader, or from the last campaign or vote of this
	// node; on a leader from its last quorum check. At timeout an election begins.
	elapsed int
	// timeout is drawn anew for each election, between one and two ElectionTimeoutTicks.
	// timeoutShortened tells that shortenElectionTimeout has lowered it since.
	timeout          int
	timeoutShortened bool
	// sinceLeader counts from the last word of a leader, of whatever term.
	sinceLeader int
	// sinceVote counts from when the last vote was given, and again from 0 when that vote was
	// durable. votePersist is how long the disk took for the vote.
	sinceVote, votePersist int
}

func (t *electionTimer) tick() {
	t.elapsed++
	t.sinceLeader++
	t.sinceVote++
}

const (
	// soleVoterTimeout is in ticks.
	soleVoterTimeout = 1
	// shortTimeoutDivisor: followers that lost the connection to their leader begin their
	// elections within ElectionTimeoutTicks / shortTimeoutDivisor. That is soon, and still
	// spread enough that few elections collide.
	shortTimeoutDivisor = 5
	// maxVoteWaitTimeouts bounds, in election timeouts, how long a voter waits for the outcome
	// of its vote because its own disk took long for it. A disk that hung for an hour says
	// nothing of the disks of others, and the candidate may be gone.
	maxVoteWaitTimeouts = 20
)

// resetElectionTimer begins to wait for a leader. A sole voter need not wait for another one.
func (r *Raft) resetElectionTimer() {
	t := &r.timer
	t.elapsed, t.timeoutShortened = 0, false
	t.timeout = r.cfg.ElectionTimeoutTicks + r.cfg.Rand.IntN(r.cfg.ElectionTimeoutTicks)
	if r.isVoter() && len(r.otherVoters()) == 0 {
		t.timeout = soleVoterTimeout
	}
	if r.cfg.Witness {
		t.timeout += r.cfg.ElectionTimeoutTicks / 2 // better a full voter leads
	}
}

// shortenElectionTimeout lets an election begin within so many ticks from now, unless a
// leader is heard first. The timeout is random, so that not all nodes that shorten theirs
// begin together.
func (r *Raft) shortenElectionTimeout(within int) {
	t := &r.timer
	t.timeout = min(t.timeout, t.elapsed+1+r.cfg.Rand.IntN(within))
	t.timeoutShortened = true
}

// tickElection begins an election when its time has come. Between elections it repeats the
// requests of a campaign, which may be lost.
func (r *Raft) tickElection() {
	t := &r.timer
	switch {
	case r.lostLog > 0:
	case r.leaseGranted() && t.timeoutShortened:
		t.timeout++ // a short timeout counts from the end of the lease
	case r.leaseGranted():
	case t.elapsed >= t.timeout && r.mayCampaign() && r.persist.diskIdle() && !r.standsAside() && !r.awaitsVoteOutcome(r.id):
		// A node whose disk is busy starts no election: its own vote would wait behind the
		// write, and if the disk hangs the votes of the others would be lost to it. One that has
		// made room leaves it to others.
		r.startPreVote()
	case t.elapsed%r.cfg.HeartbeatTicks == 0:
		r.askPreVotes()
		r.askVotes()
	}
}

// Unreachable tells the core that the connection to a member broke: what was sent was
// probably lost, and the member may be dead. A leader probes that member instead of sending
// more. A follower of that member soon asks for pre-votes; other voters grant them only if
// they have not heard from the leader for an election timeout, or lost the connection as
// well. A lease that the follower has granted stays in force.
func (r *Raft) Unreachable(id NodeID) {
	if p := r.peer(id); p != nil && p.state == replicate {
		p.becomeProbe(p.match + 1)
	}
	if r.role == Follower && r.leaderID == id {
		r.timer.sinceLeader = r.cfg.ElectionTimeoutTicks
		r.shortenElectionTimeout(max(1, r.cfg.ElectionTimeoutTicks/shortTimeoutDivisor))
	}
}

// ignoresVoteRequest tells whether to leave a request for a vote or pre-vote unanswered, and
// its term unnoticed, because this node hears from a leader (thesis 4.2.3, 6.4.1). A server
// that was cut off, or has been removed, must not depose a leader that works. And the lease
// of a leader rests on its followers, that they elect no other node meanwhile.
//
// What counts is the time since a leader was heard, not whether one is known. A bad schedule
// otherwise:
//
//  1. F acknowledges an append of L, the leader of term 2, and grants it a lease.
//  2. F gets a late PreVoteReply from X, which is in term 7. F enters term 7, in which it
//     knows no leader.
//  3. F votes for X. X leads term 7, and L still serves reads by its lease.
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
	return r.role == Leader || r.timer.sinceLeader < r.cfg.ElectionTimeoutTicks && !r.leaderStalls() || r.leaseGranted()
}

// onPreVote answers whether the sender would get this node's vote in the next term. There
// is no answer while this node waits for the outcome of a vote that it has given. Nor is
// there one while its hard state is not durable: the answer would have to wait for the disk,
// and be out of date by then. The sender repeats the question.
func (r *Raft) onPreVote(m *PreVote) {
	upToDate := r.upToDate(m.LastIndex, m.LastTerm)
	if r.role == PreCandidate && upToDate && !r.candidate.yielded && r.ranksBelow(m) {
		// Both would become candidates, and split the votes. A node yields only once, because
		// the other one may be unable to receive the answers.
		r.becomeFollower(r.term, None)
		r.candidate.yielded = true
	}
	if r.awaitsVoteOutcome(m.From) || !r.persist.hardStateDurable() {
		return
	}
	r.candidate.wanted = r.candidate.wanted || !upToDate && !r.isVoter()
	r.send(&PreVoteReply{Header: Header{To: m.From}, Granted: upToDate})
}

// onRequestVote gives at most one vote in a term, and only to a candidate whose log holds
// everything committed (paper, 5.2 and 5.4.1).
func (r *Raft) onRequestVote(m *RequestVote) {
	free := r.vote == m.From || (r.vote == None && r.leaderID == None)
	granted := free && r.upToDate(m.LastIndex, m.LastTerm)
	if granted {
		if r.vote == None { // else the request is repeated, and the vote was given before
			r.timer.elapsed = 0
		}
		r.setHardState(r.term, m.From)
	}
	r.send(&RequestVoteReply{Header: Header{To: m.From}, Campaign: m.Campaign, Granted: granted})
}

// upToDate tells whether a log with this last entry is at least as up to date as this node's
// (paper, 5.4.1).
func (r *Raft) upToDate(lastIndex Index, lastTerm Term) bool {
	own := r.log.lastTerm()
	return lastTerm > own || (lastTerm == own && lastIndex >= r.log.last())
}

// ranksBelow orders two pre-candidates, of which m's has the log that is at least as up to
// date: by their logs, and by their ids where the logs are equal.
func (r *Raft) ranksBelow(m *PreVote) bool {
	return m.LastIndex != r.log.last() || m.LastTerm != r.log.lastTerm() || m.From < r.id
}

// awaitsVoteOutcome tells whether this node has given its vote to another one than except,
// which may still win. It waits for an election timeout after the vote was durable, or for as
// long as its own disk took for the vote: the disks of the other voters may be as slow.
func (r *Raft) awaitsVoteOutcome(except NodeID) bool {
	switch r.vote {
	case None, except:
		return false
	case r.id:
		return r.role == Candidate
	default:
		return r.timer.sinceVote < max(r.cfg.ElectionTimeoutTicks, r.timer.votePersist)
	}
}

// onVoteDurable is called when the vote of this term is durable. Only now does it leave, or
// count if it is the node's own, so the wait for the outcome begins now.
func (r *Raft) onVoteDurable() {
	t := &r.timer
	t.elapsed = 0
	if r.leaderID == None { // else the outcome is known
		t.sinceVote, t.votePersist = 0, min(t.sinceVote, maxVoteWaitTimeouts*r.cfg.ElectionTimeoutTicks)
	}
	if r.candidate.votes != nil {
		r.candidate.votes[r.id] = true
		r.countVotes()
	}
}

func (r *Raft) wins(votes map[NodeID]bool) bool {
	return r.configuration().Voters.VoteResult(votes) == quorum.VoteWon
}

func (r *Raft) loses(votes map[NodeID]bool) bool {
	return r.configuration().Voters.VoteResult(votes) == quorum.VoteLost
}
