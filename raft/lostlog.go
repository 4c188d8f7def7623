package raft

import (
	"errors"
	"fmt"
)

// ErrLostLog: the disk does not hold entries that this member has acknowledged. An old copy
// of the disk may have been put back, or the disk has lost data without an error. Votes and
// acknowledgements of such a member are worth nothing, so it takes no part any more.
var ErrLostLog = errors.New("raft: entries that were acknowledged are not on this disk any more")

// A member whose disk was replaced by an old copy while it was stopped does not know that it
// has lost entries. Its leader can know. A reject proves the loss if all of these hold:
//
//   - It refuses an entry that its sender had acknowledged to this leader, or says that its
//     sender's log ends before such an entry. In one term a follower never truncates what it
//     has acknowledged, and finds it again after a restart.
//   - It was sent after the acknowledgement. The reject tells the round that its sender had
//     seen; it must be one that the leader began after the acknowledgement had come.
//   - No node had been elected in a later term when it was sent. A later leader's snapshot may
//     replace what was acknowledged.
//
// The third is not known at once. The schedule:
//
//  1. E acknowledges entry 9 of term 2 to B, the leader of term 2.
//  2. D is elected in term 4, and sends E its snapshot at entry 10 of term 1.
//  3. E stores the snapshot, and crashes before the message about it has raised its term.
//  4. E restarts in term 2, and refuses an append of B whose PrevIndex is 10.
//
// So the member is only suspected first. If a quorum then acknowledges a round that began after
// the reject had come, no node had been elected before: some voter of that quorum would have
// been in the later term already. Then the member is shut out.
//
// No one can know which votes such a member gives before a leader notices.

// provesLoss tells whether m proves that p has lost entries that it had acknowledged, provided
// that no later leader had been elected when m was sent.
func (p *progress) provesLoss(m *AppendEntriesReject) bool {
	endsBefore := m.ConflictTerm == 0 && m.ConflictIndex <= p.match
	return m.Round > p.matchRound && (m.PrevIndex <= p.match || endsBefore)
}

// suspect lets the acknowledgements of p count for nothing until it is known whether this node
// still led when p rejected, and then shuts p out.
func (r *Raft) suspect(p *progress) {
	switch {
	case p.suspectedRound == 0:
		p.suspectedRound, r.leader.roundWanted = r.leader.round+1, true
		p.leaseUntil = 0
	case r.acknowledgedRound() >= p.suspectedRound:
		r.shutOut(p)
	}
}

// clearSuspicion takes an acknowledgement. If p sent it after it came under suspicion, and has
// all that it had acknowledged, a snapshot that was under way has given that back.
func (p *progress) clearSuspicion(m *AppendEntriesReply) {
	if m.Round >= p.suspectedRound && m.Match >= p.match {
		p.suspectedRound = 0
	}
}

// trusted tells whether p surely has on disk what it has acknowledged.
func (p *progress) trusted() bool { return p.state != lost && p.suspectedRound == 0 }

// shutOut lets p count for nothing from now on, and tells it so. It is called again whenever p
// answers: the message may be lost.
func (r *Raft) shutOut(p *progress) {
	if p.state != lost {
		p.become(lost)
		p.active, p.wasActive, p.leaseUntil = false, false, 0
		r.effects.ShutOut = append(r.effects.ShutOut, p.id)
		if r.leader.transfer.to == p.id {
			r.giveUpTransfer()
		}
	}
	r.send(&LogLost{Header: Header{To: p.id}, Match: p.match})
}

// onLogLost ends the part of this member for good: its hard state remembers.
func (r *Raft) onLogLost(m *LogLost) {
	if m.Match > r.lostLog {
		r.lostLog, r.persist.hardStateDirty = m.Match, true
	}
}

// Failure returns an ErrLostLog if this node has to stop because it has lost entries, and
// otherwise nil. It returns nil until the hard state that says so is durable.
func (r *Raft) Failure() error {
	if r.lostLog == 0 || !r.persist.hardStateDurable() {
		return nil
	}
	return lostLogError(r.lostLog, r.log.last())
}

func lostLogError(acknowledged, last Index) error {
	return fmt.Errorf("%w: it had acknowledged up to %d, and its log ends at %d; was an old copy of its directory put back?", ErrLostLog, acknowledged, last)
}
