//balsa:pure

package rsm

import (
	"fmt"
	"maps"
	"slices"

	"balsa.example/raft"
)

// Replica is the pure part of a replicated state machine: the Raft core, the
// Submits and reads that wait for their fate, the apply cursor, and the policy of
// snapshots. Like the core it takes Events and returns Effects (see Turn); a Node runs
// it over goroutines, the simulator over an event heap.
//
// W is the shell's handle of somebody who waits. Every W given in Events comes back
// exactly once: in Command.Waiter, in Fates, or from Drain.
type Replica[W any] struct {
	core   *raft.Raft
	id     raft.NodeID
	policy SnapshotPolicy
	// maxPendingBytes is raft.Config's.
	maxPendingBytes int64

	submits submits[W]

	asked        map[raft.ReadID][]W
	ready        []readyRead[W] // the index is known but not applied
	waitingReads int            // in asked and ready

	handed  raft.Index // given out for applying
	applied raft.Index

	snapshot      raft.SnapshotMeta // the newest durable one
	snapshotBytes int64             // its size
	sinceBytes    int64             // of the log behind it that was handed out
	saving        bool              // one, own or received: only one at a time
	offers        []Offer[W]        // to be answered
	// sent is up to where the snapshot goes, at least, that was sent last to a member.
	sent  map[raft.NodeID]raft.Index
	pause int // ticks until the next own one, after one that failed
	// obsolete is up to where no entry is needed any more, and compacted is how much of
	// that was dropped.
	obsolete, compacted raft.Index

	comparison comparison

	// For the next Effects.
	messages []raft.Message
	compact  raft.Index
	check    bool // DiskTask.Check of the next turn
	fates    []Fate[W]
	refused  []error
}

// Bounds on what waits at a time: Submits and reads, each, and snapshots that arrive, of
// which a leader sends one.
const (
	maxWaiting = 1 << 18
	maxOffers  = 16
)

// snapshotRetryTicks is how long a failed snapshot is left alone: an attempt costs
// the writing of the whole state, and a full disk does not get space at once.
const snapshotRetryTicks = 100

type readyRead[W any] struct {
	index  raft.Index
	waiter W
}

// NewReplica returns a replica that begins from s. Its state machine must reflect
// s.Snapshot, whose data is so many bytes.
func NewReplica[W any](cfg raft.Config, s raft.State, p SnapshotPolicy, snapshotBytes int64) (*Replica[W], error) {
	core, err := raft.New(cfg, s)
	if err != nil {
		return nil, err
	}
	r := &Replica[W]{
		core: core, id: cfg.ID, policy: p, maxPendingBytes: int64(cfg.MaxPendingBytes),
		asked: map[raft.ReadID][]W{}, sent: map[raft.NodeID]raft.Index{},
		handed: s.Snapshot.Index, applied: s.Snapshot.Index,
	}
	r.saved(s.Snapshot, snapshotBytes)
	return r, nil
}

func (r *Replica[W]) submit(s Submission[W]) {
	switch {
	case r.comparison.alarm:
		r.end(s.Waiter, ErrAlarm)
		return
	case r.submits.len() >= maxWaiting:
		r.end(s.Waiter, ErrBusy)
		return
	}
	switch index, err := r.core.Propose(s.Data); err {
	case nil:
		r.submits.add(r.core.Term(), index, s.Waiter)
	case raft.ErrBusy, raft.ErrTransferring:
		r.end(s.Waiter, ErrBusy)
	case raft.ErrTooLarge:
		r.end(s.Waiter, ErrTooLarge)
	default:
		r.end(s.Waiter, r.notLeader())
	}
}

func (r *Replica[W]) receive(m raft.Message) {
	if m, ok := m.(*raft.StateHash); ok {
		r.onStateHash(m)
		return
	}
	if err := r.core.Step(m); err != nil {
		r.refused = append(r.refused, err)
	}
}

func (r *Replica[W]) onApplied(index raft.Index) {
	r.core.Applied(min(index, r.handed))
	r.applied = max(r.applied, index)
	r.releaseReads()
}

// SnapshotSent answers one of Effects.Snapshots.
func (r *Replica[W]) SnapshotSent(to raft.NodeID, index raft.Index, ok bool) {
	r.check = r.check || !ok
	r.core.SnapshotSent(to, index, ok)
}

// TransferLeadership begins to hand leadership over.
func (r *Replica[W]) TransferLeadership(to raft.NodeID) error {
	return r.core.TransferLeadership(to)
}

// SnapshotReceived answers an Offer that was to be saved: its data, so many bytes, is
// durable (ok) or was given up.
func (r *Replica[W]) SnapshotReceived(m *raft.InstallSnapshot, bytes int64, ok bool) {
	r.saving = false
	if !ok {
		r.check = true
		return
	}
	if m.Meta.Index > r.snapshot.Index {
		r.saved(m.Meta, bytes)
	}
	r.receive(m)
}

// SnapshotDone answers TakeSnapshot: its data, so many bytes, is durable (ok) or was
// given up.
func (r *Replica[W]) SnapshotDone(meta raft.SnapshotMeta, bytes int64, ok bool) {
	r.saving = false
	if !ok {
		r.pause, r.check = snapshotRetryTicks, true
		return
	}
	if meta.Index <= r.snapshot.Index {
		return
	}
	r.saved(meta, bytes)
	r.obsolete = r.needless()
	r.compactLog()
}

// compactLog drops what is obsolete of the log. What is not on the own disk yet stays
// until it is: the state, and so a snapshot, may be ahead of that.
func (r *Replica[W]) compactLog() {
	if to := min(r.obsolete, r.core.Durable()); to > r.compacted {
		r.compacted, r.compact = to, to
		r.core.Compact(to)
	}
}

// saved takes note of a new last snapshot.
func (r *Replica[W]) saved(meta raft.SnapshotMeta, bytes int64) {
	r.snapshot, r.snapshotBytes = meta, bytes
	r.sinceBytes = int64(r.core.BytesBetween(meta.Index+1, r.handed))
	r.core.LimitLog(int(r.MaxAppliedBytes()))
}

// MaxAppliedBytes bounds the applied part of the log, in the measure of raft.Entry.Size;
// 0: it has no bound. Beyond it new entries wait until a snapshot is done.
func (r *Replica[W]) MaxAppliedBytes() int64 {
	return r.policy.maxApplied(r.snapshotBytes, r.maxPendingBytes)
}

// Leader is whom this replica follows, itself if it leads, raft.None if unknown.
func (r *Replica[W]) Leader() raft.NodeID { return r.core.Leader() }

// Status returns a picture of the replica.
func (r *Replica[W]) Status() Status {
	return Status{
		Status: r.core.Status(), LogBytes: int64(r.core.LogBytes()),
		Snapshot: r.snapshot, Pending: r.submits.len(), Alarm: r.comparison.alarm,
		Diverged: slices.Sorted(maps.Keys(r.comparison.odd)),
	}
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
		r.sinceBytes += int64(e.Size())
		commands = append(commands, c)
	}
	return commands
}

// onRestore ends the Submits that a snapshot decides. One whose place it covers may
// have been executed, unless its term is later than the last that the snapshot
// holds; one behind it, of an earlier term, never will be.
func (r *Replica[W]) onRestore(meta raft.SnapshotMeta) {
	r.handed, r.sinceBytes = meta.Index, 0
	r.submits.committed(meta.Index, meta.Term, func(s submit[W]) {
		if s.index <= meta.Index && s.term <= meta.Term {
			r.end(s.waiter, ErrUnknown)
			return
		}
		r.end(s.waiter, r.notLeader())
	})
}

// offer takes note of a snapshot that begins to arrive.
func (r *Replica[W]) offer(o Offer[W]) {
	if len(r.offers) >= maxOffers {
		r.end(o.Waiter, ErrBusy)
		return
	}
	r.offers = append(r.offers, o)
}

// answerOffers says of snapshots that arrive, in their order, what to do with them.
func (r *Replica[W]) answerOffers() {
	for len(r.offers) > 0 {
		m, err := r.offers[0].Message, error(nil)
		switch {
		case CheckSnapshot(m) != nil:
			err = CheckSnapshot(m)
		case m.Meta.Index <= r.core.Status().Commit:
			err = ErrNotNeeded // the answer to the message tells the leader so
		case r.saving:
			return
		default:
			r.saving = true
		}
		r.end(r.offers[0].Waiter, err)
		r.offers = r.offers[1:]
	}
}

// CheckSnapshot refuses a snapshot from beyond the term of its sender. That can be had
// by a leader that was deposed: its successor's snapshot is stored already, and the
// message that says so not yet handled. Those who still follow it could not take it,
// for no log has an entry of a term that its node has not reached.
func CheckSnapshot(m *raft.InstallSnapshot) error {
	if m.Meta.Term > m.Term {
		return fmt.Errorf("snapshot %s is of a later term than its sender, which is in %d", m.Meta, m.Term)
	}
	return nil
}

// wantSnapshot begins a snapshot when the applied log behind the last one has outgrown
// its bound.
func (r *Replica[W]) wantSnapshot() *raft.SnapshotMeta {
	if r.policy.MaxRaftState < 0 || r.saving || r.pause > 0 || r.handed <= r.snapshot.Index {
		return nil
	}
	most := r.policy.maxLog(r.snapshotBytes)
	if r.sinceBytes <= most-spread(r.id, r.snapshot.Index, most) {
		return nil
	}
	term, ok := r.core.TermAt(r.handed)
	if !ok {
		return nil
	}
	r.saving = true
	return &raft.SnapshotMeta{Index: r.handed, Term: term, Configuration: r.core.ConfigurationAt(r.handed)}
}

// askReads asks for one index per mode for all reads of a turn.
func (r *Replica[W]) askReads(reads []ReadRequest[W], now raft.Instant) {
	var byMode [2][]W
	for i, q := range reads {
		if r.waitingReads+i >= maxWaiting {
			r.end(q.Waiter, ErrBusy)
			continue
		}
		byMode[q.Mode] = append(byMode[q.Mode], q.Waiter)
	}
	for mode, waiters := range byMode {
		if len(waiters) == 0 {
			continue
		}
		id, err := r.core.ReadIndex(now, raft.ReadMode(mode))
		if err != nil {
			if err = ErrBusy; r.core.Leader() == raft.None {
				err = r.notLeader()
			}
			for _, w := range waiters {
				r.end(w, err)
			}
			continue
		}
		r.asked[id] = waiters
		r.waitingReads += len(waiters)
	}
}

func (r *Replica[W]) endReads(reads []raft.ReadState) {
	for _, read := range reads {
		waiters := r.asked[read.ID]
		delete(r.asked, read.ID)
		for _, w := range waiters {
			if read.OK {
				r.ready = append(r.ready, readyRead[W]{read.Index, w})
				continue
			}
			r.waitingReads--
			r.end(w, r.notLeader())
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
			r.waitingReads--
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

// Drain returns everybody who still waits, for a shell that stops with ev not taken.
func (r *Replica[W]) Drain(ev Events[W]) []W {
	waiters := r.submits.drain()
	for _, s := range ev.Submits {
		waiters = append(waiters, s.Waiter)
	}
	for _, q := range ev.Reads {
		waiters = append(waiters, q.Waiter)
	}
	for _, o := range append(r.offers, ev.Offers...) {
		waiters = append(waiters, o.Waiter)
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
	r.offers, r.ready, r.fates = nil, nil, nil
	return waiters
}
