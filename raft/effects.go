package raft

// Effects is what the core wants done. Whoever gets it owns its slices; entries and messages
// are shared and must not be written to.
//
// The core has kept back what must wait for a write, until Persisted reported that write.
// So Messages, Snapshots and Committed need not wait for the Persist beside them: a shell may
// carry them out while its disk works. The order that it must keep is:
//
//  1. Persists one after another, in the order of Seq.
//  2. Restore and Committed after those of all earlier Effects, and Restore before Committed.
//  3. A read only when the state machine has applied its index (see ReadState).
type Effects struct {
	// Persist, if not nil, is to be made durable after all earlier Persists, and then
	// reported by Persisted. Several that wait may be made durable together.
	Persist *Persist
	// Messages are to be sent, best in this order. Losing any is safe.
	Messages []Message
	// Snapshots are headers of InstallSnapshot messages. The shell sends each with its newest
	// durable snapshot, and answers it with SnapshotSent.
	Snapshots []Header
	// Restore, if not nil, says that the state machine is to be replaced by the snapshot with
	// this meta. What was committed before and is not applied yet may be skipped. It is
	// reported with Applied(Restore.Index).
	Restore *SnapshotMeta
	// Committed is to be applied in order, each entry once, and then reported with Applied.
	// A majority has every entry on disk. This node may not be part of that majority (thesis
	// 10.2.1), so the state machine may be ahead of the log on this node's disk.
	Committed []Entry
	// Reads are ReadIndex calls that have ended.
	Reads []ReadState
	// ShutOut are members that were found to have lost entries that they had acknowledged
	// (see ErrLostLog). An operator should know.
	ShutOut []NodeID
}

// ReadState is the end of a ReadIndex call. If OK, a state machine that has applied Index
// reflects all that was acknowledged before the call. If not, the call failed and may be
// repeated.
type ReadState struct {
	ID    ReadID
	Index Index
	OK    bool
}

// Empty tells whether there is nothing to do.
func (e *Effects) Empty() bool {
	return e.Persist == nil && len(e.Messages) == 0 && len(e.Snapshots) == 0 &&
		e.Restore == nil && len(e.Committed) == 0 && len(e.Reads) == 0 && len(e.ShutOut) == 0
}

// Effects returns what is to be done since the last call.
func (r *Raft) Effects() Effects {
	if r.role == Leader {
		r.advanceConfiguration()
	}
	if r.role == Leader {
		r.flushLeader()
	}
	e := r.effects
	r.effects = Effects{}
	e.Persist = r.takePersist()
	e.Committed = r.takeCommitted()
	r.checkInvariants()
	return e
}

// takeCommitted returns what is committed and was not returned yet.
//
// It does not wait for this node's own disk: what a majority has on disk is applied and
// answered, however slow this disk is. After a restart the log may then end before what was
// applied, or hold other entries there, whose replacements were only in memory. That is safe:
// the only state that a state machine keeps over a restart is its snapshot. The snapshot names
// its index and term, and the log on disk counts only if it holds that index with that term.
func (r *Raft) takeCommitted() (committed []Entry) {
	if upTo := r.executable(); upTo > r.applying {
		committed = r.log.slice(r.applying+1, upTo)
		r.applying = upTo
	}
	return committed
}

// Applied reports that the state machine reflects everything up to and with index.
func (r *Raft) Applied(index Index) {
	if index <= r.applied { // in most turns
		return
	}
	assertf(index <= r.applying, "%s: applied %d, but Effects returned up to %d", r.id, index, r.applying)
	bytes := r.log.bytes(r.applied+1, index)
	if r.role == Leader {
		r.leader.pendingBytes -= bytes
	}
	r.applied = index
	r.appliedBytes += bytes
}
