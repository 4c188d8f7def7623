package rsm

import (
	"context"
	"io"

	"balsa.example/raft"
)

// Storage keeps what a replica must not forget. wal is the real one; a
// test can make one from a map. rsmtest.TestStorage checks anybody's. Save is called by one goroutine and SaveSnapshot
// by another, at the same time; OpenSnapshot by any.
//
// Any error from Save or Compact stops the replica for good: after a failed sync
// nobody can know what is on the disk, so nothing may be promised any more.
type Storage interface {
	// Load returns what survived. It is called once, before all else. The entries
	// returned follow State.Snapshot without a gap: a snapshot that is newer than
	// the log, or that the log contradicts, replaces the log. Both happen without a leader's
	// snapshot too, since an own one may be of a state that the log on disk has not reached:
	// the log counts only if it holds the snapshot's index with the snapshot's term.
	Load() (raft.State, error)

	// Save makes every Persist of ps durable, in order, and returns only then: one
	// sync may serve them all. Each takes effect as a whole or not at all. Without any it
	// tells whether the storage still works, which matters when a snapshot failed.
	Save(ps []raft.Persist) error

	// SaveSnapshot stores a snapshot whose data write produces, and returns when it
	// is durable and is what Load and OpenSnapshot would find, unless they have a
	// newer one. If write fails, its error is returned and nothing changes.
	SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error

	// OpenSnapshot opens the newest snapshot. Of a new cluster's one at index 0 the
	// reader is empty. It stays readable when newer snapshots arrive.
	OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error)

	// Compact says that entries up to and with index are not needed any more, since
	// a durable snapshot covers them. Their space may be reclaimed at any time.
	Compact(index raft.Index) error
}

// Expediter is a Storage that writes snapshots slowly, so that nobody has to wait behind
// them, and can do without that when the log has grown so much that all wait for them.
type Expediter interface {
	// ExpediteSnapshots says whether snapshots are urgent, from now on. It is called by
	// one goroutine, and does not block.
	ExpediteSnapshots(urgent bool)
}

// Transport carries messages to other replicas. transport is the real one, and
// rsmtest.TestTransport checks anybody's.
//
// It must deliver what it delivers as it was, and to whom it was sent; and it must let
// messages pass beside a snapshot, which takes minutes. It may lose, repeat, delay and
// reorder messages: Raft expects that, but keeps its speed only where they mostly arrive
// soon and in order. It should tell [Node.Unreachable] when the connection to a member
// breaks: without that a new leader is found an election timeout later. And it should
// notice by itself, within about an election timeout, when nothing comes through a
// connection any more: a kernel takes minutes for that.
type Transport interface {
	// Send hands over messages, each to its Head().To, and returns at once. Those
	// that cannot go soon are dropped: Raft will say it again. It must be able to carry
	// one operation of MaxOpBytesLimit in a message; else such a one is sent for ever, and
	// all that comes after it waits.
	Send(ms []raft.Message)

	// SendSnapshot streams data to m.To and returns when its receiver has stored all
	// of it (its ReceiveSnapshot returned nil), or with the reason why not.
	SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error
}

// Receiver is what a Transport delivers to. A Node is one.
type Receiver interface {
	// Receive takes a message that arrived. It does not block.
	Receive(m raft.Message)

	// ReceiveSnapshot stores a snapshot that arrives and returns when it is durable.
	// An error, be it from data or from the disk, has changed nothing.
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}
