//balsa:pure

package rsm

import "balsa.example/raft"

// Events is what happened since a Replica last took its turn.
type Events[W any] struct {
	Ticked    bool       // one tick of the clock has passed
	Damaged   bool       // with Ticked: what Damageable says of the state machine
	Fetched   bool       // with Ticked: files of another member have arrived, or parts of them
	Persisted uint64     // every Persist up to this Seq is durable
	Applied   raft.Index // the state machine reflects everything up to here
	// Messages that arrived. Of a snapshot that arrives a shell first makes a SnapshotOffer.
	Messages       []raft.Message
	Submits        []Submission[W]
	Reads          []ReadRequest[W]
	SnapshotOffers []SnapshotOffer[W]
	Changes        []Change[W]
	// Unreachable are members to which the connection broke.
	Unreachable []raft.NodeID
	// Calls are functions that call other methods of the Replica. A shell that stops calls
	// them with nil.
	Calls []func(*Replica[W])
}

// reset empties ev, and keeps its memory for the next events.
func (ev *Events[W]) reset() {
	clear(ev.Messages)
	clear(ev.Submits)
	clear(ev.Reads)
	clear(ev.SnapshotOffers)
	clear(ev.Changes)
	clear(ev.Calls)
	*ev = Events[W]{
		Messages: ev.Messages[:0], Submits: ev.Submits[:0], Reads: ev.Reads[:0],
		SnapshotOffers: ev.SnapshotOffers[:0], Changes: ev.Changes[:0], Unreachable: ev.Unreachable[:0], Calls: ev.Calls[:0],
	}
}

// Submission is an operation to propose. On a replica that is not the leader it is completed
// with ErrWrongLeader at once.
//
// With Forward, such a replica sends it to the leader, if one is known (see forward.go). And a
// leader that hands leadership over refuses it with ErrWrongLeader, not with ErrBusy.
type Submission[W any] struct {
	Data    []byte
	Waiter  W
	Forward bool
}

// ReadRequest asks to be told when the state machine reflects every operation that was
// acknowledged before the request.
type ReadRequest[W any] struct {
	Mode   raft.ReadMode
	Waiter W
}

// SnapshotOffer is a snapshot whose data begins to arrive. Its Completion says what to do:
//
//	nil                      save the data, and report with SnapshotReceived
//	ErrSnapshotNotNeeded     skip the data, and give Message to Turn
//	any other error          refuse it
type SnapshotOffer[W any] struct {
	Message *raft.InstallSnapshot
	Waiter  W
}

// Completion ends the waiting of one caller:
//
//	a Submit          Err says why it ends without a result. One that is executed ends with its Command.
//	a Read            Err nil: the state machine may be read now
//	a SnapshotOffer   Err says what to do with the data
//	a Change          Err nil: it is complete
type Completion[W any] struct {
	Waiter        W
	Err           error
	Index         raft.Index          // of a Read without error: the state machine reflects the log up to there
	Configuration *raft.Configuration // of a Change without error: the one in force
}

// Effects is what a Replica wants done.
type Effects[W any] struct {
	// Lease replaces the lease of the turn before. A shell makes it known before it performs
	// the other effects.
	Lease Lease
	// Messages are those of raft.Effects, and those of this package (StateHash, Propose and
	// ProposeReply). A shell sends them before it hands on the DiskTask, so that the network
	// works while the own disk does (thesis 10.2.1).
	Messages []raft.Message
	// Snapshots are states to send. CloseStreams are members whose kept stream is to be closed
	// before (see Transfer).
	Snapshots    []Transfer
	CloseStreams []raft.NodeID
	DiskTask
	ApplyTask[W]
	Completions []Completion[W]
	Refused     []error       // why messages were refused
	ShutOut     []raft.NodeID // see raft.Effects
	// Diverged are the other members whose state was found in this turn to differ from that
	// of a majority. A shell tells its operator.
	Diverged []raft.NodeID
	// Failure, if not nil, is why the replica must stop.
	Failure error
	// SnapshotUrgent: the log will soon reach its bound, where new entries wait until the
	// snapshot that is being saved is done. See Expediter.
	SnapshotUrgent bool
	// SnapshotNotNeeded: what the snapshot would bring that is being received was executed
	// meanwhile. A shell ends the reception, since no other snapshot is saved as long as it goes on.
	SnapshotNotNeeded bool
}

// Turn takes all events since the last turn, and returns all effects that they have
// together. It keeps none of the slices in ev. now is the time on the clock of leases, read
// after the last of ev.Reads was asked for.
func (r *Replica[W]) Turn(ev Events[W], now raft.Instant) Effects[W] {
	r.core.Clock(now)
	if ev.Ticked {
		r.snapshotPause = max(0, r.snapshotPause-1)
		r.damaged = ev.Damaged
		r.core.StateDamaged(ev.Damaged)
		if ev.Fetched && r.receiving > 0 {
			r.core.StateArrives()
		}
		r.core.Tick(now)
		r.compare()
		r.giveUpStreams()
		r.tickForwards()
		r.tickProposals()
		r.removedTicks++
	}
	if ev.Persisted > 0 {
		r.core.Persisted(ev.Persisted)
		r.compactLog()
	}
	if ev.Applied > 0 {
		r.onApplied(ev.Applied)
	}
	for _, m := range ev.Messages {
		r.receive(m)
	}
	for _, s := range ev.Submits {
		r.submit(s)
	}
	for _, o := range ev.SnapshotOffers {
		r.offer(o)
	}
	for _, c := range ev.Changes {
		r.change(c)
	}
	for _, id := range ev.Unreachable {
		r.core.Unreachable(id)
	}
	for _, f := range ev.Calls {
		f(r)
	}
	r.beginReads(ev.Reads, now)
	return r.effects()
}

func (r *Replica[W]) effects() Effects[W] {
	core := r.core.Effects()
	r.noteLeadership()
	r.noteConfigurations()
	if core.Restore != nil {
		r.onRestore(*core.Restore)
	}
	transfers := r.transfers(core.Snapshots)
	commands := r.takeCommitted(core.Committed)
	r.core.Applied(min(r.applied, r.applying)) // the machine may have installed a state that was ahead
	r.endReads(core.Reads)
	r.answerSnapshotOffers()
	e := Effects[W]{
		Lease:    Lease{r.core.Lease(), r.core.Commit()},
		Messages: r.takeMessages(core.Messages), Snapshots: transfers, CloseStreams: r.closeStreams,
		DiskTask:    DiskTask{core.Persist, r.compact, r.check},
		ApplyTask:   ApplyTask[W]{core.Restore, r.takeHashWanted(len(commands)), commands, r.snapshotDue()},
		Completions: r.completions, Refused: r.refused, ShutOut: core.ShutOut, Diverged: r.comparison.newlyDiverged, Failure: r.failure(),
		SnapshotUrgent: r.snapshotUrgent(), SnapshotNotNeeded: r.receiving > 0 && r.receiving <= r.applied,
	}
	r.comparison.newlyDiverged = nil
	r.compact, r.check, r.completions, r.refused, r.closeStreams = 0, false, nil, nil, nil
	return e
}

// takeMessages returns all messages to be sent, those of the core included. A ProposeReply
// leaves before the AppendEntries that carries the entry which it names.
func (r *Replica[W]) takeMessages(core []raft.Message) []raft.Message {
	all := append(core, r.messages...)
	if len(r.replies) > 0 {
		all = append(r.replies, all...)
	}
	r.replies, r.messages = nil, nil
	return all
}
