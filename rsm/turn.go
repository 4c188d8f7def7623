//balsa:pure

package rsm

import "balsa.example/raft"

// Events is what happened since a Replica last took its turn.
type Events[W any] struct {
	Ticked    bool       // one tick of the clock has passed
	Persisted uint64     // every Persist up to this Seq is durable
	Applied   raft.Index // the state machine reflects everything up to here
	// Messages that came. With an InstallSnapshot a Receiver first makes an Offer.
	Messages []raft.Message
	Submits  []Submission[W]
	Reads    []ReadRequest[W]
	Offers   []Offer[W]
	// Unreachable are members to which a connection broke.
	Unreachable []raft.NodeID
	// Calls of other methods: a shell that stops has nil for them.
	Calls []func(*Replica[W])
}

// reset empties ev, and keeps its space for those to come.
func (ev *Events[W]) reset() {
	clear(ev.Messages)
	clear(ev.Submits)
	clear(ev.Reads)
	clear(ev.Offers)
	clear(ev.Calls)
	*ev = Events[W]{
		Messages: ev.Messages[:0], Submits: ev.Submits[:0], Reads: ev.Reads[:0],
		Offers: ev.Offers[:0], Unreachable: ev.Unreachable[:0], Calls: ev.Calls[:0],
	}
}

// Submission is an operation to propose. On a replica that is not leader its fate is
// ErrWrongLeader at once.
type Submission[W any] struct {
	Data   []byte
	Waiter W
}

// ReadRequest asks for the moment from which the state machine reflects everything
// that was acknowledged before now.
type ReadRequest[W any] struct {
	Mode   ReadMode
	Waiter W
}

// Offer is a snapshot whose data begins to arrive. Its fate says what to do with that:
//
//	nil             save it, and report with SnapshotReceived
//	ErrNotNeeded    leave it, and hand the message over
//	anything else   refuse it
type Offer[W any] struct {
	Message *raft.InstallSnapshot
	Waiter  W
}

// Fate ends the waiting of a Submit that will not be executed here, of a Read (Err
// nil: the state machine may be read now), or of an Offer.
type Fate[W any] struct {
	Waiter W
	Err    error
}

// Effects is what a Replica wants done.
type Effects[W any] struct {
	// Lease holds from now on, and the one before no more: to be known before anything
	// else is done.
	Lease Lease
	// Messages and Snapshots are raft.Effects'. Messages go first: the network works
	// while the own disk does (thesis 10.2.1).
	Messages  []raft.Message
	Snapshots []raft.Header
	DiskTask
	ApplyTask[W]
	Fates   []Fate[W]
	Refused []error       // what was wrong with messages
	ShutOut []raft.NodeID // raft.Effects'
	// Diverged are other members that were found to differ from a majority just now:
	// people should know.
	Diverged []raft.NodeID
	// Failure, if not nil, is why the replica must stop.
	Failure error
	// SnapshotUrgent tells that the log will soon be full, and then waits for the snapshot
	// that is being saved: see Expediter.
	SnapshotUrgent bool
}

// Turn takes all events that gathered, and returns all effects that they have
// together. It keeps none of the slices in ev. now is what the clock shows after the last Read was asked for.
func (r *Replica[W]) Turn(ev Events[W], now raft.Instant) Effects[W] {
	r.core.Clock(now)
	if ev.Ticked {
		r.pause = max(0, r.pause-1)
		r.core.Tick(now)
		r.compare()
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
	for _, o := range ev.Offers {
		r.offer(o)
	}
	for _, id := range ev.Unreachable {
		r.core.Unreachable(id)
	}
	for _, f := range ev.Calls {
		f(r)
	}
	r.askReads(ev.Reads, now)
	return r.effects()
}

func (r *Replica[W]) effects() Effects[W] {
	core := r.core.Effects()
	if core.Restore != nil {
		r.onRestore(*core.Restore)
	}
	for _, h := range core.Snapshots {
		r.sent[h.To] = r.snapshot.Index
	}
	commands := r.handOut(core.Committed)
	r.endReads(core.Reads)
	r.answerOffers()
	e := Effects[W]{
		Lease:    Lease{r.core.Lease(), r.core.Commit()},
		Messages: append(core.Messages, r.messages...), Snapshots: core.Snapshots,
		DiskTask:  DiskTask{core.Persist, r.compact, r.check},
		ApplyTask: ApplyTask[W]{core.Restore, r.comparison.wanted, commands, r.wantSnapshot()},
		Fates:     r.fates, Refused: r.refused, ShutOut: core.ShutOut, Diverged: r.comparison.newlyOdd, Failure: r.failure(),
		SnapshotUrgent: r.snapshotUrgent(),
	}
	r.messages, r.comparison.wanted, r.comparison.newlyOdd = nil, 0, nil
	r.compact, r.check, r.fates, r.refused = 0, false, nil, nil
	return e
}
