package raft

import (
	"cmp"
	"slices"
)

// diskWatch lets a leader notice that its own disk is worse than a follower's: it takes one
// entry at a time, and compares how long each disk takes for that.
type diskWatch struct {
	// mark is the entry, 0 if there is none; age counts the ticks since it was appended. last
	// is where the log ended at the last tick.
	mark, last Index
	age        int
	// look is the age at which it is noted in ahead who has the entry on disk already.
	look  int
	ahead []*progress
	// full counts the ticks since the log became full (see LimitLog) under this leader;
	// wasFull tells that it was so before.
	full    int
	wasFull bool
	// pause counts the ticks until this node may hand over again. It outlasts the reign.
	pause int
}

const (
	// ownDiskShare is how many times as long as a follower's the own disk takes if it is
	// worse. A write may wait for the one before it, so that disks of equal speed differ by
	// a factor of two.
	ownDiskShare = 3
	// fullLogTimeouts is after how many election timeouts a log that waits for its snapshot
	// is a reason to hand over. A snapshot takes long on a healthy disk too, and the
	// followers write theirs at about the same time.
	fullLogTimeouts = 4
	// ownDiskPause is how many election timeouts pass after a leader has begun to hand over
	// because of its disk until this node does so again: if nobody could take over, or the
	// others are no better, writes shall not be held up over and over.
	ownDiskPause = 10
)

// watchOwnDisk hands leadership over when the own disk is overdue and another voter's
// is not. A leader does not need its own disk to commit (thesis 10.2.1), but while that
// hangs the cluster bears one failure less, and what waits for it has a bound.
//
// Overdue is an entry that others had on disk within an election timeout, and that is not
// on the own one after three; or, where nobody had it so soon, within three and not after nine,
// and so on. Where all disks are equally slow that does not happen, and leadership stays.
// So does a leader that has committed nothing yet: it may be the only one who can be elected.
func (r *Raft) watchOwnDisk() {
	w := &r.ownDisk
	overdue := r.compareDisks()
	if w.full++; !r.logFull() {
		w.full, w.wasFull = 0, false
	}
	if !w.wasFull && w.full == fullLogTimeouts*r.cfg.ElectionTimeoutTicks {
		overdue, w.full = r.votersAhead(r.commit), 0
	}
	if len(overdue) == 0 || w.pause > 0 || r.transfer.to != None || !r.committedOwnTerm() {
		return
	}
	best := slices.MaxFunc(overdue, func(a, b *progress) int { return cmp.Compare(a.match, b.match) })
	if r.TransferLeadership(best.id) == nil {
		w.pause = ownDiskPause * r.cfg.ElectionTimeoutTicks
	}
}

// compareDisks returns those whose disks are better, when that is known.
func (r *Raft) compareDisks() []*progress {
	w := &r.ownDisk
	fresh := r.log.last() > w.last
	w.last = r.log.last()
	if w.mark <= r.log.stable {
		w.mark, w.age, w.look, w.ahead = 0, 0, r.cfg.ElectionTimeoutTicks, nil
		if fresh || r.diskBehind(1) { // only of a fresh one the age is known
			w.mark = w.last
		}
		return nil
	}
	w.age++
	if w.age < ownDiskShare*w.look {
		if w.age == w.look {
			w.ahead = r.votersAhead(w.mark)
		}
		return nil
	}
	better := slices.DeleteFunc(w.ahead, func(p *progress) bool { return !p.recentlyActive() })
	w.look, w.ahead = w.age, r.votersAhead(w.mark)
	return better
}

// ahead returns the voters that are there and have everything up to index on disk.
func (r *Raft) votersAhead(index Index) (peers []*progress) {
	for _, p := range r.peers {
		if p.match >= index && p.recentlyActive() && r.configuration().Voters.Contains(p.id) {
			peers = append(peers, p)
		}
	}
	return peers
}
