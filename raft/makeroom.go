package raft

// This file is how a leader makes room whose own disk, or own state machine, keeps the cluster from serving, and who
// does not hear one that it could hand over to.

// diskHinders tells whether this leader should make room for another one. Its own disk hangs, it can commit
// nothing, and those voters are a quorum of whom it does not know that their disks hang too. A bad schedule
// otherwise, of five voters:
//
//  1. The disks of the leader L and of H hang. A and B lack entries that L has compacted. C is not
//     connected to L, and lacks nothing.
//  2. L cannot read its snapshot for A and B. They and H keep it in office.
//  3. C asks for pre-votes. A and B do not answer, since they hear from L. With C they would get what they
//     lack, and commit.
//
// Where the disks of a majority hang L stays: it still serves reads.
func (r *Raft) diskHinders() bool {
	w := &r.leader.ownDisk
	return r.ownDiskHangs() && r.commit < w.watched && r.othersServe(func(p *progress) bool {
		return p.match >= w.watched || p.state == snapshot || !p.recentlyActive()
	})
}

// machineHinders is the same of a leader whose state machine hangs, so that it executes nothing, or takes nothing. Those
// that it hears and that could lead do not count: it hands over to them (see watchOwnState). A bad schedule otherwise,
// where F could lead and W is a witness:
//
//  1. The state machine of the leader L hangs. Nothing that F sends reaches L.
//  2. L commits with W, which keeps it in office.
//  3. F asks for pre-votes. W does not answer, since it hears from L. F and W could serve.
//
// F may be down as well. So L makes room once in a round.
func (r *Raft) machineHinders() bool {
	return r.machineHangs() && r.ownState.pause == 0 && r.leader.transfer.to == None && r.othersServe(func(p *progress) bool {
		return !p.recentlyActive() || !r.mayLead(p.id)
	})
}

// othersServe tells whether the peers of which well is true are a quorum without this leader, and one of them could
// lead.
func (r *Raft) othersServe(well func(*progress) bool) bool {
	votes, successor := map[NodeID]bool{}, false
	for _, p := range r.leader.peers {
		if well(p) {
			votes[p.id] = true
			successor = successor || r.mayLead(p.id)
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
