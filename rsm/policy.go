//balsa:pure

package rsm

import "balsa.example/raft"

// SnapshotPolicy says when the log is so long that a snapshot is due.
type SnapshotPolicy struct {
	// MaxRaftState is how many bytes of it there may be behind the last snapshot; negative:
	// no snapshots.
	MaxRaftState int64
	// Share allows more where the last snapshot is large: this share of its size. A snapshot
	// writes the whole state, and only a log that grows with the state keeps the cost
	// of that within a factor of what the log costs.
	Share float64
}

// By default about three bytes of snapshots are written for each byte of a log that is
// long, and to replay it at a start takes about as long as to restore the snapshot before.
const (
	defaultMaxRaftState  = 64 << 20
	defaultSnapshotShare = 0.5
)

// maxLog is how many bytes of log there may be behind a snapshot of a size.
func (p SnapshotPolicy) maxLog(snapshotBytes int64) int64 {
	return max(p.MaxRaftState, int64(p.Share*float64(snapshotBytes)))
}

// maxApplied is how many bytes of log there may be at all that were applied: what is kept
// of it behind the last snapshot (see needless), what makes the next one due, and as
// much again while that is written. Beyond it new entries have to wait. It is no less than
// what may be admitted at a time, and 0, for no bound, where there are no snapshots.
func (p SnapshotPolicy) maxApplied(snapshotBytes, maxPendingBytes int64) int64 {
	if p.MaxRaftState < 0 {
		return 0
	}
	return max(3*p.maxLog(snapshotBytes), maxPendingBytes)
}

// snapshotUrgent tells whether the log has used up two thirds of its bound: those that
// are there when a snapshot becomes due (see maxApplied).
func (r *Replica[W]) snapshotUrgent() bool {
	bound := r.MaxAppliedBytes()
	return bound > 0 && int64(r.core.AppliedBytes()) > bound/3*2
}

// spread is how much earlier a member takes its next snapshot, up to half of max: another
// part on each member and each time. All members have the same log, so without it all
// would write their snapshots at the same moment, again and again, and no majority
// would be free of that.
func spread(id raft.NodeID, last raft.Index, max int64) int64 {
	// The finalizer of splitmix64 (Steele, Lea and Flood 2014) makes any two numbers differ.
	x := uint64(id)<<48 ^ uint64(last)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int64(x % uint64(max/2+1))
}

// needless returns up to where no entry is needed any more, now that there is a new
// snapshot. A part of the log before it stays, a quarter of what there may be behind
// it, for followers that are a little behind: entries are cheaper than a snapshot. For
// one that is further behind and follows, as much stays as there may be: most of all
// for one that a snapshot is on its way to, since by the time that it has that one
// it needs the entries since. Without them it would need the next snapshot, and so on:
// which can still be where more than that is committed while one snapshot is saved.
func (r *Replica[W]) needless() raft.Index {
	most := r.policy.maxLog(r.snapshotBytes)
	keep := r.core.FirstIndexWithin(int(most/4), r.snapshot.Index)
	furthest := r.core.FirstIndexWithin(int(most), r.snapshot.Index)
	status := r.core.Status()
	for _, p := range status.Peers {
		next := max(p.Match, r.sent[p.ID]) + 1
		if p.Active && next >= status.FirstIndex { // else nothing that is here helps it
			keep = min(keep, max(next, furthest))
		}
	}
	return keep - 1
}
