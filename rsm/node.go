package rsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"balsa/raft"
)

// What may come out of Submit besides a result. Only ErrWrongLeader and ErrBusy
// say that the operation was not and will never be executed; with any other
// error, a context's included, its fate is unknown.
var (
	// ErrWrongLeader: this replica is not the leader, or lost the operation's place
	// in the log to another leader. Certainly not executed. See NotLeaderError.
	ErrWrongLeader = errors.New("not the leader")
	// ErrBusy: too much is waiting already. Certainly not executed; try later.
	ErrBusy = errors.New("too many operations in progress")
	// ErrStopped: the replica stopped first. Unknown whether executed.
	ErrStopped = errors.New("replica stopped")
	// ErrUnknown: a snapshot from the leader covered the operation's place in the
	// log before its fate was seen here. Unknown whether executed.
	ErrUnknown = errors.New("outcome unknown")
)

// NotLeaderError is an ErrWrongLeader that knows who leads.
type NotLeaderError struct {
	Leader raft.NodeID // raft.None if nobody is known
}

func (e *NotLeaderError) Error() string {
	if e.Leader == raft.None {
		return "not the leader; no leader is known"
	}
	return fmt.Sprintf("not the leader; the leader is %s", e.Leader)
}

// Is makes errors.Is(err, ErrWrongLeader) true.
func (e *NotLeaderError) Is(target error) bool { return target == ErrWrongLeader }

// Config says how to run a replica. ID, Machine, Codec, Storage and Transport are
// required; the rest has defaults.
type Config[Op, Result any] struct {
	ID        raft.NodeID
	Machine   StateMachine[Op, Result]
	Codec     Codec[Op]
	Storage   Storage
	Transport Transport

	// MaxRaftState is how many bytes of log trigger a snapshot; -1 means never.
	// Default 64 MiB.
	MaxRaftState int64
	// HeartbeatInterval and ElectionTimeout default to 50 ms and 500 ms. An election
	// begins between one and two timeouts after the last word from a leader.
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	// LeaseReads lets a leader serve ReadLease without asking its followers, as long
	// as no two clocks of the cluster run at rates that differ by more than
	// MaxClockDrift (a fraction, default 0.1). All replicas must agree on it.
	LeaseReads    bool
	MaxClockDrift float64
	// MaxPendingBytes bounds the log that is not yet applied; beyond it Submit says
	// ErrBusy. Default 64 MiB.
	MaxPendingBytes int64
	// Seed feeds the election timeouts. Zero: chosen at random.
	Seed   uint64
	Logger *slog.Logger
}

// ReadMode says what a Read stands on.
type ReadMode uint8

const (
	// ReadIndex asks a majority that this leader still leads: no assumption on clocks.
	ReadIndex ReadMode = iota
	// ReadLease relies on the leader's lease (Config.LeaseReads), and falls back to
	// ReadIndex where it holds none.
	ReadLease
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
}

// Node is a running replica of a state machine: the shell around a Replica, with
// its goroutines, its clock, its disk and its network.
type Node[Op, Result any] struct{}

// Start restores the state from cfg.Storage and runs the replica until Stop, or
// until its storage fails (see Done).
func Start[Op, Result any](cfg Config[Op, Result]) (*Node[Op, Result], error) {
	return nil, errors.New("not built yet")
}

// Submit replicates op and returns what DoOp returned for it on this replica. It
// returns when the fate of op is known or ctx ends.
func (n *Node[Op, Result]) Submit(ctx context.Context, op Op) (Result, error) {
	var zero Result
	return zero, ErrStopped
}

// SubmitFunc is Submit without waiting: done is called exactly once, with what
// Submit would return, from a goroutine of the node or from this one. It must not
// block.
func (n *Node[Op, Result]) SubmitFunc(op Op, done func(Result, error)) {}

// Read returns nil when the state machine of this replica reflects every operation
// that was acknowledged, by any replica, before Read was called. On error
// (ErrWrongLeader where no leader is known or it changed, ErrStopped, or ctx's) it
// says nothing about the state. Any replica can be asked; followers ask the leader.
func (n *Node[Op, Result]) Read(ctx context.Context, mode ReadMode) error { return ErrStopped }

// ReadFunc is Read without waiting, as SubmitFunc is Submit.
func (n *Node[Op, Result]) ReadFunc(mode ReadMode, done func(error)) {}

// TransferLeadership hands leadership to the given replica, or with raft.None to
// the most caught-up one, and returns when another leader is known.
func (n *Node[Op, Result]) TransferLeadership(ctx context.Context, to raft.NodeID) error {
	return ErrStopped
}

// Status returns a picture of the replica.
func (n *Node[Op, Result]) Status() Status { return Status{} }

// Receive is part of Receiver.
func (n *Node[Op, Result]) Receive(m raft.Message) {}

// ReceiveSnapshot is part of Receiver.
func (n *Node[Op, Result]) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	return ErrStopped
}

// Done is closed when the replica has stopped, by Stop or by failing.
func (n *Node[Op, Result]) Done() <-chan struct{} { return nil }

// Err tells after Done why the replica failed; nil after a plain Stop.
func (n *Node[Op, Result]) Err() error { return nil }

// Stop ends the replica and returns when no goroutine of it is left. It closes
// neither the Storage nor the Transport. Pending Submits get ErrStopped.
func (n *Node[Op, Result]) Stop() {}
