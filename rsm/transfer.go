//balsa:pure

package rsm

import (
	"maps"
	"slices"

	"balsa.example/raft"
)

// Transfer asks to stream the newest durable state to a member. Report with SnapshotSent.
type Transfer struct {
	raft.Header
	// Resume asks to go on with the stream that was kept when the last transfer to this member
	// broke off. Otherwise the present state is to be opened, and a stream that was kept for
	// this member closed.
	Resume bool
	// Witness, if not nil, is all that is to be sent, without data: the member is a witness.
	Witness *raft.SnapshotMeta
}

// keptStream is a stream that the shell keeps open after its transfer broke off. A new one
// would have other bytes, so the member could not use what it has received.
type keptStream struct {
	index raft.Index
	ticks int // until it is given up
}

// keepStreamTicks is for how many ticks a stream is kept, two minutes by default. It is bounded
// because an open stream may keep files of the machine from being removed.
const keepStreamTicks = 12000

// SnapshotSent reports the end of a Transfer of a state at index: the member has stored it (ok),
// or the transfer broke off. In that case kept says that the shell has kept the stream open.
func (r *Replica[W]) SnapshotSent(to raft.NodeID, index raft.Index, ok, kept bool) {
	r.check = r.check || !ok
	r.core.SnapshotSent(to, index, ok)
	if kept {
		r.keptStreams[to] = keptStream{index: index, ticks: keepStreamTicks}
	}
}

// transfers turns the core's wish to send snapshots into transfers. A kept stream goes on if
// the log still has the entries behind it.
func (r *Replica[W]) transfers(headers []raft.Header) (ts []Transfer) {
	for _, h := range headers {
		t, index := Transfer{Header: h}, r.snapshot.Index
		if position, ok := r.core.WitnessPosition(h.To); ok {
			t.Witness, index = &position, position.Index
		} else if s, ok := r.keptStreams[h.To]; ok && s.index+1 >= r.core.OwnStatus().FirstIndex {
			t.Resume, index = true, s.index
		}
		delete(r.keptStreams, h.To)
		r.snapshotsSent[h.To] = index
		ts = append(ts, t)
	}
	return ts
}

// giveUpStreams closes kept streams after keepStreamTicks without a transfer, and all of them
// when this replica does not lead, since only a leader sends states.
func (r *Replica[W]) giveUpStreams() {
	if len(r.keptStreams) == 0 { // nearly always, and this is done at each tick
		return
	}
	for _, id := range slices.Sorted(maps.Keys(r.keptStreams)) {
		s := r.keptStreams[id]
		if s.ticks--; s.ticks > 0 && r.core.Role() == raft.Leader {
			r.keptStreams[id] = s
			continue
		}
		delete(r.keptStreams, id)
		r.closeStreams = append(r.closeStreams, id)
	}
}
