package rsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"balsa.example/raft"
)

// DurableMachine is the second kind of state machine: one that keeps its own state on a disk,
// and knows its position, which is the last entry that the state on the disk reflects. There
// are no snapshots of such a machine. Config.Durable takes one, in place of Machine and
// Snapshots. It may be a Hasher too, a Failer, a Preparer, a Timed, a Damageable, an Expediter, which is
// then asked to speed up its checkpoints, and a FetchingMachine.
//
// A replica uses the position so:
//
//	start                    the log is loaded behind the position, and executed from there
//	the log grows            Checkpoint moves the position on; then the log is cut below it
//	a follower lacks the     OpenState streams the state to it; there ReceiveState stores it
//	entries that it needs    beside the own one, and InstallState replaces the own one by it
//
// The position may be ahead of the log on the own disk, since a replica executes what others
// have committed before its own disk has it. After a restart the log then begins anew behind
// the position. A position below what the log was compacted to is an error of Start: the
// machine has lost what it said was durable.
//
// # Which goroutine calls what
//
// One goroutine calls DoOp, Checkpoint and InstallState. Another one runs the work that
// Checkpoint returned, or ReceiveState; never two of these at the same time. OpenState and
// StateOffset are called by any goroutine at any time. Open is called before all others.
type DurableMachine[Op, Result any] interface {
	// Open reads what is on the disk and returns its position: index, term and the
	// configuration in force there, all as Checkpoint or ReceiveState was given them. Index 0 is
	// the state before the first entry. written is about how many bytes the last checkpoint
	// wrote, 0 if that is not known.
	//
	// The position is at least that of the last Checkpoint whose work returned nil, and of the
	// last ReceiveState that returned nil, whichever is further; and the state is exactly that
	// after the entry at the position. An entry that was executed is never executed again on
	// that state. An error ends Start.
	Open() (position raft.SnapshotMeta, written int64, err error)

	// DoOp is that of StateMachine. What it changes need not be durable when it returns: until
	// a checkpoint covers the operation, the log has it.
	DoOp(op Op) Result

	// Checkpoint is called right after the entry at position.Index was executed, and before
	// any later one. That entry may be of any kind, and is often no command, so the position
	// cannot be derived from the operations. Checkpoint should be cheap, because no operation
	// is executed meanwhile. It returns work that makes the state at this position durable.
	//
	// The work runs while DoOp goes on. When it returns nil, the state at position is durable,
	// and entries up to there may disappear from the log. On an error the position of before
	// still holds, the replica goes on, and a later Checkpoint tries again. The exception is
	// an error that is ErrMachineFailed: it stops the replica. The work should end soon after
	// ctx does. written is about how many bytes it wrote: by default the next checkpoint is due
	// after half as many bytes of log, if that is more than 64 MiB (see Config.MaxRaftState).
	Checkpoint(position raft.SnapshotMeta) CheckpointWork

	// OpenState opens a stream of the durable state as it is now, at its position. It stays
	// readable, and the same, until it is closed, whatever is executed, checkpointed or
	// installed meanwhile. Its position is at least that of the last work that returned nil.
	OpenState() (StateStream, error)

	// StateOffset returns how many bytes of a stream ReceiveState has stored durably, if it
	// broke off: then the transfer goes on from there. It returns 0 for every other stream.
	StateOffset(position raft.SnapshotMeta, stream StreamID) int64

	// ReceiveState stores the stream of another replica, beside the own state, from offset on,
	// where offset is what StateOffset returned. If it is not, because another stream was stored
	// since, ReceiveState returns an error. It returns nil when data has ended with io.EOF and
	// the whole state is durable: from then on Open finds it even if InstallState was never
	// called. On any other error of data it keeps what has arrived, so that the transfer can be
	// resumed, at least until it is called with another stream; and the own state is as before.
	// An error that is ErrMachineFailed stops the replica. It returns an error soon after ctx has
	// ended, which it does when the replica stops, or when the log had what is in the state.
	ReceiveState(ctx context.Context, position raft.SnapshotMeta, stream StreamID, offset int64, data io.Reader) error

	// InstallState replaces the state by the one that ReceiveState stored last, and returns its
	// position. want is that position or an earlier one. An error stops the replica. It is no failure if
	// it is context.Canceled: who stops the replica has told the machine first.
	InstallState(want raft.SnapshotMeta) (position raft.SnapshotMeta, err error)
}

// FetchingMachine is a DurableMachine whose stream is short, because ReceiveState fetches the
// files of the state that it lacks. The stream has to tell ReceiveState the member to ask, and
// the names.
type FetchingMachine interface {
	FileOpener
	// UseFetcher is called before Open, if the Transport is a Fetcher.
	UseFetcher(f Fetcher)
}

// CheckpointWork makes a state durable. See DurableMachine.Checkpoint.
type CheckpointWork = func(ctx context.Context) (written int64, err error)

// Checkpoint is the work that makes the state at a position durable, to be done once, in
// another goroutine.
type Checkpoint struct {
	Position raft.SnapshotMeta
	Work     CheckpointWork
}

// failedWork is the work of a checkpoint that cannot be taken.
func failedWork(err error) CheckpointWork {
	return func(context.Context) (int64, error) { return 0, err }
}

// Failer is a DurableMachine that may be unable to execute an operation as other replicas do,
// because it cannot read its own disk.
type Failer interface {
	// Failed is called after each DoOp. An error stops the replica, and the result counts for
	// nothing.
	Failed() error
}

// Damageable is a DurableMachine that can go on while some of its files are damaged.
type Damageable interface {
	// Damaged tells whether files are damaged, and could not be repaired, so that other replicas cannot
	// get the state. If one of them needs it, a leader hands over. It is called with each tick.
	Damaged() bool
}

// Preparer is a DurableMachine for which it is less work to look at many operations together.
type Preparer[Op any] interface {
	// Prepare is called with the operations of the next calls of DoOp. It changes nothing.
	Prepare(ops []Op)
}

// Timed is a DurableMachine that is told how long its operations took.
type Timed interface {
	// Took is called by the goroutine that calls DoOp, after each part of the log that it has executed. It tells how
	// long all calls of DoOp since the last Took have taken together, what was done with their results included.
	Took(all time.Duration)
}

// maxPrepared bounds the operations of one Prepare.
const maxPrepared = 64

// ErrMachineFailed is for a DurableMachine whose disk cannot be trusted any more, after a sync
// that failed for example. A replica stops when Checkpoint's work or ReceiveState returns it.
var ErrMachineFailed = errors.New("the disk of the state machine has failed")

// StreamID names the bytes of a stream: two streams have the same StreamID only if they have
// the same bytes. 0 is no name: the stream cannot be resumed.
type StreamID = uint64

// StateStream is a durable state at one position, as another replica can receive it.
type StateStream struct {
	Position raft.SnapshotMeta
	ID       StreamID
	// Data is an io.Seeker too if ID is not 0. A Read that takes longer than 10 s may end the
	// transfer, so that a disk that hangs does not keep the receiver waiting. After an error of Read or Seek the stream is
	// closed, and the next transfer opens a new one.
	Data io.ReadCloser
}

// WithSnapshots makes a DurableMachine of a StateMachine: its durable state is the newest of
// its snapshots. Such a machine cannot resume a stream.
func WithSnapshots[Op, Result any](m StateMachine[Op, Result], s Snapshots) DurableMachine[Op, Result] {
	return snapshotMachine[Op, Result]{m, s}
}

type snapshotMachine[Op, Result any] struct {
	StateMachine[Op, Result]
	snapshots Snapshots
}

func (m snapshotMachine[Op, Result]) Open() (raft.SnapshotMeta, int64, error) {
	return m.restore(raft.SnapshotMeta{})
}

func (m snapshotMachine[Op, Result]) InstallState(want raft.SnapshotMeta) (raft.SnapshotMeta, error) {
	meta, _, err := m.restore(want)
	return meta, err
}

// restore replaces the state by the newest snapshot, which must be at least want. One of
// index 0 stands for the state that the machine begins with.
func (m snapshotMachine[Op, Result]) restore(want raft.SnapshotMeta) (meta raft.SnapshotMeta, bytes int64, err error) {
	meta, data, err := m.snapshots.OpenSnapshot()
	if err != nil {
		return meta, 0, fmt.Errorf("open snapshot %s: %w", want, err)
	}
	defer data.Close()
	switch {
	case meta.Index < want.Index:
		return meta, 0, fmt.Errorf("open snapshot %s: the newest is %s", want, meta)
	case meta.Index == 0:
		return meta, 0, nil
	}
	counted := &countingReader{r: data}
	if err := m.Restore(counted); err != nil {
		return meta, 0, fmt.Errorf("restore snapshot %s: %w", meta, err)
	}
	return meta, counted.n, nil
}

func (m snapshotMachine[Op, Result]) Checkpoint(meta raft.SnapshotMeta) CheckpointWork {
	image, err := m.Snapshot()
	return func(ctx context.Context) (bytes int64, _ error) {
		if err != nil {
			return 0, err
		}
		err := m.snapshots.SaveSnapshot(meta, func(w io.Writer) (err error) {
			u := &untilDone{ctx: ctx, w: w}
			bytes, err = image.WriteTo(u)
			return cmp.Or(err, u.err) // also where WriteTo ignores the error of a Write
		})
		if c, ok := image.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
		return bytes, err
	}
}

func (m snapshotMachine[Op, Result]) OpenState() (StateStream, error) {
	meta, data, err := m.snapshots.OpenSnapshot()
	return StateStream{Position: meta, Data: data}, err
}

func (m snapshotMachine[Op, Result]) StateOffset(raft.SnapshotMeta, StreamID) int64 { return 0 }

func (m snapshotMachine[Op, Result]) ReceiveState(_ context.Context, meta raft.SnapshotMeta, _ StreamID, offset int64, data io.Reader) error {
	if offset != 0 {
		return fmt.Errorf("receive snapshot %s: its data begins at %d, want 0", meta, offset)
	}
	return m.snapshots.SaveSnapshot(meta, func(w io.Writer) error {
		_, err := io.Copy(w, data)
		return err
	})
}

// untilDone fails when ctx has ended, so that Stop does not wait until a large snapshot is
// written or received.
type untilDone struct {
	ctx context.Context
	w   io.Writer
	r   io.Reader
	err error
}

func (u *untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		u.err = ErrStopped
		return 0, u.err
	}
	return u.w.Write(p)
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, ErrStopped
	}
	return u.r.Read(p)
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
