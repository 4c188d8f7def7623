//balsa:pure

package rsm

import (
	"math"

	"balsa.example/raft"
)

// SnapshotPolicy says when the log is so long that a snapshot is due.
type SnapshotPolicy struct {
	// MaxRaftState bounds the bytes of log behind the last snapshot. Negative: no snapshots
	// are taken.
	MaxRaftState int64
	// Share raises that bound to this share of the last snapshot's size, where that is more.
	// A snapshot writes the whole state. If the log may grow with the state, the cost of
	// snapshots stays within a constant factor of the cost of the log.
	Share float64
}

// With the defaults a long log costs about three bytes of snapshots for each byte of log.
// At a start, replaying the log takes about as long as restoring the snapshot before it.
const (
	defaultMaxRaftState  = 64 << 20
	defaultSnapshotShare = 0.5
)

// maxLog bounds the bytes of log behind a snapshot of the given size.
func (p SnapshotPolicy) maxLog(snapshotBytes int64) int64 {
	return max(p.MaxRaftState, int64(p.Share*float64(snapshotBytes)))
}

// maxApplied bounds the bytes of all applied entries in the log. It is three times maxLog:
//
//	1  entries kept before the last snapshot (see compactionIndex)
//	1  entries behind it, until the next snapshot is due
//	1  entries that are applied while that snapshot is written
//
// Beyond the bound new entries wait. It is at least maxPendingBytes, so that whatever may be
// admitted at a time fits. It is 0, which means no bound, where no snapshots are taken.
func (p SnapshotPolicy) maxApplied(snapshotBytes, maxPendingBytes int64) int64 {
	if p.MaxRaftState < 0 {
		return 0
	}
	limit := min(p.maxLog(snapshotBytes), math.MaxInt64/3) // of a MaxRaftState that is to be without end
	return max(3*limit, maxPendingBytes)
}

// snapshotUrgent tells whether the applied log fills more than two thirds of its bound. By
// then a snapshot was due (see maxApplied), and writing it has taken long.
func (r *Replica[W]) snapshotUrgent() bool {
	bound := r.MaxAppliedBytes()
	return bound > 0 && int64(r.core.AppliedBytes()) > bound/3*2
}

// spread returns by how many bytes a member takes its next snapshot earlier than limit: 0 to
// limit/2, different for each member and each snapshot. All members have the same log.
// Without this they would write their snapshots at the same time, and a majority would be
// slow at once.
func spread(id raft.NodeID, last raft.Index, limit int64) int64 {
	// The finalizer of splitmix64 (Steele, Lea and Flood 2014) spreads similar inputs.
	x := uint64(id)<<48 ^ uint64(last)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int64(x % uint64(limit/2+1))
}

// compactionIndex returns the index up to which the log may be dropped after a new snapshot.
// The entries behind the snapshot stay. Some before it stay too, since sending entries is
// cheaper than sending a snapshot:
//
//   - a quarter of maxLog, for any follower that is a little behind;
//   - up to maxLog, for a follower that answers and is further behind. One that is just being
//     sent a snapshot needs the entries after that snapshot when it has it. If they were gone
//     it would need the next snapshot, and so on for ever.
//
// A follower still needs another snapshot where more than maxLog is committed while it saves
// one.
func (r *Replica[W]) compactionIndex() raft.Index {
	limit := r.policy.maxLog(r.snapshotBytes)
	keep := r.core.FirstIndexWithin(int(limit/4), r.snapshot.Index) // the first entry kept
	furthest := r.core.FirstIndexWithin(int(limit), r.snapshot.Index)
	status := r.core.Status()
	for _, p := range status.Peers {
		next := max(p.Match, r.snapshotsSent[p.ID]) + 1
		if p.Active && next >= status.FirstIndex { // otherwise it needs a snapshot anyway
			keep = min(keep, max(next, furthest))
		}
	}
	return keep - 1
}

// dropCovered drops entries that the newest snapshot covers, once the state machine has executed all that is in that
// snapshot. One that was received may be ahead of the state machine, and the log may bring the same entries. If the
// log is full by then (see raft.LimitLog), no snapshot of this member follows that would make room.
func (r *Replica[W]) dropCovered() {
	if r.snapshot.Index <= min(r.applied, r.applying) {
		r.obsolete = r.compactionIndex()
		r.compactLog()
	}
}

// compactLog drops the obsolete entries. Those that are not on the own disk yet stay until
// they are: the state machine, and so a snapshot, may be ahead of the own disk.
func (r *Replica[W]) compactLog() {
	if to := min(r.obsolete, r.core.Durable()); to > r.compacted {
		r.compacted, r.compact = to, to
		r.core.Compact(to)
	}
}

// setSnapshot records the newest durable snapshot.
func (r *Replica[W]) setSnapshot(meta raft.SnapshotMeta, bytes int64) {
	r.snapshot, r.snapshotBytes = meta, bytes
	r.bytesSinceSnapshot = int64(r.core.BytesBetween(meta.Index+1, r.applying))
	r.core.LimitLog(int(r.MaxAppliedBytes()))
}

// MaxAppliedBytes bounds the applied part of the log, in the measure of raft.Entry.Size.
// 0 means no bound. Beyond it new entries wait until a snapshot is done.
func (r *Replica[W]) MaxAppliedBytes() int64 {
	return r.policy.maxApplied(r.snapshotBytes, r.maxPendingBytes)
}
