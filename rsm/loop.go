package rsm

import (
	"context"
	"errors"
	"runtime"
	"time"

	"balsa.example/raft"
)

// now is the monotonic time since the start. It is never 0.
func (n *Node[Op, Result]) now() raft.Instant { return raft.Instant(time.Since(n.start)) + 1 }

// leaseTime is the time since the start by Config.Clock. It is never 0.
func (n *Node[Op, Result]) leaseTime() raft.Instant {
	return raft.Instant(n.cfg.Clock()-n.clockStart) + 1
}

// runLoop owns the Replica. In each turn it takes all events that gathered, and performs the
// effects that they have together.
func (n *Node[Op, Result]) runLoop() {
	ticker := time.NewTicker(n.cfg.tick())
	defer ticker.Stop()
	defer n.lease.set(Lease{}) // a stopped replica answers no reads
	defer n.leadership.set(leadership{})
	var last leadership
	var ev Events[waiter[Result]]
	for {
		ticked := false
		select {
		case <-n.stop:
			return
		case <-ticker.C:
			ticked = true
		case <-n.inbox.wake.C():
		}
		runtime.Gosched() // goroutines that are ready add their events to this turn
		ev = n.inbox.take(ev)
		if ev.Ticked = ticked; ticked {
			ev.Damaged, ev.Fetched = n.damageable != nil && n.damageable.Damaged(), n.fetched.Swap(false)
			n.diskCall.watch(n.now(), n.cfg.Logger)
		}
		effects := n.replica.Turn(ev, n.leaseTime())
		n.noteConfigurations()
		n.perform(effects)
		n.logChanges(&last)
	}
}

// perform carries out effects.
func (n *Node[Op, Result]) perform(e Effects[waiter[Result]]) {
	n.lease.set(e.Lease)
	if cancel := n.receiving.Load(); cancel != nil && e.SnapshotNotNeeded {
		(*cancel)(ErrSnapshotNotNeeded)
	}
	if e.SnapshotUrgent != n.expediting {
		n.expediting = e.SnapshotUrgent
		if n.expediter != nil {
			n.expediter.ExpediteSnapshots(n.expediting)
		}
	}
	if len(e.Messages) > 0 {
		n.cfg.Transport.Send(e.Messages)
		if e.DiskTask.lone() {
			// Whoever sends them comes first. The disk keeps its thread and the processor of Go
			// that goes with it until it is done, and they would wait for another to wake up.
			// Where many entries come, that wait gathers more of them, and is left as it is.
			runtime.Gosched()
		}
	}
	if !e.DiskTask.Empty() {
		n.stages.logged.note(e.DiskTask.lastEntry(), n.now())
		n.disk.add(e.DiskTask)
	}
	if !e.ApplyTask.Empty() {
		n.stages.committed.note(e.ApplyTask.lastEntry(), n.now())
		for !e.ApplyTask.Empty() {
			n.apply.add(e.ApplyTask.cut())
		}
	}
	n.startTransfers(&e)
	for _, c := range e.Completions {
		c.Waiter(outcome[Result]{entry: EntryID{Index: c.Index}, err: c.Err, configuration: c.Configuration})
	}
	for _, id := range e.ShutOut {
		n.cfg.Logger.Error("a member has lost entries that it had acknowledged, and is shut out: was an old copy of its directory put back?",
			"id", n.cfg.ID, "peer", id)
	}
	for _, id := range e.Diverged {
		n.cfg.Logger.Error("the state of a member differs from that of a majority at the same index: it stops", "id", n.cfg.ID, "peer", id)
	}
	if e.Failure != nil {
		n.fail(e.Failure)
	}
	for _, err := range e.Refused {
		n.cfg.Logger.Warn("message refused", "error", err)
	}
}

// logChanges tells those who wait of a change of the leadership, and logs one of term, role or
// leader, and whether a witness is full.
func (n *Node[Op, Result]) logChanges(last *leadership) {
	if full := n.replica.core.WitnessFull(); full != n.witnessFull {
		if n.witnessFull = full; full {
			n.cfg.Logger.Warn("this witness takes no more writes: a member with state lacks what it may not drop", "id", n.cfg.ID, "limit", n.cfg.MaxWitnessBytes)
		} else {
			n.cfg.Logger.Info("this witness takes writes again", "id", n.cfg.ID)
		}
	}
	now := leadershipOf(n.replica.core)
	n.leadership.set(now)
	now.transferring = raft.None
	if now == *last {
		return
	}
	*last = now
	n.term.Store(uint64(now.term))
	n.leads.Store(0)
	if now.role == raft.Leader {
		n.leads.Store(uint64(now.term))
	}
	n.cfg.Logger.Info("raft state", "id", n.cfg.ID, "term", now.term, "role", now.role, "leader", now.leader)
}

// runDisk performs the tasks of the disk queue.
func (n *Node[Op, Result]) runDisk() {
	for {
		select {
		case <-n.stop:
			return
		case <-n.disk.wake.C():
		}
		for _, step := range DiskSteps(n.disk.take(), SaveBytes) {
			if n.stopping() {
				return // nothing of the rest was promised
			}
			last, began := step.lastEntry(), n.now()
			n.diskCall.begin(began)
			seq, err := step.Do(n.cfg.Log)
			n.diskCall.end()
			if err != nil {
				n.fail(err)
				return
			}
			n.stages.writing.note(last, began)
			n.stages.synced.note(last, n.now())
			if seq > 0 {
				n.inbox.addPersisted(seq)
			}
		}
	}
}

// runApply owns the StateMachine.
func (n *Node[Op, Result]) runApply() {
	for {
		select {
		case <-n.stop:
			return
		case <-n.apply.wake.C():
		}
		for {
			task, ok := n.apply.first()
			if !ok {
				break
			}
			n.doApply(task)
		}
	}
}

func (n *Node[Op, Result]) doApply(task ApplyTask[waiter[Result]]) {
	if n.stopping() {
		n.applier.Drop(task)
		return
	}
	last, began := task.lastEntry(), n.now()
	n.stages.applying.note(last, began)
	checkpoint, err := n.applier.Apply(task)
	switch {
	case errors.Is(err, context.Canceled):
		n.shutdown() // the machine was told of that first
		return
	case err != nil:
		n.fail(err)
		return
	}
	ended := n.now()
	n.stages.applied.note(last, ended)
	if n.timed != nil && len(task.Commands) > 0 && task.Restore == nil {
		n.timed.Took(time.Duration(ended - began))
	}
	n.lease.applied.Store(uint64(n.applier.Index()))
	n.inbox.addApplied(n.applier.Index())
	if checkpoint != nil {
		n.checkpoint(checkpoint)
	}
}
