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
//	the leader began after that.
//
// In one term a follower never truncates what it has acknowledged, and a restart finds it.
// A reject that was sent before the acknowledgement, and is late, proves nothing; its round
// tells. What such a member votes before a leader meets it so, nobody can know.

// hasLost tells whether m proves that p has lost what it had acknowledged.
func (p *progress) hasLost(m *AppendEntriesReject) bool {
	endsBefore := m.ConflictTerm == 0 && m.ConflictIndex <= p.match
	return m.Round > p.matchRound && (m.PrevIndex <= p.match || endsBefore)
}

// shutOut has p count for nothing, and tells it so as long as it answers.
func (r *Raft) shutOut(p *progress) {
	if p.state != lost {
		p.state, p.waiting, p.window = lost, false, window{}
		p.active, p.wasActive, p.silentUntil = false, false, 0
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
