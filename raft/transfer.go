package raft

import "slices"

// transfer is a transfer of leadership (thesis 3.10). The leader takes no more proposals,
// brings its successor up to date, and tells it to start an election at once. If that takes
// longer than an election timeout, the leader gives the transfer up.
type transfer struct {
	to NodeID // None: no transfer is going on
	// elapsed counts the ticks since it began. TimeoutNow, which may be lost, is sent (again)
	// when elapsed reaches sendAt.
	elapsed, sendAt int
	// timeoutNowSent stays true for the rest of the term, even if the transfer was given up.
	timeoutNowSent bool
	// pause counts the ticks until another may begin, after one that was given up.
	pause int
}

// transferPauseTimeouts is how many election timeouts pass after a transfer was given up until
// another one may begin. During a transfer no proposals are taken, so repeated requests for one
// would stop all writes.
const transferPauseTimeouts = 10

// TransferLeadership begins to transfer leadership to a voter, or with None to the one that
// has most of the log. One to which a transfer was given up in this term comes after all others. It
// has succeeded when another leader is known. It was given up, after an election timeout, when
// Status.Transferring is None and this node still leads. A call for the voter to which a transfer is
// going on changes nothing.
//
// It returns ErrNotLeader, ErrNotVoter, ErrTransferring (to another voter), ErrTransferFailed
// or ErrNotCaughtUp.
func (r *Raft) TransferLeadership(to NodeID) error {
	if r.role != Leader {
		return ErrNotLeader
	}
	if to == None {
		to = r.bestSuccessor()
	}
	if to == r.id || !r.mayLead(to) {
		return ErrNotVoter
	}
	t := &r.leader.transfer
	switch {
	case t.to == to:
		return nil
	case t.to != None:
		return ErrTransferring
	case t.pause > 0:
		return ErrTransferFailed
	case !r.maySucceed(r.peer(to)):
		return ErrNotCaughtUp
	}
	t.to, t.elapsed, t.sendAt = to, 0, 0
	return nil
}

// maySucceed tells whether p answers, and lacks no more of the log than may be under way to it:
// the leader must be able to bring it up to date within an election timeout.
func (r *Raft) maySucceed(p *progress) bool {
	return p.recentlyActive() && p.trusted() && p.state != snapshot && p.next > r.log.base &&
		r.log.bytes(p.match+1, r.log.last()) <= r.cfg.MaxInflightBytes
}

// mayLead tells whether leadership may be handed to id: not to a voter that is about to be none, and
// not to a witness.
func (r *Raft) mayLead(id NodeID) bool {
	c := r.configuration()
	return c.Voters.Incoming.Contains(id) && !c.IsWitness(id)
}

// bestSuccessor returns the voter that has most of the log of those that could lead, None if there is none. One that
// did not take over comes after all others.
func (r *Raft) bestSuccessor(except ...NodeID) NodeID {
	var best *progress
	for _, p := range r.leader.peers {
		if r.mayLead(p.id) && r.maySucceed(p) && !slices.Contains(except, p.id) && (best == nil || p.succeedsBefore(best)) {
			best = p
		}
	}
	if best == nil {
		return None
	}
	return best.id
}

// succeedsBefore tells which of two voters that could lead is asked first.
func (p *progress) succeedsBefore(other *progress) bool {
	switch {
	case p.declined != other.declined:
		return other.declined
	case p.match != other.match:
		return p.match > other.match
	}
	return p.active && !other.active
}

// handOver is how a leader goes that may not lead on: it asks the voters that could lead, one after the other. If none
// of them takes over it ends its part all the same.
func (r *Raft) handOver() {
	r.leader.transfer.pause = 0
	to := r.bestSuccessor()
	if to == None || r.peer(to).declined || r.TransferLeadership(to) != nil {
		r.stepDown()
	}
}

// tickTransfer gives up a transfer that takes too long, and counts the pause after that.
func (r *Raft) tickTransfer() {
	t := &r.leader.transfer
	if t.to == None {
		t.pause = max(0, t.pause-1)
		return
	}
	if t.elapsed++; t.elapsed >= r.cfg.ElectionTimeoutTicks {
		r.giveUpTransfer()
	}
}

func (r *Raft) giveUpTransfer() {
	t := &r.leader.transfer
	if p := r.peer(t.to); p != nil {
		p.declined = true
	}
	t.to, t.pause = None, transferPauseTimeouts*r.cfg.ElectionTimeoutTicks
}

// maybeSendTimeoutNow tells the successor to start an election once it has all of the log.
func (r *Raft) maybeSendTimeoutNow() {
	t := &r.leader.transfer
	if t.to == None {
		return
	}
	p := r.peer(t.to)
	if p == nil || !p.trusted() || p.match < r.log.last() || t.elapsed < t.sendAt {
		return
	}
	t.sendAt = t.elapsed + r.cfg.HeartbeatTicks
	t.timeoutNowSent = true
	r.send(&TimeoutNow{Header: Header{To: p.id}})
}

// onTimeoutNow starts an election without pre-votes: the leader itself asks for it. A node that stands aside declines by
// silence: the leader gives the transfer up.
func (r *Raft) onTimeoutNow(m *TimeoutNow) {
	if r.mayCampaign() && !r.standsAside() {
		r.startElection(true)
	}
}
