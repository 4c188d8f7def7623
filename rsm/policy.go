//balsa:pure

package rsm

import "balsa/raft"

// SnapshotPolicy says when the applied part of the log is so long that a snapshot is due.
type SnapshotPolicy struct {
	// MaxRaftState is how many bytes of log there may be; negative: no snapshots.
	MaxRaftState int64
	// Share allows more where the newest snapshot is large: this share of its size. A
	// snapshot writes the whole state, so only a log that grows with the state keeps the cost of
	// that within a factor of what is written to the log.
	Share float64
}

// The default: snapshots cost at most about three times the writing of the log, and a log
// that is replayed at a start takes about as long as the snapshot before it.
const (
	defaultMaxRaftState  = 64 << 20
	defaultSnapshotShare = 0.5
)

// maxLog is how many bytes of log there may be after a snapshot of a size.
func (p SnapshotPolicy) maxLog(snapshotBytes int64) int64 {
	return max(p.MaxRaftState, int64(p.Share*float64(snapshotBytes)))
}

// spread is how much earlier a member takes its next snapshot, up to a quarter of max:
// another part on each member and each time. All members have the same log, so without it
// all would write their snapshots at the same moment, again and again, and no
// majority would be free of that.
func spread(id raft.NodeID, last raft.Index, max int64) int64 {
	// The finalizer of splitmix64 (Steele, Lea and Flood 2014) makes any two numbers differ.
	x := uint64(id)<<48 ^ uint64(last)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return int64(x % uint64(max/4+1))
}
