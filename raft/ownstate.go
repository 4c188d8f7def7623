package raft

import "slices"

// damagedStateTimeouts is after how many election timeouts a state that cannot be sent, and is needed,
// is a reason for a transfer. It may be repaired meanwhile.
const damagedStateTimeouts = 4

// StateDamaged tells a node whether files of its state are damaged, and could not be repaired. A shell
// calls it before Tick.
func (r *Raft) StateDamaged(damaged bool) { r.stateDamaged = damaged }

// watchOwnState transfers leadership when the own state is damaged, and a member needs it: one that
// lacks entries from before the log gets the state of the leader, and of nobody else. All may wait for
// that member. The schedule:
//
//  1. C is down for so long that the witness is full.
//  2. C comes back, and needs a snapshot. A file of the leader A is damaged. The files of B are in
//     order, but differ from those of A: after the next writes A could be repaired by them.
//  3. There are no writes as long as the witness is full, which is as long as C is behind.
func (r *Raft) watchOwnState() {
	l := &r.leader
	if l.stateWanted++; !r.stateDamaged || !slices.ContainsFunc(l.peers, r.needsState) {
		l.stateWanted = 0
	}
	if l.stateWanted >= damagedStateTimeouts*r.cfg.ElectionTimeoutTicks {
		r.transferForDisk(None)
	}
}

// needsState tells whether p answers, and can only be brought up to date by the state.
func (r *Raft) needsState(p *progress) bool {
	return p.match < r.log.base && p.recentlyActive() && p.trusted() && !p.witness
}
