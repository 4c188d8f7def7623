package raft

import "fmt"

// handler takes a message of the node's own term.
type handler func(*Raft, Message)

// handlers is the index of the protocol: what each role does with each message of its own
// term. A message without a handler is ignored: it answers a question that the node does
// not ask any more, or asks what only another role can answer.
var handlers = [numRoles][numMessageKinds]handler{
	Follower: {
		KindPreVote:          on((*Raft).onPreVote),
		KindPreVoteReply:     on((*Raft).onPreVoteReply),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
		KindTimeoutNow:       on((*Raft).onTimeoutNow),
		KindReadIndexReply:   on((*Raft).onReadIndexReply),
		KindLogLost:          on((*Raft).onLogLost),
		KindRelease:          on((*Raft).onRelease),
	},
	PreCandidate: {
		KindPreVote:          on((*Raft).onPreVote),
		KindPreVoteReply:     on((*Raft).onPreVoteReply),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
		KindTimeoutNow:       on((*Raft).onTimeoutNow),
	},
	Candidate: {
		KindPreVote:          on((*Raft).onPreVote),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
	},
	Leader: {
		KindRequestVote:         on((*Raft).onRequestVote),
		KindAppendEntries:       on((*Raft).onSecondLeader),
		KindInstallSnapshot:     on((*Raft).onSecondLeader),
		KindAppendEntriesReply:  on((*Raft).onAppendEntriesReply),
		KindAppendEntriesReject: on((*Raft).onAppendEntriesReject),
		KindReadIndex:           on((*Raft).onReadIndex),
		KindReleaseReply:        on((*Raft).onReleaseReply),
	},
}

// on makes a handler of a method that takes one message type.
func on[M Message](f func(*Raft, M)) handler {
	return func(r *Raft, m Message) { f(r, m.(M)) }
}

// Step takes a message that arrived. A shell steps an InstallSnapshot only when the data of
// the snapshot is durable on this node. Messages of older terms, repeated and late messages
// are no errors. The errors are ErrMisaddressed and ErrMalformed, and such a message has no effect.
func (r *Raft) Step(m Message) error {
	h := m.Head()
	if h.To != r.id || h.From == r.id || h.From == None {
		return fmt.Errorf("%w: %s at %s", ErrMisaddressed, h.prefix(m.Kind()), r.id)
	}
	if err := malformed(m); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, h.prefix(m.Kind()), err)
	}
	if r.lostLog > 0 || !r.settleTerm(m) {
		return nil
	}
	if f := handlers[r.role][m.Kind()]; f != nil {
		f(r, m)
	}
	r.checkInvariants()
	return nil
}

// settleTerm brings the node to the term of a newer message, and answers an older one
// (paper, 5.1). It tells whether the message is of the node's term then, and so has to be
// handled.
func (r *Raft) settleTerm(m Message) bool {
	h := m.Head()
	if r.ignoresVoteRequest(m) {
		r.noteLeaderLast(m)
		return false
	}
	switch {
	case h.Term > r.term:
		leader := None
		if k := m.Kind(); k == KindAppendEntries || k == KindInstallSnapshot {
			leader = h.From
		}
		r.becomeFollower(h.Term, leader)
		return true
	case h.Term < r.term:
		r.answerStale(m)
		return false
	}
	return true
}

// answerStale tells the sender of a request of an old term which term it is now.
func (r *Raft) answerStale(m Message) {
	to := Header{To: m.Head().From}
	switch m.Kind() {
	case KindAppendEntries, KindInstallSnapshot:
		r.send(&AppendEntriesReject{Header: to})
	case KindPreVote:
		r.send(&PreVoteReply{Header: to})
	case KindRequestVote:
		r.send(&RequestVoteReply{Header: to})
	}
}

// Clock tells the core what the clock shows. A shell calls it before it hands over what came
// in since the last time: the leases that the core grants are counted from here.
func (r *Raft) Clock(now Instant) { r.now = max(r.now, now) }

// Tick tells the core that one tick has passed and what the clock shows. Ticks count the
// timeouts of Config; leases are counted by the clock.
func (r *Raft) Tick(now Instant) {
	r.Clock(now)
	r.shrinkLeaseGrant()
	r.timer.tick()
	r.persist.tick()
	r.diskTransferPauseTicks = max(0, r.diskTransferPauseTicks-1)
	r.tickOwnState()
	if r.role == Leader {
		r.tickLeader()
	} else {
		r.tickForwardedReads()
		r.tickStall()
		r.tickElection()
	}
	r.checkInvariants()
}
