package raft

import (
	"errors"
	"fmt"
)

// ErrLostLog: the disk does not hold what this member has acknowledged, so it is an old
// copy, or was damaged in a way that nothing shows. Votes and acknowledgements of such a
// member are worth nothing: it takes no part any more.
var ErrLostLog = errors.New("raft: entries that were acknowledged are not on this disk any more")

// A member that was stopped, got an old copy of its disk, and was started again, has
// forgotten promises without knowing. Its leader can know:
//
//	A reject proves it if it refuses an entry that its sender had acknowledged to this
//	leader, or says that its log ends before that, and was sent after it saw a round that
//	the leader began after that, and while nobody had been elected in a later term.
//
// In one term a follower never truncates what it has acknowledged, and a restart finds it.
// A reject that was sent before the acknowledgement, and is late, proves nothing; its round
// tells. What such a member votes before a leader meets it so, nobody can know.
//
// A later leader's snapshot may replace what was acknowledged. The schedule: E acknowledges
// 9 of term 2 to leader B; D is elected in term 4, and sends E its snapshot at 10 of term 1;
// E stores that, and crashes before the message has raised its term; restarted in term 2 it
// refuses B's 10. So the member is in doubt first. When a quorum has acknowledged a round
// that began after the reject had come, nobody had been elected when it was sent: some
// voter would have been in the later term already.

// provesLoss tells whether m proves that p has lost what it had acknowledged, if this node was
// the only leader then.
func (p *progress) provesLoss(m *AppendEntriesReject) bool {
	endsBefore := m.ConflictTerm == 0 && m.ConflictIndex <= p.match
	return m.Round > p.matchRound && (m.PrevIndex <= p.match || endsBefore)
}

// doubt has p count for nothing until it is known whether this node still led, and then
// shuts it out.
func (r *Raft) suspect(p *progress) {
	switch {
	case p.suspectedRound == 0:
		p.suspectedRound, r.roundWanted = r.round+1, true
		p.leaseUntil = 0
	case r.acknowledgedRound() >= p.suspectedRound:
		r.shutOut(p)
	}
}

// clearSuspicion takes an acknowledgement that was sent since p was suspectedRound: if p has all again, a
// snapshot that was under way has given it back.
func (p *progress) clearSuspicion(m *AppendEntriesReply) {
	if m.Round >= p.suspectedRound && m.Match >= p.match {
		p.suspectedRound = 0
	}
}

// counts tells whether what p has acknowledged is known to be there.
func (p *progress) trusted() bool { return p.state != lost && p.suspectedRound == 0 }

// shutOut has p count for nothing, and tells it so as long as it answers.
func (r *Raft) shutOut(p *progress) {
	if p.state != lost {
		p.state, p.probeSent, p.snapshotFailed, p.window = lost, false, false, window{}
		p.active, p.wasActive, p.leaseUntil = false, false, 0
		r.shutOuts = append(r.shutOuts, p.id)
		if r.transfer.to == p.id {
			r.giveUpTransfer()
		}
	}
	r.send(&LogLost{Header: Header{To: p.id}, Match: p.match})
}

// onLogLost ends this member's part, for good: the hard state remembers.
func (r *Raft) onLogLost(m *LogLost) {
	if m.Match > r.lostLog {
		r.lostLog, r.hardStateDirty = m.Match, true
	}
}

// Failure is why this node has to stop, once that is durable; else nil.
func (r *Raft) Failure() error {
	if r.lostLog == 0 || r.hardStateSeq() > r.persistedSeq {
		return nil
	}
	return lostLogError(r.lostLog, r.log.last())
}

func lostLogError(acknowledged, last Index) error {
	return fmt.Errorf("%w: it had acknowledged up to %d, and its log ends at %d; was an old copy of its directory put back?", ErrLostLog, acknowledged, last)
}
