package rsm

import (
	"time"

	"balsa.example/raft"
)

// Status is the state of a replica at one moment.
type Status struct {
	raft.Status
	// LogBytes is the size of the log held after the last compaction.
	LogBytes int64
	// Snapshot is the newest durable snapshot.
	Snapshot raft.SnapshotMeta
	// SnapshotBytes is about its size, 0 if that is not known.
	SnapshotBytes int64
	// Pending counts the Submits whose outcome is not known yet.
	Pending int
	// Alarm tells that the states of the replicas differ and no majority agrees. See
	// ErrAlarm.
	Alarm bool
	// Diverged are the other members whose state was found to differ from that of a
	// majority, in rising order. See ErrDiverged.
	Diverged []raft.NodeID
	// DiskWait is how long the present call of Log.Save or Compact has taken so far. If
	// it is much longer than a sync takes, the disk hangs.
	DiskWait time.Duration
	// Damaged tells that files of the state are damaged, and could not be repaired yet. See Damageable.
	Damaged bool
}
