//balsa:pure

package rsm

import (
	"fmt"

	"balsa.example/raft"
)

// ApplyTask is work for the state machine, in the order of its fields.
type ApplyTask[W any] struct {
	// Restore, if not nil, asks to replace the state by the newest one that was received,
	// which is at this position or further.
	Restore *raft.SnapshotMeta
	// Hash, if not 0, asks for the hash of the state at that index, in place of any index
	// asked for before. Report with StateHashed. If the state is beyond it, report nothing.
	Hash raft.Index
	// Commands are the next entries. Report with Applied.
	Commands []Command[W]
	// TakeSnapshot, if not nil, asks for a checkpoint of the state right after Commands, at
	// this position. Report with SnapshotDone.
	TakeSnapshot *raft.SnapshotMeta
}

// Empty tells whether there is nothing to do.
func (t *ApplyTask[W]) Empty() bool {
	return t.Restore == nil && t.Hash == 0 && len(t.Commands) == 0 && t.TakeSnapshot == nil
}

// cut takes the first part of a task off, which has at most maxPrepared commands. A shell performs the parts one
// after the other, and looks up between them: who waits for the end of many commands could take a machine that is
// slow for one that hangs, and a shell that stops executes no more of them.
func (t *ApplyTask[W]) cut() ApplyTask[W] {
	first := *t
	if len(t.Commands) <= maxPrepared {
		*t = ApplyTask[W]{}
		return first
	}
	first.Commands, first.TakeSnapshot = t.Commands[:maxPrepared:maxPrepared], nil
	*t = ApplyTask[W]{Commands: t.Commands[maxPrepared:], TakeSnapshot: t.TakeSnapshot}
	return first
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
	Machine DurableMachine[Op, Result]
	Codec   Codec[Op]
	Hasher  Hasher // nil: the machine is none
	// End tells a waiter the entry that held its operation, and the result or error.
	End func(W, EntryID, Result, error)
	// Restored, where not nil, is called after each restored snapshot, and Applied after each
	// entry, with the result if that is a command.
	Restored func(raft.SnapshotMeta)
	Applied  func(raft.Entry, Result)
	// Hashed, where not nil, gets the hash that ApplyTask.Hash asks for, if there is a Hasher.
	Hashed func(raft.Index, uint64)

	failer     Failer       // the Machine, if it is one
	preparer   Preparer[Op] // the Machine, if it is one
	ops        []Op         // memory of next
	next       []Op         // of the entries that are executed next, at most maxPrepared
	nextErr    error        // why the operation behind next cannot be decoded
	index      raft.Index   // what the machine reflects
	hashWanted raft.Index   // the index at which the hash is wanted, or 0
}

// Index is the index of the last entry that the state reflects.
func (a *Applier[Op, Result, W]) Index() raft.Index { return a.index }

// Load opens the machine's state, and loads the log behind its position. written is what
// DurableMachine.Open returns.
func (a *Applier[Op, Result, W]) Load(log interface {
	Load(from raft.SnapshotMeta) (raft.State, error)
}) (s raft.State, written int64, err error) {
	position, written, err := a.Machine.Open()
	if err != nil {
		return s, 0, fmt.Errorf("open the state: %w", err)
	}
	if s, err = log.Load(position); err != nil {
		return s, 0, fmt.Errorf("load the log: %w", err)
	}
	a.failer, _ = a.Machine.(Failer)
	a.preparer, _ = a.Machine.(Preparer[Op])
	if position.Index > 0 {
		a.restored(position)
	}
	return s, written, nil
}

// Apply performs a task, and returns the checkpoint whose work is to be done, if one was asked
// for. After an error the state must not be used any more.
func (a *Applier[Op, Result, W]) Apply(t ApplyTask[W]) (*Checkpoint, error) {
	if t.Restore != nil && t.Restore.Index > a.index {
		if err := a.install(*t.Restore); err != nil {
			a.Drop(t)
			return nil, err
		}
	}
	if t.Hash > 0 {
		a.hashWanted = t.Hash
		a.reportHash()
	}
	for i := range t.Commands {
		if i%maxPrepared == 0 {
			a.prepare(t.Commands[i:min(i+maxPrepared, len(t.Commands))])
		}
		if err := a.execute(&t.Commands[i]); err != nil {
			t.Commands = t.Commands[i:]
			a.Drop(t)
			return nil, err
		}
	}
	if t.TakeSnapshot == nil {
		return nil, nil
	}
	return a.checkpoint(*t.TakeSnapshot), nil
}

// Drop completes the waiters of a task that will not be performed, with ErrStopped.
func (a *Applier[Op, Result, W]) Drop(t ApplyTask[W]) {
	var zero Result
	for _, c := range t.Commands {
		if c.HasWaiter {
			a.End(c.Waiter, EntryID{c.Entry.Index, c.Entry.Term}, zero, ErrStopped)
		}
	}
}

// prepare decodes the operations of entries, up to one that cannot be decoded.
func (a *Applier[Op, Result, W]) prepare(commands []Command[W]) {
	a.next, a.nextErr = a.ops[:0], nil
	for i := range commands {
		data, ok := Operation(commands[i].Entry)
		if !ok || commands[i].Entry.Index <= a.index {
			continue
		}
		op, err := a.Codec.Decode(data)
		if err != nil {
			a.nextErr = err
			break
		}
		a.next = append(a.next, op)
	}
	a.ops = a.next
	if a.preparer != nil && len(a.next) > 1 {
		a.preparer.Prepare(a.next)
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
			a.End(c.Waiter, EntryID{e.Index, e.Term}, result, ErrUnknown)
		}
		return nil
	case e.Index != a.index+1:
		return fmt.Errorf("apply entry %d on a state at %d", e.Index, a.index)
	}
	if _, ok := Operation(*e); ok {
		if len(a.next) == 0 {
			return fmt.Errorf("decode the operation at %d: %w", e.Index, a.nextErr)
		}
		op, none := a.next[0], *new(Op)
		a.next[0] = none // it may keep much in memory
		a.next = a.next[1:]
		result = a.Machine.DoOp(op)
		if err := a.failed(); err != nil {
			return fmt.Errorf("execute the operation at %d: %w", e.Index, err)
		}
	}
	a.index = e.Index
	a.reportHash()
	if a.Applied != nil {
		a.Applied(*e, result)
	}
	if c.HasWaiter {
		a.End(c.Waiter, EntryID{e.Index, e.Term}, result, nil)
	}
	return nil
}

// failed is what a Failer says of the operation that was just executed.
func (a *Applier[Op, Result, W]) failed() error {
	if a.failer == nil {
		return nil
	}
	return a.failer.Failed()
}

// install replaces the machine's state by the newest one that was received, which must be at
// least want.
func (a *Applier[Op, Result, W]) install(want raft.SnapshotMeta) error {
	position, err := a.Machine.InstallState(want)
	if err != nil {
		return fmt.Errorf("install the state at %s: %w", want, err)
	}
	if position.Index < want.Index {
		return fmt.Errorf("install the state at %s: the machine has installed %s", want, position)
	}
	a.restored(position)
	return nil
}

func (a *Applier[Op, Result, W]) restored(position raft.SnapshotMeta) {
	a.index = position.Index
	if a.Restored != nil {
		a.Restored(position)
	}
	a.reportHash()
}

// checkpoint begins a checkpoint of the state, which must be at exactly position.Index.
func (a *Applier[Op, Result, W]) checkpoint(position raft.SnapshotMeta) *Checkpoint {
	if position.Index != a.index {
		err := fmt.Errorf("the state is at %d already", a.index)
		return &Checkpoint{position, failedWork(err)}
	}
	return &Checkpoint{position, a.Machine.Checkpoint(position)}
}
