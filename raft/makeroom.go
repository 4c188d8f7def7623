package raft

// This file is how a leader makes room whose own state machine keeps the cluster from serving, and who does not hear
// one that it could hand over to. Where its own disk does, its followers see to that (see stall).

// machineHinders tells whether this leader should make room for another one. Its state machine hangs, so that it
// executes nothing, or takes nothing, and those that it does not hear, or that could not lead, are a quorum without it. To
// one that it hears and that could lead it hands over (see watchOwnState). A bad schedule otherwise, where F could lead
// and W is a witness:
//
//  1. The state machine of the leader L hangs. Nothing that F sends reaches L.
//  2. L commits with W, which keeps it in office.
//  3. F asks for pre-votes. W does not answer, since it hears from L. F and W could serve.
//
// F may be down as well. So L makes room once in a round. The same holds where L hears F, and F lacks entries that L has
// cut from its log: L cannot hand over to it, and its state machine does not give a state. W may still have the entries.
func (r *Raft) machineHinders() bool {
	if !r.machineHangs() || r.ownState.pause > 0 || r.leader.transfer.to != None {
		return false
	}
	votes, successor := map[NodeID]bool{}, false
	for _, p := range r.leader.peers {
		if mayLead := r.mayLead(p.id); !mayLead || !p.recentlyActive() || r.needsState(p) {
			votes[p.id] = true
			successor = successor || mayLead
		}
	}
	return successor && r.wins(votes)
}

// asideTimeouts is for how many election timeouts a leader that has made room, and whose state machine still hangs,
// leaves it to others to lead. It may be a witness that is elected, which asks one voter after the other, and they may
// have longer timeouts. In the end this one may lead again: perhaps nobody else has the log.
const asideTimeouts = 20

// standAside makes room because of the state machine.
func (r *Raft) standAside() {
	r.ownState.aside = asideTimeouts * r.cfg.ElectionTimeoutTicks
	r.endUnfitRound()
	r.becomeFollower(r.term, None)
}

// standsAside tells whether this node leaves it to others to lead. Where its disk hangs it could not be elected.
func (r *Raft) standsAside() bool {
	return r.diskHangs() || r.machineHangs() && r.ownState.aside > 0
}
