package raft

import "slices"

// damagedStateTimeouts is after how many election timeouts a state that cannot be sent, and is needed,
// is a reason for a transfer. It may be repaired meanwhile.
const damagedStateTimeouts = 4

// damagedPauseTimeouts is how many election timeouts pass after leadership was handed to all others in vain, until
// that begins again. The pause doubles each time, up to maxDamagedRounds times.
const (
	damagedPauseTimeouts = 20
	maxDamagedRounds     = 5
)

// ownState is what a node knows of its own state. It outlasts a term.
type ownState struct {
	damaged bool
	// tried are the voters that leadership was handed to in this round, since the state is damaged.
	tried []NodeID
	// rounds have ended; the next one begins in pause ticks.
	rounds, pause int
}

// StateDamaged tells a node whether files of its state are damaged, and could not be repaired. A shell
// calls it before Tick.
func (r *Raft) StateDamaged(damaged bool) {
	if r.ownState.damaged = damaged; !damaged {
		r.ownState.tried, r.ownState.rounds = nil, 0
	}
}

// watchOwnState transfers leadership when the own state is damaged, and a member needs it: one that
// lacks entries from before the log gets the state of the leader, and of nobody else. All may wait for
// that member. The schedule:
//
//  1. C is down for so long that the witness is full.
//  2. C comes back, and needs a snapshot. A file of the leader A is damaged. The files of B are in
//     order, but differ from those of A: after the next writes A could be repaired by them.
//  3. There are no writes as long as the witness is full, which is as long as C is behind.
//
// The other voter may be damaged too, and hand over as well. So that A and B do not pass leadership to and fro while
// D is in order, a node hands over to each voter once in a round. So that they do not do so for ever where nobody is
// in order, the rounds become rare.
func (r *Raft) watchOwnState() {
	l, s := &r.leader, &r.ownState
	if l.stateWanted++; !s.damaged || !slices.ContainsFunc(l.peers, r.needsState) {
		l.stateWanted = 0
	}
	if l.stateWanted < damagedStateTimeouts*r.cfg.ElectionTimeoutTicks || s.pause > 0 {
		return
	}
	switch to := r.bestSuccessor(s.tried...); {
	case to != None:
		if r.transferAway(to) {
			s.tried = append(s.tried, to)
		}
	case len(s.tried) > 0:
		s.tried, s.pause = nil, damagedPauseTimeouts<<s.rounds*r.cfg.ElectionTimeoutTicks
		s.rounds = min(s.rounds+1, maxDamagedRounds)
	}
}

// needsState tells whether p answers, and can only be brought up to date by the state.
func (r *Raft) needsState(p *progress) bool {
	return p.match < r.log.base && p.recentlyActive() && p.trusted() && !p.witness
}
