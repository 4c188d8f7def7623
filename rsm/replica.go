//balsa:pure

package rsm

import (
	"maps"
	"slices"

	"balsa.example/raft"
)

// Replica is the pure part of a replicated state machine: the Raft core, the Submits and
// reads that wait, how far the log is applied, and the policy of snapshots. Like the core
// it takes Events and returns Effects (see Turn). A Node runs it over goroutines, the
// simulator over an event heap.
//
// W is the shell's handle of a caller that waits. Every W given in Events comes back
// exactly once: in Command.Waiter, in Completions, or from Drain.
type Replica[W any] struct {
	core *raft.Raft
	id   raft.NodeID
	// witness is raft.Config.Witness.
	witness bool
	policy  SnapshotPolicy
	// maxPendingBytes is raft.Config.MaxPendingBytes.
	maxPendingBytes int64

	// Admit is Config.Admit. It is set before the first Turn.
	Admit func(op []byte) bool
	// First is Config.First, encoded, and set like Admit; nil stands for nothing. firstTerm is the latest term in
	// which it has no more to say.
	First     func() []byte
	firstTerm raft.Term
	// used: an operation was committed since this replica has started, as far as it knows.
	used bool

	changes   changes[W]
	submits   submits[W]
	forwards  forwards[W]
	proposals proposals

	indexReads   map[raft.ReadID][]W // the core has not yet named their index
	readyReads   []readyRead[W]      // their index is known but not applied
	waitingReads int                 // the number of callers in indexReads and readyReads

	// applied <= applying: the state machine reflects the entries up to applied; it was
	// given those up to applying.
	applied, applying raft.Index

	// In these fields, snapshot also means the durable state of a DurableMachine.
	snapshot           raft.SnapshotMeta // the newest one
	snapshotBytes      int64             // what was written for it
	bytesSinceSnapshot int64             // the size of the entries behind it up to applying
	savingSnapshot     bool              // one is being saved, own or received: one at a time
	receiving          raft.Index        // of the one that is being received, 0 for none
	snapshotOffers     []SnapshotOffer[W]
	// snapshotsSent has for each member a lower bound of the index of the snapshot that was
	// sent to it last.
	snapshotsSent    map[raft.NodeID]raft.Index
	keptStreams      map[raft.NodeID]keptStream
	checkpointWanted bool // see WantCheckpoint
	damaged          bool // what Damageable says of the state machine
	snapshotPause    int  // ticks until the next own snapshot, after one that failed
	// Entries up to obsolete are needed no more; those up to compacted were dropped.
	// compacted <= obsolete.
	obsolete, compacted raft.Index

	comparison comparison

	configurationsVersion uint64 // that of the last turn
	removedTicks          int    // since this replica executed that it is no member any more

	// For the next Effects.
	replies  []raft.Message // sent before all other messages
	messages []raft.Message
	compact  raft.Index
	check    bool // DiskTask.Check
	// closeStreams is Effects.CloseStreams.
	closeStreams []raft.NodeID
	completions  []Completion[W]
	refused      []error
}

// Bounds on what waits at a time. maxWaiting is for Submits and for reads, each.
// maxSnapshotOffers is small, since a leader sends one snapshot at a time to a member.
const (
	maxWaiting        = 1 << 18
	maxSnapshotOffers = 16
)

// snapshotRetryTicks is how long a replica waits after a snapshot that failed: each attempt
// writes the whole state, and a full disk rarely gets space soon.
const snapshotRetryTicks = 100

type readyRead[W any] struct {
	index  raft.Index
	waiter W
}

// NewReplica returns a replica that begins from s. Its state machine must reflect
// s.Snapshot. snapshotBytes is what DurableMachine.Open returned.
func NewReplica[W any](cfg raft.Config, s raft.State, p SnapshotPolicy, snapshotBytes int64) (*Replica[W], error) {
	if cfg.FirstID == 0 && cfg.Rand != nil {
		cfg.FirstID = cfg.Rand.Uint64()
	}
	core, err := raft.New(cfg, s)
	if err != nil {
		return nil, err
	}
	r := &Replica[W]{
		core: core, id: cfg.ID, witness: cfg.Witness, policy: p, maxPendingBytes: int64(cfg.MaxPendingBytes),
		indexReads: map[raft.ReadID][]W{}, snapshotsSent: map[raft.NodeID]raft.Index{}, keptStreams: map[raft.NodeID]keptStream{},
		applying: s.Snapshot.Index, applied: s.Snapshot.Index,
	}
	r.forwards.nextID = raft.ProposalID(cfg.FirstID >> 1) // it never comes to its largest value
	r.setSnapshot(s.Snapshot, snapshotBytes)
	return r, nil
}

func (r *Replica[W]) submit(s Submission[W]) {
	switch {
	case r.witness:
		r.complete(s.Waiter, ErrWitness)
		return
	case r.comparison.alarm:
		r.complete(s.Waiter, ErrAlarm)
		return
	case r.submits.len()+len(r.forwards.list) >= maxWaiting:
		r.complete(s.Waiter, ErrBusy)
		return
	case s.Forward && r.core.Role() != raft.Leader:
		r.forward(s)
		return
	}
	if !r.proposeFirst() {
		r.complete(s.Waiter, ErrBusy)
		return
	}
	switch index, err := r.core.Propose(s.Data); {
	case err == nil:
		r.submits.add(r.core.Term(), index, s.Waiter)
	case err == raft.ErrBusy, err == raft.ErrTransferring && !s.Forward:
		r.complete(s.Waiter, ErrBusy)
	case err == raft.ErrTooLarge:
		r.complete(s.Waiter, ErrTooLarge)
	default:
		r.complete(s.Waiter, r.notLeader())
	}
}

func (r *Replica[W]) receive(m raft.Message) {
	switch m := m.(type) {
	case *raft.StateHash:
		r.onStateHash(m)
	case *raft.Propose:
		r.onPropose(m)
	case *raft.ProposeReply:
		r.onProposeReply(m)
	case *raft.InstallSnapshot:
		r.step(r.newest(m))
	default:
		r.step(m)
	}
}

func (r *Replica[W]) step(m raft.Message) {
	if err := r.core.Step(m); err != nil {
		r.refused = append(r.refused, err)
	}
}

// newest returns m with the snapshot of an earlier leader in place of its own, if that is durable here, came too late to
// be restored, and goes further. The later leader has in its log what an earlier one has committed. Otherwise the log
// would begin behind m's snapshot, and the state further on. What is between would have to come once more, and if that
// alone filled the log no snapshot of this replica could make room: its state is beyond it already.
func (r *Replica[W]) newest(m *raft.InstallSnapshot) *raft.InstallSnapshot {
	if m.Meta.Index <= r.core.Commit() || m.Meta.Index >= r.snapshot.Index || m.Term < r.core.Term() {
		return m
	}
	further := *m
	further.Meta = r.snapshot
	return &further
}

func (r *Replica[W]) onApplied(index raft.Index) {
	r.core.Applied(min(index, r.applying))
	before := r.applied
	if r.applied = max(r.applied, index); before < r.snapshot.Index {
		r.dropCovered()
	}
	r.releaseReads()
	r.releaseChanges()
}

// TransferLeadership begins to hand leadership over.
func (r *Replica[W]) TransferLeadership(to raft.NodeID) error {
	return r.core.TransferLeadership(to)
}

// SnapshotReceived reports the end of a snapshot whose offer was accepted: its data, of the
// given size, is durable (ok), or it was given up.
func (r *Replica[W]) SnapshotReceived(m *raft.InstallSnapshot, bytes int64, ok bool) {
	r.savingSnapshot, r.receiving = false, 0
	if !ok {
		r.check = true
		return
	}
	if m.Meta.Index > r.snapshot.Index {
		r.setSnapshot(m.Meta, bytes)
	}
	r.receive(m)
	r.dropCovered()
}

// SnapshotDone reports the end of ApplyTask.TakeSnapshot: its data, of the given size, is
// durable (ok), or it was given up.
func (r *Replica[W]) SnapshotDone(meta raft.SnapshotMeta, bytes int64, ok bool) {
	r.savingSnapshot = false
	if !ok {
		r.snapshotPause, r.check = snapshotRetryTicks, true
		return
	}
	if meta.Index <= r.snapshot.Index {
		return
	}
	r.setSnapshot(meta, bytes)
	r.dropCovered()
}

// Leader is the leader of the present term, raft.None if it is not known.
func (r *Replica[W]) Leader() raft.NodeID { return r.core.Leader() }

// Status returns the state of the replica.
func (r *Replica[W]) Status() Status {
	s := r.OwnStatus()
	s.Status = r.core.Status()
	if len(r.comparison.divergedPeers) > 0 {
		s.Diverged = slices.Sorted(maps.Keys(r.comparison.divergedPeers))
	}
	return s
}

// OwnStatus returns the Status without what the replica knows of the other members. Unlike Status it may
// be asked for at every step.
func (r *Replica[W]) OwnStatus() Status {
	return Status{
		Status: r.core.OwnStatus(), LogBytes: int64(r.core.LogBytes()),
		Snapshot: r.snapshot, SnapshotBytes: r.snapshotBytes, Pending: r.submits.len() + len(r.forwards.list), Alarm: r.comparison.alarm,
	}
}

// takeCommitted turns committed entries into commands for the state machine, each with the
// Submit that waits for it. Submits whose place another entry took are completed.
func (r *Replica[W]) takeCommitted(entries []raft.Entry) []Command[W] {
	if len(entries) == 0 {
		return nil
	}
	commands := make([]Command[W], 0, len(entries))
	for _, e := range entries {
		c := Command[W]{Entry: e}
		r.submits.committed(e.Index, e.Term, func(s submit[W]) {
			if s.index == e.Index && s.term == e.Term {
				c.Waiter, c.HasWaiter = s.waiter, true
				return
			}
			r.complete(s.waiter, r.notLeader())
		})
		r.settleChanges(e.Index, e.Term, func(c change[W]) error {
			if c.index == e.Index && c.term == e.Term {
				return nil
			}
			return r.notLeader()
		})
		if name, _, ok := cutName(e); ok && name.from == r.id {
			if w, ok := r.forwards.take(name.id); ok {
				c.Waiter, c.HasWaiter = w, true
			}
		}
		// Terms never fall along a log. So an entry of an earlier term comes before e, where this
		// loop would have found its name, or it never will be committed.
		r.forwards.dropTerms(e.Term-1, func(w W) { r.complete(w, r.notLeader()) })
		r.applying = e.Index
		if !r.used {
			_, r.used = Operation(e)
		}
		r.bytesSinceSnapshot += int64(e.Size())
		commands = append(commands, c)
	}
	return commands
}

// onRestore completes the Submits whose outcome a snapshot from the leader decides:
//
//   - index and term are not beyond the snapshot's: the operation may have been executed;
//   - the index is covered, the term is later than the snapshot's: it was not executed,
//     since terms never fall along a log;
//   - the index is beyond the snapshot's, the term is earlier: it never will be executed, for
//     the same reason.
func (r *Replica[W]) onRestore(meta raft.SnapshotMeta) {
	r.applying, r.bytesSinceSnapshot = meta.Index, 0
	r.submits.committed(meta.Index, meta.Term, func(s submit[W]) {
		if s.index <= meta.Index && s.term <= meta.Term {
			r.complete(s.waiter, ErrUnknown)
			return
		}
		r.complete(s.waiter, r.notLeader())
	})
	r.settleChanges(meta.Index, meta.Term, func(c change[W]) error {
		if c.index <= meta.Index && c.term <= meta.Term {
			return ErrUnknown
		}
		return r.notLeader()
	})
	// What a leader of that term or an earlier one was asked for may be in the snapshot.
	r.forwards.dropTerms(meta.Term, func(w W) { r.complete(w, ErrUnknown) })
}

// offer queues a snapshot that begins to arrive, for answerSnapshotOffers.
func (r *Replica[W]) offer(o SnapshotOffer[W]) {
	if len(r.snapshotOffers) >= maxSnapshotOffers {
		r.complete(o.Waiter, ErrBusy)
		return
	}
	r.snapshotOffers = append(r.snapshotOffers, o)
}

// answerSnapshotOffers completes the offers in their order, until one must wait for the
// snapshot that is being saved.
func (r *Replica[W]) answerSnapshotOffers() {
	for len(r.snapshotOffers) > 0 {
		m, err := r.snapshotOffers[0].Message, error(nil)
		switch {
		case m.Check() != nil:
			err = m.Check()
		case m.Meta.Index <= r.core.Commit():
			err = ErrSnapshotNotNeeded // the core's reply to the message will tell the leader
		case r.savingSnapshot:
			return
		case m.Meta.Index <= r.snapshot.Index:
			// One of an earlier leader is durable, and came too late to be restored. It holds all of
			// this one, which must not replace it.
			err = ErrSnapshotNotNeeded
		default:
			r.savingSnapshot, r.receiving = true, m.Meta.Index
		}
		r.complete(r.snapshotOffers[0].Waiter, err)
		r.snapshotOffers = r.snapshotOffers[1:]
	}
}

// WantCheckpoint asks for a checkpoint (a snapshot) soon, although the log has not grown much. If files of the state are
// damaged there is one even if nothing was executed since the last: it writes them anew, and perhaps nobody writes.
func (r *Replica[W]) WantCheckpoint() { r.checkpointWanted = true }

// snapshotDue returns the meta of a snapshot to take, if the applied log behind the last
// one has outgrown its bound, or somebody wants one.
func (r *Replica[W]) snapshotDue() *raft.SnapshotMeta {
	again := r.checkpointWanted && r.damaged && r.applying == r.snapshot.Index && r.applying > 0
	switch {
	case r.policy.MaxRaftState < 0, r.savingSnapshot, r.snapshotPause > 0:
		return nil
	case again:
		r.savingSnapshot, r.checkpointWanted = true, false
		meta := r.snapshot
		return &meta
	case r.applying <= r.snapshot.Index:
		return nil
	}
	conf := r.core.ConfigurationAt(r.applying)
	if !conf.HasVoters() {
		return nil // this replica joins: with such a snapshot it would never know who the members are
	}
	limit := r.policy.maxLog(r.snapshotBytes)
	if r.bytesSinceSnapshot <= limit-spread(r.id, r.snapshot.Index, limit) && !r.checkpointWanted {
		return nil
	}
	term, ok := r.core.TermAt(r.applying)
	if !ok {
		return nil
	}
	r.savingSnapshot, r.checkpointWanted = true, false
	return &raft.SnapshotMeta{Index: r.applying, Term: term, Configuration: conf}
}

// beginReads asks the core for one index for all reads of a turn that have the same mode.
func (r *Replica[W]) beginReads(reads []ReadRequest[W], now raft.Instant) {
	var byIndex, byLease []W
	for i, q := range reads {
		switch {
		case r.witness:
			r.complete(q.Waiter, ErrWitness)
		case r.waitingReads+i >= maxWaiting:
			r.complete(q.Waiter, ErrBusy)
		case q.Mode == raft.ReadByLease:
			byLease = append(byLease, q.Waiter)
		default:
			byIndex = append(byIndex, q.Waiter)
		}
	}
	r.readIndex(byIndex, raft.ReadByIndex, now)
	r.readIndex(byLease, raft.ReadByLease, now)
}

func (r *Replica[W]) readIndex(waiters []W, mode raft.ReadMode, now raft.Instant) {
	if len(waiters) == 0 {
		return
	}
	id, err := r.core.ReadIndex(now, mode)
	if err != nil {
		if err = ErrBusy; r.core.Leader() == raft.None {
			err = r.notLeader()
		}
		for _, w := range waiters {
			r.complete(w, err)
		}
		return
	}
	r.indexReads[id] = waiters
	r.waitingReads += len(waiters)
}

func (r *Replica[W]) endReads(reads []raft.ReadState) {
	for _, read := range reads {
		waiters := r.indexReads[read.ID]
		delete(r.indexReads, read.ID)
		for _, w := range waiters {
			if read.OK {
				r.readyReads = append(r.readyReads, readyRead[W]{read.Index, w})
				continue
			}
			r.waitingReads--
			r.complete(w, r.notLeader())
		}
	}
	if len(reads) > 0 {
		r.releaseReads()
	}
}

func (r *Replica[W]) releaseReads() {
	kept := r.readyReads[:0]
	for _, read := range r.readyReads {
		if read.index <= r.applied {
			r.waitingReads--
			r.completions = append(r.completions, Completion[W]{Waiter: read.waiter, Index: read.index})
		} else {
			kept = append(kept, read)
		}
	}
	clear(r.readyReads[len(kept):])
	r.readyReads = kept
}

func (r *Replica[W]) complete(w W, err error) {
	r.completions = append(r.completions, Completion[W]{Waiter: w, Err: err})
}

func (r *Replica[W]) notLeader() error {
	leader := r.core.Leader()
	if r.core.Role() == raft.Leader {
		leader = raft.None // "not the leader" must not name this replica as the leader
	}
	return &NotLeaderError{Leader: leader}
}

// Drain returns all who still wait, those in ev included: events that a shell which stops
// has not given to Turn.
func (r *Replica[W]) Drain(ev Events[W]) []W {
	waiters := append(r.submits.drain(), r.forwards.drain()...)
	for _, s := range ev.Submits {
		waiters = append(waiters, s.Waiter)
	}
	for _, q := range ev.Reads {
		waiters = append(waiters, q.Waiter)
	}
	for _, c := range ev.Changes {
		waiters = append(waiters, c.Waiter)
	}
	for _, c := range r.changes {
		waiters = append(waiters, c.waiter)
	}
	for _, o := range append(r.snapshotOffers, ev.SnapshotOffers...) {
		waiters = append(waiters, o.Waiter)
	}
	for id, reading := range r.indexReads {
		waiters = append(waiters, reading...)
		delete(r.indexReads, id)
	}
	for _, read := range r.readyReads {
		waiters = append(waiters, read.waiter)
	}
	for _, c := range r.completions {
		waiters = append(waiters, c.Waiter)
	}
	r.snapshotOffers, r.readyReads, r.completions, r.changes = nil, nil, nil, nil
	return waiters
}
