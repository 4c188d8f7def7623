package rsm

import (
	"io"

	"balsa.example/raft"
)

// Log keeps a replica's hard state and log entries. wal.Log is one. rsmtest.TestLog checks any
// implementation. Load is called first and once; after that one goroutine calls Save and
// Compact.
//
// Any error from Save or Compact stops the replica for good: after a failed sync it is not
// known what is on the disk, so nothing may be promised any more.
type Log interface {
	// Load returns the hard state, and the entries that follow from.Index without a gap.
	// from is where the state machine begins: the meta of the newest snapshot, or the position
	// of a machine that keeps its own state. State.Snapshot is from.
	//
	//   - The entries count only if the log holds from.Index with from.Term. Otherwise the state
	//     machine is ahead of the log, or the log contradicts it: then the log is replaced by an
	//     empty one behind from, durably before the next Save, and the hard state stays.
	//     Both can happen without a snapshot from the leader: a replica may execute what others
	//     have committed before its own disk has it.
	//   - It is an error if from.Index is below what the log was compacted to, or restarted
	//     from (see Save): the entries between are gone.
	//   - A from.Index of 0 means the beginning of the cluster. State.Snapshot then has the
	//     configuration that the log was created with.
	Load(from raft.SnapshotMeta) (raft.State, error)

	// Save makes every Persist of ps durable, in order, and returns only then. One sync may
	// serve them all. Each takes effect as a whole or not at all. A Persist with a Snapshot
	// restarts the log behind that snapshot. It is durable by then, in the Snapshots or the
	// machine. A Save of nothing returns an error if the log has failed before.
	Save(ps []raft.Persist) error

	// Compact says that the entries up to and with index are no longer needed, since a durable
	// state covers them. Their space may be reclaimed at any later time.
	Compact(index raft.Index) error
}

// Snapshots keeps the newest snapshot of a StateMachine. wal.Log is one.
// rsmtest.TestSnapshots checks any implementation. One goroutine calls SaveSnapshot, at the
// same time as another calls Save of the Log; any goroutine calls OpenSnapshot.
type Snapshots interface {
	// SaveSnapshot stores a snapshot whose data write produces. When it returns nil the
	// snapshot is durable, and OpenSnapshot opens it, or a newer one if there is one already.
	// If write fails, SaveSnapshot returns its error, and nothing changes.
	SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error

	// OpenSnapshot opens the newest snapshot. If none was saved, the meta has index 0 and the
	// reader is empty. The reader stays readable when newer snapshots are saved.
	OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error)
}

// Storage is a Log and the Snapshots that belong to it.
type Storage interface {
	Log
	Snapshots
}

// Expediter is a Snapshots that usually writes slowly, so that Save rarely waits behind it,
// and can write at full speed when the log has grown so much that new entries wait for the
// snapshot.
type Expediter interface {
	// ExpediteSnapshots says whether snapshots are urgent from now on, the one that is being
	// written included. One goroutine calls it. It does not block.
	ExpediteSnapshots(urgent bool)
}
