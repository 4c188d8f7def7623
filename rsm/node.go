package rsm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// Node is a running replica of a state machine: the shell around a Replica, with its clock,
// disk, network and goroutines:
//
//	loop     owns the Replica: takes events, and performs or hands on their effects
//	disk     the only caller of the Log
//	apply    executes the committed entries on the StateMachine
//	         and one for each snapshot that is written or sent
//
// They talk through queues. Loop and disk take all that their queue holds at once, so that what
// gathers while they are busy becomes one batch.
type Node[Op, Result any] struct {
	cfg        Config[Op, Result]
	replica    *Replica[waiter[Result]] // owned by the loop
	start      time.Time
	clockStart time.Duration // Config.Clock at the start

	inbox inbox[waiter[Result]]
	disk  queue[DiskTask]
	apply queue[ApplyTask[waiter[Result]]]

	applier Applier[Op, Result, waiter[Result]] // owned by the apply goroutine
	machine DurableMachine[Op, Result]          // cfg.Durable, or cfg.Machine with cfg.Snapshots

	stop       chan struct{} // closed to end all goroutines
	done       chan struct{} // closed when all goroutines have ended
	ctx        context.Context
	cancel     context.CancelFunc
	loop       sync.WaitGroup // the loop
	others     sync.WaitGroup // all other goroutines
	failure    atomic.Pointer[error]
	term       atomic.Uint64 // see Term
	leads      atomic.Uint64 // see LeadsIn
	leadership leadershipWatch
	// configurations is set by the loop.
	configurations atomic.Pointer[configurations]
	lease          sharedLease
	stopOnce       sync.Once
	// snapshotErrors has for each member to which the last snapshot could not be sent the
	// text of that error.
	snapshotErrors sync.Map

	// receiving ends the ReceiveState that runs; nil if none does.
	receiving atomic.Pointer[context.CancelCauseFunc]
	// fetched tells that bytes of files of other members have arrived since the last tick.
	fetched atomic.Bool
	// streams are the states that are kept open after their transfer to a member broke off.
	// Owned by the loop.
	streams map[raft.NodeID]*StateStream

	expediter   Expediter  // nil: there is none
	expediting  bool       // what it was told last; owned by the loop
	damageable  Damageable // nil: it is none
	timed       Timed      // nil: it is none
	witnessFull bool       // what was logged last; owned by the loop
	// diskCall is the present call of cfg.Log by the disk goroutine.
	diskCall diskCall
	stages   stageMarks
}

// Start opens the durable state of the machine, which is its newest snapshot or its own, and
// loads the log behind it. It then runs the replica until Stop, or until the log or the
// machine fails (see Done).
func Start[Op, Result any](cfg Config[Op, Result]) (*Node[Op, Result], error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node[Op, Result]{
		cfg: cfg, start: time.Now(), clockStart: cfg.Clock(),
		stop: make(chan struct{}), done: make(chan struct{}), streams: map[raft.NodeID]*StateStream{},
	}
	var hasher Hasher
	n.machine, hasher, n.expediter = cfg.machine()
	n.damageable, _ = n.machine.(Damageable)
	n.timed, _ = n.machine.(Timed)
	n.connectFiles()
	n.inbox.wake, n.disk.wake, n.apply.wake = wake.New(), wake.New(), wake.New()
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.applier = Applier[Op, Result, waiter[Result]]{
		Machine: n.machine, Codec: cfg.Codec, Hasher: hasher,
		End: func(done waiter[Result], entry EntryID, result Result, err error) {
			done(outcome[Result]{result: result, entry: entry, err: err})
		},
		Restored: func(meta raft.SnapshotMeta) {
			cfg.Logger.Info("snapshot restored", "id", cfg.ID, "index", meta.Index, "term", meta.Term)
		},
	}
	n.applier.Hashed = func(index raft.Index, hash uint64) {
		n.inbox.call(func(r *Replica[waiter[Result]]) {
			if r != nil {
				r.StateHashed(index, hash)
			}
		})
	}
	state, bytes, err := n.applier.Load(cfg.Log)
	if err != nil {
		return nil, err
	}
	n.replica, err = NewReplica[waiter[Result]](cfg.raftConfig(), state, cfg.snapshotPolicy(), bytes)
	if err != nil {
		return nil, err
	}
	n.replica.Admit = cfg.Admit
	if cfg.First != nil {
		n.replica.First = n.first
	}
	n.noteConfigurations()
	if hasher != nil {
		n.replica.CompareStates()
	}
	n.lease.applied.Store(uint64(n.applier.Index()))
	n.stages.begin(state.Snapshot.Index+raft.Index(len(state.Entries)), n.applier.Index(), n.now())
	n.logStart(state)
	n.loop.Go(n.runLoop)
	n.others.Go(n.runApply)
	n.others.Go(n.runDisk)
	go n.finish()
	return n, nil
}

func (n *Node[Op, Result]) logStart(s raft.State) {
	n.cfg.Logger.Info("replica starts", "id", n.cfg.ID, "term", s.HardState.Term,
		"snapshot", s.Snapshot.Index, "entries", len(s.Entries), "voters", s.Snapshot.Configuration.Voters.String())
}

// finish completes all who still wait with ErrStopped, and then waits for the goroutines.
// Callers are completed first, so that only Stop waits for a disk or state machine that
// hangs. The exception is an operation that the state machine is executing: its caller is
// told by the apply goroutine, as are those of the same part of a task (see cut).
func (n *Node[Op, Result]) finish() {
	n.loop.Wait()
	for id := range n.streams {
		n.closeStream(id)
	}
	ev := n.inbox.close()
	for _, s := range ev.Submits { // the replica was not given these
		s.Waiter(outcome[Result]{err: noLeaderUntil(ErrStopped)})
	}
	ev.Submits = nil
	for _, done := range n.replica.Drain(ev) {
		done(outcome[Result]{err: ErrStopped})
	}
	for _, task := range n.apply.close() {
		n.applier.Drop(task)
	}
	n.disk.close()
	for _, f := range ev.Calls {
		f(nil)
	}
	n.others.Wait()
	close(n.done)
}

// fail stops the node because of err. Err returns the first one.
func (n *Node[Op, Result]) fail(err error) {
	if n.failure.CompareAndSwap(nil, &err) {
		if errors.Is(err, ErrRemoved) {
			n.cfg.Logger.Info("replica stops: it was removed from the cluster", "id", n.cfg.ID)
		} else {
			n.cfg.Logger.Error("replica fails", "id", n.cfg.ID, "error", err)
		}
	}
	n.shutdown()
}

// Fail stops the node because of err, which Err returns. It is for a machine that does work of which the node knows
// nothing, and finds that its disk has failed (see ErrMachineFailed). It does not wait for the end.
func (n *Node[Op, Result]) Fail(err error) { n.fail(err) }

func (n *Node[Op, Result]) shutdown() {
	n.stopOnce.Do(func() {
		close(n.stop)
		n.cancel()
	})
}

func (n *Node[Op, Result]) stopping() bool { return n.ctx.Err() != nil }

// Stop ends the replica and returns when none of its goroutines is left. Pending Submits get
// ErrStopped at once, except those that the StateMachine is executing. Stop waits for the
// present calls of Log, Snapshots and StateMachine, however long they take: to not wait for a
// disk that hangs, call it in a goroutine. Stop closes none of them, nor the Transport. Close
// the Transport before, so that nothing more is received, and Log and Snapshots after.
func (n *Node[Op, Result]) Stop() {
	n.shutdown()
	<-n.done
}

// Done is closed when the replica has stopped, by Stop or by failing.
func (n *Node[Op, Result]) Done() <-chan struct{} { return n.done }

// Err returns why the replica failed; nil after a plain Stop. Call it after Done.
func (n *Node[Op, Result]) Err() error {
	if err := n.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Receive is part of Receiver. Messages that arrive faster than they are handled are
// dropped. So is an InstallSnapshot, which has to come with its data, by ReceiveSnapshot: without that
// there would be neither the log nor the state behind it.
func (n *Node[Op, Result]) Receive(m raft.Message) {
	if m.Kind() != raft.KindInstallSnapshot {
		n.inbox.addMessage(m)
	}
}

// Unreachable is for a Transport to say that its connection to a member broke. It is a hint
// that the member may be dead. If that was the leader, its followers look for a new one at
// once, rather than after the election timeout.
func (n *Node[Op, Result]) Unreachable(id raft.NodeID) { n.inbox.addUnreachable(id) }

// Checkpoint asks for a checkpoint of the state machine soon, although the log has not grown
// much: a DurableMachine may know that it would free something.
func (n *Node[Op, Result]) Checkpoint() {
	n.inbox.call(func(r *Replica[waiter[Result]]) {
		if r != nil {
			r.WantCheckpoint()
		}
	})
}

// Leads tells whether the replica led at the end of its loop's last turn. It costs nothing,
// while Status has to ask the loop.
func (n *Node[Op, Result]) Leads() bool { return n.LeadsIn() != 0 }

// Term returns the term that this replica is in.
func (n *Node[Op, Result]) Term() raft.Term { return raft.Term(n.term.Load()) }

// LeadsIn returns the term in which the replica led at the end of its loop's last turn, 0 if it
// did not lead.
func (n *Node[Op, Result]) LeadsIn() raft.Term { return raft.Term(n.leads.Load()) }

// Status returns the state of the replica. It is empty after the replica stopped, and where
// too many ask at the same time.
func (n *Node[Op, Result]) Status() Status {
	s, _ := n.status()
	return s
}

func (n *Node[Op, Result]) status() (s Status, ok bool) {
	ch := make(chan struct{})
	err := n.inbox.ask(func(r *Replica[waiter[Result]]) {
		if ok = r != nil; ok {
			s = r.Status()
			s.DiskWait = n.diskCall.elapsed(n.now())
			s.Damaged = n.damageable != nil && n.damageable.Damaged()
		}
		close(ch)
	})
	if err != nil {
		return s, false
	}
	<-ch
	return s, ok
}
