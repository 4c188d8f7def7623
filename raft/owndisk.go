package raft

import (
	"cmp"
	"slices"
)

// diskWatch lets a leader notice that its own disk is slower than a follower's. It watches one
// entry at a time, and compares how long each disk takes for it. Ages are in ticks.
type diskWatch struct {
	// watched is the entry, 0 if there is none, and age counts from when it was appended.
	watched Index
	age     int
	// ahead are the voters that were found to have the entry on disk, in the order of that.
	ahead []diskAge
	// notBefore is the age before which no transfer begins.
	notBefore int
	// last is where the log ended at the last tick.
	last Index
}

// diskAge is how old the watched entry was when it was found to be on the disk of a voter.
type diskAge struct {
	peer *progress
	age  int
}

const (
	// slowDiskFactor is how many times as long as a follower's disk the own one takes if it is
	// slower. A write may have to wait for the one before it, so that disks of equal speed
	// differ by a factor of two.
	slowDiskFactor = 3
	// diskTransferPauseTimeouts is how many election timeouts pass from one transfer because of
	// the own disk to the next. A transfer holds up writes, and it may fail: there may be no
	// voter that could take over, or none with a better disk.
	diskTransferPauseTimeouts = 10
)

// watchOwnDisk transfers leadership when the own disk is overdue and another voter's is not. A
// leader does not need its own disk to commit (thesis 10.2.1). But while its disk hangs the
// cluster tolerates one failure less, and the entries that wait for that disk have a bound.
//
// The own disk is overdue if it takes three times as long for the watched entry as that of another
// voter, and three election timeouts at least. So no transfer begins where all disks are equally
// slow. After one that failed, three times as much time has to pass.
//
// A leader that has committed nothing in its term makes no transfer: it may be the only voter
// that can be elected. Nor does one without which there is no quorum: each commit would wait for its disk
// all the same, and the election of the other, too, while this one still serves reads.
func (r *Raft) watchOwnDisk() {
	w := &r.leader.ownDisk
	better := r.compareDisks()
	if len(better) == 0 || !r.othersActive() {
		return
	}
	best := slices.MaxFunc(better, func(a, b *progress) int { return cmp.Compare(a.match, b.match) })
	if r.transferAway(best.id) {
		w.notBefore = slowDiskFactor * w.age
	}
}

// othersActive tells whether the peers that this leader hears are a quorum without it.
func (r *Raft) othersActive() bool {
	votes := map[NodeID]bool{}
	for _, p := range r.leader.peers {
		votes[p.id] = p.recentlyActive()
	}
	return r.wins(votes)
}

// transferAway begins a transfer because of the own disk, or the own state, unless the last one was a short time ago.
func (r *Raft) transferAway(to NodeID) bool {
	if r.diskTransferPauseTicks > 0 || r.leader.transfer.to != None || !r.committedOwnTerm() || r.TransferLeadership(to) != nil {
		return false
	}
	r.diskTransferPauseTicks = diskTransferPauseTimeouts * r.cfg.ElectionTimeoutTicks
	return true
}

// compareDisks returns the voters whose disks have shown to be better than the own one.
func (r *Raft) compareDisks() (better []*progress) {
	w := &r.leader.ownDisk
	appended := r.log.last() > w.last
	w.last = r.log.last()
	if w.watched <= r.log.stable {
		w.watched, w.age, w.ahead, w.notBefore = 0, 0, nil, 0
		// An entry of the last tick is new enough that its age is known. If the disk is so far
		// behind that no entry may be appended, an older one has to do.
		if appended || r.diskBehind(1) {
			w.watched = w.last
		}
		return nil
	}
	w.age++
	for _, p := range r.votersAhead(w.watched) {
		if !slices.ContainsFunc(w.ahead, func(d diskAge) bool { return d.peer == p }) {
			w.ahead = append(w.ahead, diskAge{p, max(w.age, r.cfg.ElectionTimeoutTicks)})
		}
	}
	for _, d := range w.ahead {
		if w.age >= max(slowDiskFactor*d.age, w.notBefore) && d.peer.recentlyActive() && r.mayLead(d.peer.id) {
			better = append(better, d.peer)
		}
	}
	return better
}

// votersAhead returns the other voters that answer and have everything up to index on disk.
func (r *Raft) votersAhead(index Index) (peers []*progress) {
	for _, p := range r.leader.peers {
		if p.match >= index && p.recentlyActive() && r.mayLead(p.id) {
			peers = append(peers, p)
		}
	}
	return peers
}
