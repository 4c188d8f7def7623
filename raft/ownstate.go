package raft

import "slices"

// unfitTimeouts is after how many election timeouts in which a leader is unfit (see watchOwnState) it hands over.
// It may be repaired meanwhile, a snapshot may take long on a healthy disk as well, and so may a command.
const unfitTimeouts = 4

// unfitPauseTimeouts is how many election timeouts pass after leadership was handed to all others in vain, until
// that begins again. The pause doubles each time, up to maxUnfitRounds times.
const (
	unfitPauseTimeouts = 20
	maxUnfitRounds     = 5
)

// ownState is what a node knows of its own state. It outlasts a term.
type ownState struct {
	damaged bool
	// applied is how far the state machine was at the last tick. stuck counts the ticks since then in which it had work,
	// and finished nothing, and full those for which the log is full.
	applied     Index
	stuck, full int
	// tried are the voters that leadership was handed to in this round, since this node is unfit.
	tried []NodeID
	// rounds have ended; the next one begins in pause ticks. fit counts the ticks since the node was unfit last.
	rounds, pause, fit int
	// aside is for how many ticks this node leaves it to others to lead (see standsAside).
	aside int
}

// StateDamaged tells a node whether files of its state are damaged, and could not be repaired. A shell
// calls it before Tick.
func (r *Raft) StateDamaged(damaged bool) { r.ownState.damaged = damaged }

// tickOwnState notes whether the state machine goes on. A node that has been fit for as long as its last pause took
// begins anew: if a machine is slow, each command may take it longer than unfitTimeouts.
func (r *Raft) tickOwnState() {
	s := &r.ownState
	s.pause, s.aside = max(0, s.pause-1), max(0, s.aside-1)
	if s.stuck++; r.applied == r.applying || r.applied != s.applied {
		s.stuck = 0
	}
	s.applied = r.applied
	if s.full++; !r.logFull() {
		s.full = 0
	}
	if s.fit++; s.damaged || s.stuck > 0 || s.full > 0 {
		s.fit = 0
	}
	if s.fit > unfitPauseTimeouts<<s.rounds*r.cfg.ElectionTimeoutTicks {
		s.tried, s.rounds, s.fit = nil, 0, 0
	}
}

// watchOwnState transfers leadership when this leader is unfit, in one of these ways, for some time. The log goes on
// through it, so the others see nothing wrong.
//
//   - Its state machine has work, and finishes nothing. Nobody gets a result, and in the end it takes no commands
//     (Config.MaxPendingBytes). A slow one finishes something.
//   - Its log is full (see LimitLog), and nothing makes room. It takes no commands.
//   - Its state is damaged, and a member needs it: one that lacks entries from before the log gets the state of the
//     leader, and of nobody else. All may wait for that member.
//
// A schedule of the last kind:
//
//  1. C is down for so long that the witness is full.
//  2. C comes back, and needs a snapshot. A file of the leader A is damaged. The files of B are in
//     order, but differ from those of A: after the next writes A could be repaired by them.
//  3. There are no writes as long as the witness is full, which is as long as C is behind.
//
// The other voter may be unfit too, and hand over as well. So that A and B do not pass leadership to and fro while
// D is in order, a node hands over to each voter once in a round. So that they do not do so for ever where nobody is
// in order, the rounds become rare.
func (r *Raft) watchOwnState() {
	l, s := &r.leader, &r.ownState
	if l.stateWanted++; !s.damaged || !slices.ContainsFunc(l.peers, r.needsState) {
		l.stateWanted = 0
	}
	if !r.machineHangs() && l.stateWanted < unfitTimeouts*r.cfg.ElectionTimeoutTicks || s.pause > 0 {
		return
	}
	switch to := r.bestSuccessor(s.tried...); {
	case to != None:
		if r.transferAway(to) {
			s.tried = append(s.tried, to)
		}
	case len(s.tried) > 0 && r.diskTransferPauseTicks == 0 && !r.machineHinders(): // else it makes room first
		r.endUnfitRound()
	}
}

// endUnfitRound begins the pause after a round.
func (r *Raft) endUnfitRound() {
	s := &r.ownState
	s.tried, s.pause = nil, unfitPauseTimeouts<<s.rounds*r.cfg.ElectionTimeoutTicks
	s.rounds = min(s.rounds+1, maxUnfitRounds)
}

// unfitPause is the pause that goes on, or that begins when this node has tried all others in vain.
func (r *Raft) unfitPause() int {
	s := &r.ownState
	if s.pause == 0 && len(s.tried) > 0 {
		return unfitPauseTimeouts << s.rounds * r.cfg.ElectionTimeoutTicks
	}
	return s.pause
}

// machineHangs tells whether the state machine has finished nothing that it was given, or no snapshot that makes room
// in a full log, for so long that another node should lead.
func (r *Raft) machineHangs() bool {
	return max(r.ownState.stuck, r.ownState.full) >= unfitTimeouts*r.cfg.ElectionTimeoutTicks
}

// needsState tells whether p answers, and can only be brought up to date by the state.
func (r *Raft) needsState(p *progress) bool {
	return p.match < r.log.base && p.recentlyActive() && p.trusted() && !p.witness
}
