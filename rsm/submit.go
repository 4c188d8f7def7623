package rsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/raft"
)

// EntryID identifies an entry of the log. There is at most one entry of an index and a term,
// and it is the same in all logs that hold it (Raft paper, 5.3: Log Matching).
type EntryID struct {
	Index raft.Index
	Term  raft.Term
}

// outcome is the end of a Submit, a Read, a SnapshotOffer or a Change.
type outcome[Result any] struct {
	result Result  // of a Submit without error
	entry  EntryID // of a Submit without error; of a Read without error, only the Index
	err    error

	configuration *raft.Configuration // of a Change without error
}

// waiter is called at the end of a Submit, a Read, a SnapshotOffer or a Change.
type waiter[Result any] = func(outcome[Result])

// await calls begin and returns the outcome of what it began, or the error of patience if that ends
// before.
func await[Result any](p patience, begin func(waiter[Result])) outcome[Result] {
	ch := make(chan outcome[Result], 1)
	begin(func(o outcome[Result]) { ch <- o })
	select {
	case o := <-ch:
		return o
	case <-p.ctx.Done():
	case <-p.late:
	}
	return outcome[Result]{err: p.err()}
}

// Submit replicates op and returns what DoOp returned for it on this replica. It
// returns when the outcome of op is known or ctx ends. See the package comment for what its
// errors mean.
func (n *Node[Op, Result]) Submit(ctx context.Context, op Op) (Result, error) {
	result, _, err := n.SubmitEntry(ctx, op)
	return result, err
}

// SubmitEntry is Submit, and tells which entry of the log holds op.
func (n *Node[Op, Result]) SubmitEntry(ctx context.Context, op Op) (Result, EntryID, error) {
	data, err := n.encode(op)
	if err != nil {
		var none Result
		return none, EntryID{}, err
	}
	o := await(patience{ctx: ctx}, func(done waiter[Result]) { n.submit(data, false, done) })
	return o.result, o.entry, o.err
}

// SubmitFunc is Submit without waiting: done is called exactly once, with what
// Submit would return, from a goroutine of the node or from this one. It must not
// block.
func (n *Node[Op, Result]) SubmitFunc(op Op, done func(Result, error)) {
	n.SubmitEntryFunc(op, func(result Result, _ EntryID, err error) { done(result, err) })
}

// SubmitEntryFunc is SubmitEntry without waiting, as SubmitFunc is Submit.
func (n *Node[Op, Result]) SubmitEntryFunc(op Op, done func(Result, EntryID, error)) {
	data, err := n.encode(op)
	if err != nil {
		var none Result
		done(none, EntryID{}, err)
		return
	}
	n.submit(data, false, func(o outcome[Result]) { done(o.result, o.entry, o.err) })
}

// SubmitAnywhere is SubmitEntry on any replica. It waits until a leader is known. If that is
// another replica, it forwards op to it; the result is that of DoOp on this replica all the
// same. It tries again as long as op ends with ErrWrongLeader, and so was not executed.
//
// op is executed at most once. The error is ErrUnknown also where the leader that was asked does
// not answer, and none of a later term commits anything, for four election timeouts. If ctx ends or the replica
// stops while SubmitAnywhere waits for a leader, the error is ErrWrongLeader too: op was not
// executed, and never will be.
//
// An op of more than 2 MiB does not end with ErrBusy at once, but waits for room, since a few of them take all of it.
// If ctx ends meanwhile the error is ErrBusy.
func (n *Node[Op, Result]) SubmitAnywhere(ctx context.Context, op Op) (Result, EntryID, error) {
	return n.SubmitAnywhereUntil(ctx, nil, op)
}

// SubmitAnywhereUntil is SubmitAnywhere that ends as well when late is closed, with
// context.DeadlineExceeded. Many may wait for one late, where a context with a deadline for each
// costs as much as the rest of their waiting.
func (n *Node[Op, Result]) SubmitAnywhereUntil(ctx context.Context, late <-chan struct{}, op Op) (Result, EntryID, error) {
	data, err := n.encode(op)
	if err != nil {
		var none Result
		return none, EntryID{}, err
	}
	o := n.withLeader(patience{ctx, late}, len(data) > largeOp, func(done waiter[Result]) { n.submit(data, true, done) })
	return o.result, o.entry, o.err
}

// encode returns what stands in the log, unless the operation is refused.
func (n *Node[Op, Result]) encode(op Op) ([]byte, error) {
	if n.cfg.Refuse != nil {
		if err := n.cfg.Refuse(op); err != nil {
			return nil, err
		}
	}
	return n.cfg.Codec.Append(nil, op), nil
}

// first is Replica.First.
func (n *Node[Op, Result]) first() []byte {
	op, ok := n.cfg.First()
	if !ok {
		return nil
	}
	data, err := n.encode(op)
	if err != nil {
		n.cfg.Logger.Debug("what this leader would propose first is refused", "id", n.cfg.ID, "error", err)
		return nil
	}
	return data
}

func (n *Node[Op, Result]) submit(data []byte, forward bool, done waiter[Result]) {
	err := ErrTooLarge
	if len(data) <= n.cfg.MaxOpBytes {
		err = n.inbox.addSubmit(Submission[waiter[Result]]{Data: data, Waiter: done, Forward: forward})
	}
	if err == ErrStopped {
		err = noLeaderUntil(err)
	}
	if err != nil {
		done(outcome[Result]{err: err})
	}
}

// Read returns nil when the state machine of this replica reflects every operation that any
// replica acknowledged before Read was called. The mode says what that stands on: see
// raft.ReadMode. An error says nothing about the state: ErrWrongLeader where no leader is
// known or it changed, ErrBusy, ErrStopped, or ctx's. Any replica can be asked; a follower
// asks the leader.
func (n *Node[Op, Result]) Read(ctx context.Context, mode raft.ReadMode) error {
	return await(patience{ctx: ctx}, func(done waiter[Result]) { n.read(mode, done) }).err
}

// ReadFunc is Read without waiting, as SubmitFunc is Submit.
func (n *Node[Op, Result]) ReadFunc(mode raft.ReadMode, done func(error)) {
	n.read(mode, func(o outcome[Result]) { done(o.err) })
}

// ReadAnywhere is Read that waits until a leader is known, and tries again where the leader
// changed. It returns the index that the read stands on: what was acknowledged before is in the
// log up to there, and the state machine reflects the log at least up to there.
func (n *Node[Op, Result]) ReadAnywhere(ctx context.Context, mode raft.ReadMode) (raft.Index, error) {
	return n.ReadAnywhereUntil(ctx, nil, mode)
}

// ReadAnywhereUntil is to ReadAnywhere as SubmitAnywhereUntil is to SubmitAnywhere.
func (n *Node[Op, Result]) ReadAnywhereUntil(ctx context.Context, late <-chan struct{}, mode raft.ReadMode) (raft.Index, error) {
	o := n.withLeader(patience{ctx, late}, false, func(done waiter[Result]) { n.read(mode, done) })
	return o.entry.Index, o.err
}

func (n *Node[Op, Result]) read(mode raft.ReadMode, done waiter[Result]) {
	if mode == raft.ReadByLease {
		if commit, ok := n.lease.serves(n.leaseTime); ok {
			done(outcome[Result]{entry: EntryID{Index: commit}})
			return
		}
	}
	if err := n.inbox.addRead(ReadRequest[waiter[Result]]{mode, done}); err != nil {
		done(outcome[Result]{err: err})
	}
}

// largeOp is the size in bytes above which an operation waits for room: an eighth of what a replica forwards at a time.
const largeOp = maxForwardBytes / 8

// withLeader calls begin when a leader is known, and again as long as what it began ends with
// ErrWrongLeader, or with ErrBusy if that is worth waiting for, and so without an effect.
func (n *Node[Op, Result]) withLeader(p patience, waitForRoom bool, begin func(waiter[Result])) outcome[Result] {
	for {
		if err := n.awaitLeadership(p, leadership.known); err != nil {
			return outcome[Result]{err: noLeaderUntil(err)}
		}
		_, changed := n.leadership.get()
		o := await(p, begin)
		busy := waitForRoom && errors.Is(o.err, ErrBusy)
		if !busy && !errors.Is(o.err, ErrWrongLeader) {
			return o
		}
		// The next attempt follows when this replica hears of another leader, or else after a
		// heartbeat: by then it may trust the same leader for a good reason, or there is room.
		pause := time.NewTimer(n.cfg.HeartbeatInterval)
		select {
		case <-changed:
		case <-pause.C:
		case <-p.ctx.Done():
		case <-p.late:
		case <-n.stop:
		}
		pause.Stop()
		switch err := p.err(); {
		case err != nil && busy:
			return o
		case err != nil:
			return outcome[Result]{err: noLeaderUntil(err)}
		}
	}
}

// noLeaderUntil is the error of an operation or a read that was not begun, because err ended
// the waiting for a leader.
func noLeaderUntil(err error) error { return fmt.Errorf("%w: %w", &NotLeaderError{}, err) }
