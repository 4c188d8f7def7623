package rsm

import (
	"time"

	"balsa.example/raft"
)

// Status is a picture of a replica at one moment.
type Status struct {
	raft.Status
	// LogBytes is the size of the log held after the last compaction.
	LogBytes int64
	// Snapshot is the newest durable snapshot.
	Snapshot raft.SnapshotMeta
	// Pending counts the Submits whose fate is not known yet.
	Pending int
	// Alarm: the states of the replicas differ, and no majority agrees. See ErrAlarm.
	Alarm bool
	// Diverged are the other members whose state was found to differ from that of a
	// majority, in their order. See ErrDiverged.
	Diverged []raft.NodeID
	// DiskWait is how long the call of Storage that is under way has taken so far: when it
	// grows beyond what a sync takes, the disk hangs.
	DiskWait time.Duration
}
