//balsa:pure

package rsm

import (
	"errors"
	"fmt"
	"io"

	"balsa.example/raft"
)

// ApplyTask is work for the state machine, in the order of its fields.
type ApplyTask[W any] struct {
	// Restore, if not nil, asks to replace the state by the newest snapshot, which is at
	// least this one.
	Restore *raft.SnapshotMeta
	// Hash, if not 0, asks for the hash of the state at that index, in place of any index
	// asked for before. Report with StateHashed. If the state is beyond it, report nothing.
	Hash raft.Index
	// Commands are the next entries. Report with Applied.
	Commands []Command[W]
	// TakeSnapshot, if not nil, asks for an image of the state right after Commands, to be
	// saved under this meta. Report with SnapshotDone.
	TakeSnapshot *raft.SnapshotMeta
}

// Empty tells whether there is nothing to do.
func (t *ApplyTask[W]) Empty() bool {
	return t.Restore == nil && t.Hash == 0 && len(t.Commands) == 0 && t.TakeSnapshot == nil
}

// Command is an entry to apply. If HasWaiter, the result belongs to Waiter.
type Command[W any] struct {
	Entry     raft.Entry
	Waiter    W
	HasWaiter bool
}

// Applier is the pure part of the goroutine that owns a StateMachine. It performs the
// ApplyTasks of a Replica, and knows the index that the state reflects. It calls End exactly
// once for each waiter of each task.
type Applier[Op, Result, W any] struct {
	Machine StateMachine[Op, Result]
	Codec   Codec[Op]
	// Open is Snapshots.OpenSnapshot.
	Open func() (raft.SnapshotMeta, io.ReadCloser, error)
	// End tells a waiter its result or error.
	End func(W, Result, error)
	// Restored, where not nil, is called after each restored snapshot, and Applied after each
	// entry, with the result if that is a command.
	Restored func(raft.SnapshotMeta)
	Applied  func(raft.Entry, Result)
	// Hashed, where not nil, gets the hash that ApplyTask.Hash asks for, if the Machine is a
	// Hasher.
	Hashed func(raft.Index, uint64)

	index      raft.Index // what the machine reflects
	hashWanted raft.Index // the index at which the hash is wanted, or 0
}

// Index is the index of the last entry that the state reflects.
func (a *Applier[Op, Result, W]) Index() raft.Index { return a.index }

// Load loads the log behind the newest snapshot, and then restores that snapshot. It returns
// the size of the snapshot's data. The log comes first since loading it is usually faster
// and finds damage.
func (a *Applier[Op, Result, W]) Load(log interface {
	Load(from raft.SnapshotMeta) (raft.State, error)
}) (s raft.State, snapshotBytes int64, err error) {
	meta, data, err := a.Open()
	if err != nil {
		return s, 0, fmt.Errorf("open the newest snapshot: %w", err)
	}
	defer data.Close()
	if s, err = log.Load(meta); err != nil {
		return s, 0, fmt.Errorf("load the log: %w", err)
	}
	if meta.Index > 0 {
		snapshotBytes, err = a.restoreFrom(meta, data)
	}
	return s, snapshotBytes, err
}

// Apply performs a task, and returns the image to be saved if one was asked for. After an
// error the state must not be used any more.
func (a *Applier[Op, Result, W]) Apply(t ApplyTask[W]) (*Image, error) {
	if t.Restore != nil && t.Restore.Index > a.index {
		if err := a.restore(*t.Restore); err != nil {
			a.Drop(t)
			return nil, err
		}
	}
	if t.Hash > 0 {
		a.hashWanted = t.Hash
		a.reportHash()
	}
	for i := range t.Commands {
		if err := a.execute(&t.Commands[i]); err != nil {
			t.Commands = t.Commands[i:]
			a.Drop(t)
			return nil, err
		}
	}
	if t.TakeSnapshot == nil {
		return nil, nil
	}
	return a.image(*t.TakeSnapshot), nil
}

// Drop completes the waiters of a task that will not be performed, with ErrStopped.
func (a *Applier[Op, Result, W]) Drop(t ApplyTask[W]) {
	var zero Result
	for _, c := range t.Commands {
		if c.HasWaiter {
			a.End(c.Waiter, zero, ErrStopped)
		}
	}
}

// execute executes one entry, unless the state reflects it already: the snapshot that was
// restored may be newer than the one that the core asked for.
func (a *Applier[Op, Result, W]) execute(c *Command[W]) error {
	var result Result
	e := &c.Entry
	switch {
	case e.Index <= a.index:
		if c.HasWaiter {
			a.End(c.Waiter, result, ErrUnknown)
		}
		return nil
	case e.Index != a.index+1:
		return fmt.Errorf("apply entry %d on a state at %d", e.Index, a.index)
	}
	if e.Kind == raft.EntryCommand {
		op, err := a.Codec.Decode(e.Data)
		if err != nil {
			return fmt.Errorf("decode the operation at %d: %w", e.Index, err)
		}
		result = a.Machine.DoOp(op)
	}
	a.index = e.Index
	a.reportHash()
	if a.Applied != nil {
		a.Applied(*e, result)
	}
	if c.HasWaiter {
		a.End(c.Waiter, result, nil)
	}
	return nil
}

// restore replaces the machine's state by the newest snapshot, which must be at least want.
func (a *Applier[Op, Result, W]) restore(want raft.SnapshotMeta) error {
	meta, data, err := a.Open()
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", want, err)
	}
	defer data.Close()
	if meta.Index < want.Index {
		return fmt.Errorf("open snapshot %s: the newest is %s", want, meta)
	}
	_, err = a.restoreFrom(meta, data)
	return err
}

// restoreFrom returns the size of data.
func (a *Applier[Op, Result, W]) restoreFrom(meta raft.SnapshotMeta, data io.Reader) (bytes int64, err error) {
	counted := &countingReader{r: data}
	if err := a.Machine.Restore(counted); err != nil {
		return 0, fmt.Errorf("restore snapshot %s: %w", meta, err)
	}
	a.index = meta.Index
	if a.Restored != nil {
		a.Restored(meta)
	}
	a.reportHash()
	return counted.n, nil
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

// image takes an image of the state, which must be at exactly meta.Index.
func (a *Applier[Op, Result, W]) image(meta raft.SnapshotMeta) *Image {
	im := &Image{Meta: meta, err: errors.New("the state is further already")}
	if meta.Index == a.index {
		im.data, im.err = a.Machine.Snapshot()
	}
	return im
}

// Image is an image of a StateMachine, to be written by Snapshots.SaveSnapshot and then closed.
type Image struct {
	Meta  raft.SnapshotMeta
	Bytes int64 // its size, after Write
	data  io.WriterTo
	err   error // why there is none
}

// Write writes the image to w, or returns why none could be taken.
func (im *Image) Write(w io.Writer) (err error) {
	if im.err != nil {
		return im.err
	}
	im.Bytes, err = im.data.WriteTo(w)
	return err
}

// Close releases the image. It is called once, after the last Write.
func (im *Image) Close() error {
	if c, ok := im.data.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
