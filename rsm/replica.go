//balsa:pure

package rsm

import (
	"balsa/raft"
)

// Replica is the pure part of a replicated state machine: the Raft core, the
// Submits and reads that wait for their fate, the apply cursor, and the policy of
// snapshots. Like the core it takes events and returns Effects; a Node runs it
// over goroutines, the simulator over an event heap.
//
// W is the shell's handle of somebody who waits. Every W given to Submit or Read
// comes back exactly once: in Command.Waiter, in Fates, or from Drain.
type Replica[W any] struct {
	core         *raft.Raft
	maxRaftState int64 // bytes; negative: no snapshots

	submits submits[W]

	// Reads that came since the last Effects share one ReadIndex per mode.
	newReads [2][]W
	asked    map[raft.ReadID][]W
	ready    []readyRead[W] // the index is known but not applied

	handed      raft.Index // given out for applying
	handedBytes int64      // of the log held that was handed out
	applied     raft.Index

	snapshot     raft.SnapshotMeta // the newest durable one
	snapshotting bool
	pause        int        // ticks until the next attempt, after one that failed
	compact      raft.Index // for the next Effects

	fates []Fate[W]
}

// snapshotRetryTicks is how long a failed snapshot is left alone: an attempt costs
// the writing of the whole state, and a full disk does not get space at once.
const snapshotRetryTicks = 100

type readyRead[W any] struct {
	index  raft.Index
	waiter W
}

// Fate ends the waiting of a Submit that will not be executed here, or of a Read
// (Err nil: the state machine may be read now).
type Fate[W any] struct {
	Waiter W
	Err    error
}

// Effects is what a Replica wants done: see raft.Effects for the first three.
type Effects[W any] struct {
	Persist   *raft.Persist
	Messages  []raft.Message
	Snapshots []raft.Header
	// Compact, if not 0, is for Storage.Compact.
	Compact raft.Index
	ApplyTask[W]
	Fates []Fate[W]
}

// NewReplica returns a replica that begins from s. Its state machine must reflect
// s.Snapshot. maxRaftState is Config.MaxRaftState.
func NewReplica[W any](cfg raft.Config, s raft.State, maxRaftState int64) (*Replica[W], error) {
	core, err := raft.New(cfg, s)
	if err != nil {
		return nil, err
	}
	return &Replica[W]{
		core: core, maxRaftState: maxRaftState,
		asked:  map[raft.ReadID][]W{},
		handed: s.Snapshot.Index, applied: s.Snapshot.Index, snapshot: s.Snapshot,
	}, nil
}

// Submit proposes an operation. On a replica that is not leader its fate is
// ErrWrongLeader at once.
func (r *Replica[W]) Submit(data []byte, w W) {
	switch index, err := r.core.Propose(data); err {
	case nil:
		r.submits.add(r.core.Term(), index, w)
	case raft.ErrBusy, raft.ErrTransferring:
		r.end(w, ErrBusy)
	default:
		r.end(w, r.notLeader())
	}
}

// Read asks for the moment from which the state machine reflects everything that
// was acknowledged before now.
func (r *Replica[W]) Read(mode ReadMode, w W) {
	r.newReads[mode] = append(r.newReads[mode], w)
}

// Receive takes a message; an InstallSnapshot only when its data is durable.
func (r *Replica[W]) Receive(m raft.Message) error {
	if snap, ok := m.(*raft.InstallSnapshot); ok && snap.Meta.Index > r.snapshot.Index {
		r.snapshot = snap.Meta
	}
	return r.core.Step(m)
}

// Tick says that one tick has passed and what the clock shows.
func (r *Replica[W]) Tick(now raft.Instant) {
	r.pause = max(0, r.pause-1)
	r.core.Tick(now)
}

// Persisted reports that every Persist up to seq is durable.
func (r *Replica[W]) Persisted(seq uint64) { r.core.Persisted(seq) }

// Unreachable says that the connection to a member broke.
func (r *Replica[W]) Unreachable(id raft.NodeID) { r.core.Unreachable(id) }

// SnapshotSent answers one of Effects.Snapshots.
func (r *Replica[W]) SnapshotSent(to raft.NodeID, index raft.Index, ok bool) {
	r.core.SnapshotSent(to, index, ok)
}

// TransferLeadership begins to hand leadership over.
func (r *Replica[W]) TransferLeadership(to raft.NodeID) error {
	return r.core.TransferLeadership(to)
}

// Applied reports that the state machine reflects everything up to index.
func (r *Replica[W]) Applied(index raft.Index) {
	r.core.Applied(min(index, r.handed))
	r.applied = max(r.applied, index)
	r.releaseReads()
}

// SnapshotDone answers TakeSnapshot: it is durable (ok) or was given up.
func (r *Replica[W]) SnapshotDone(meta raft.SnapshotMeta, ok bool) {
	r.snapshotting = false
	if !ok {
		r.pause = snapshotRetryTicks
		return
	}
	if meta.Index <= r.snapshot.Index {
		return
	}
	r.snapshot = meta
	// A part of the log stays for followers that are a little behind: entries are
	// cheaper than a snapshot.
	keep := r.core.FirstIndexWithin(int(r.maxRaftState/4), meta.Index)
	before := int64(r.core.LogBytes())
	r.core.Compact(keep - 1)
	r.handedBytes -= before - int64(r.core.LogBytes())
	r.compact = keep - 1
}

// Leader is whom this replica follows, itself if it leads, raft.None if unknown.
func (r *Replica[W]) Leader() raft.NodeID { return r.core.Leader() }

// Status returns a picture of the replica.
func (r *Replica[W]) Status() Status {
	return Status{
		Status: r.core.Status(), LogBytes: int64(r.core.LogBytes()),
		Snapshot: r.snapshot, Pending: r.submits.len(),
	}
}

// Effects returns what is to be done since the last call. now is what the clock
// shows after the last Read was asked for.
func (r *Replica[W]) Effects(now raft.Instant) Effects[W] {
	r.askReads(now)
	core := r.core.Effects()
	e := Effects[W]{Persist: core.Persist, Messages: core.Messages, Snapshots: core.Snapshots}
	if core.Restore != nil {
		r.onRestore(*core.Restore)
	}
	e.ApplyTask = ApplyTask[W]{core.Restore, r.handOut(core.Committed), r.wantSnapshot()}
	r.endReads(core.Reads)
	e.Compact, r.compact = r.compact, 0
	e.Fates, r.fates = r.fates, nil
	return e
}

// handOut matches committed entries with those who wait for them.
func (r *Replica[W]) handOut(entries []raft.Entry) []Command[W] {
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
			r.end(s.waiter, r.notLeader())
		})
		r.handed = e.Index
		r.handedBytes += int64(e.Size())
		commands = append(commands, c)
	}
	return commands
}

// onRestore ends the Submits that a snapshot decides. One whose place it covers may
// have been executed, unless its term is later than the last that the snapshot
// holds; one behind it, of an earlier term, never will be.
func (r *Replica[W]) onRestore(meta raft.SnapshotMeta) {
	r.handed, r.handedBytes = meta.Index, 0
	r.submits.committed(meta.Index, meta.Term, func(s submit[W]) {
		if s.index <= meta.Index && s.term <= meta.Term {
			r.end(s.waiter, ErrUnknown)
			return
		}
		r.end(s.waiter, r.notLeader())
	})
}

// wantSnapshot begins a snapshot when the applied part of the log has outgrown its
// bound.
func (r *Replica[W]) wantSnapshot() *raft.SnapshotMeta {
	if r.maxRaftState < 0 || r.snapshotting || r.pause > 0 || r.handedBytes <= r.maxRaftState || r.handed <= r.snapshot.Index {
		return nil
	}
	term, ok := r.core.TermAt(r.handed)
	if !ok {
		return nil
	}
	r.snapshotting = true
	return &raft.SnapshotMeta{Index: r.handed, Term: term, Configuration: r.core.ConfigurationAt(r.handed)}
}

func (r *Replica[W]) askReads(now raft.Instant) {
	for mode, waiters := range r.newReads {
		if len(waiters) == 0 {
			continue
		}
		r.newReads[mode] = nil
		id, err := r.core.ReadIndex(now, raft.ReadMode(mode))
		if err != nil {
			for _, w := range waiters {
				r.end(w, r.notLeader())
			}
			continue
		}
		r.asked[id] = waiters
	}
}

func (r *Replica[W]) endReads(reads []raft.ReadState) {
	for _, read := range reads {
		waiters := r.asked[read.ID]
		delete(r.asked, read.ID)
		for _, w := range waiters {
			if read.OK {
				r.ready = append(r.ready, readyRead[W]{read.Index, w})
			} else {
				r.end(w, r.notLeader())
			}
		}
	}
	if len(reads) > 0 {
		r.releaseReads()
	}
}

func (r *Replica[W]) releaseReads() {
	kept := r.ready[:0]
	for _, read := range r.ready {
		if read.index <= r.applied {
			r.end(read.waiter, nil)
		} else {
			kept = append(kept, read)
		}
	}
	clear(r.ready[len(kept):])
	r.ready = kept
}

func (r *Replica[W]) end(w W, err error) { r.fates = append(r.fates, Fate[W]{w, err}) }

func (r *Replica[W]) notLeader() error {
	leader := r.core.Leader()
	if r.core.Role() == raft.Leader {
		leader = raft.None // its own loss of a place says nothing of who leads next
	}
	return &NotLeaderError{Leader: leader}
}

// Drain returns everybody who still waits, for a shell that stops.
func (r *Replica[W]) Drain() []W {
	waiters := r.submits.drain()
	for mode := range r.newReads {
		waiters = append(waiters, r.newReads[mode]...)
		r.newReads[mode] = nil
	}
	for id, asked := range r.asked {
		waiters = append(waiters, asked...)
		delete(r.asked, id)
	}
	for _, read := range r.ready {
		waiters = append(waiters, read.waiter)
	}
	for _, f := range r.fates {
		waiters = append(waiters, f.Waiter)
	}
	r.ready, r.fates = nil, nil
	return waiters
}
