//balsa:pure

package rsm

import (
	"slices"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
)

// Hasher is a StateMachine whose replicas are compared while they run. All replicas execute
// the same operations, so at the same index their states are equal. A state that differs
// shows a fault of the replica's memory or program.
type Hasher interface {
	// Hash returns a hash of the whole state. It is called now and then between two
	// operations, which wait for it, so it must be cheap.
	Hash() uint64
}

// Replicas compare their states in three steps:
//
//  1. Every hashTicks the leader asks all members for their hash at the last index of its
//     log. Nothing follows that entry yet, so no member has executed beyond it, unless the
//     question arrives late.
//  2. A member that is asked waits until it has executed up to that index, and sends its hash
//     to all members.
//  3. Each member decides by itself. Where a majority of the voters has one hash, a member
//     with another hash stops. Where hashes differ and no majority agrees, it is not known
//     which are right: no writes are taken until a majority agrees.
//
// Only hashes of the same index are compared. A member that sends none counts neither for
// nor against.

// hashTicks is how often a leader asks, in ticks.
const hashTicks = 100

// reportHash gives Hashed the hash of the present state, if that was asked for.
func (a *Applier[Op, Result, W]) reportHash() {
	index := a.hashWanted
	if index != a.index || index == 0 {
		return
	}
	a.hashWanted = 0
	if a.Hasher != nil && a.Hashed != nil {
		a.Hashed(index, a.Hasher.Hash())
	}
}

// comparison is what a Replica knows of the states of all members at one index.
type comparison struct {
	index  raft.Index
	hashes map[raft.NodeID]uint64
	// hashWanted is for the next Effects: the index at which the own hash is wanted, or 0.
	hashWanted raft.Index
	ticks      int  // since the leader asked
	enabled    bool // the StateMachine is a Hasher

	diverged bool // a majority has another hash than this replica
	alarm    bool // hashes differ, and no majority agrees
	// divergedPeers are the other members known to have another hash than a majority. They
	// stop, and send no more hashes, so they stay here over later comparisons.
	divergedPeers map[raft.NodeID]bool
	// newlyDiverged are those added since the last Effects.
	newlyDiverged []raft.NodeID
}

// startAt begins a comparison at index, if it is not the present one.
func (c *comparison) startAt(index raft.Index) {
	if index != c.index {
		c.index, c.hashes, c.hashWanted = index, map[raft.NodeID]uint64{}, index
	}
}

// decide judges the hashes known so far. conf is the configuration at their index.
func (c *comparison) decide(self raft.NodeID, conf raft.Configuration) {
	differ := false
	if !conf.HasVoters() {
		return
	}
	for id, hash := range c.hashes {
		votes := map[raft.NodeID]bool{}
		for other, h := range c.hashes {
			votes[other] = h == hash
			differ = differ || h != hash
		}
		if conf.Voters.VoteResult(votes) == quorum.VoteWon {
			own, known := c.hashes[self]
			c.diverged = known && own != c.hashes[id]
			c.alarm = false
			c.noteDiverged(self, hash)
			return
		}
	}
	c.alarm = c.alarm || differ
}

// noteDiverged records the other members whose hash differs from the majority's, and removes
// those whose hash is the majority's again.
func (c *comparison) noteDiverged(self raft.NodeID, majority uint64) {
	for id, hash := range c.hashes {
		if hash == majority || id == self {
			delete(c.divergedPeers, id)
			continue
		}
		if c.divergedPeers == nil {
			c.divergedPeers = map[raft.NodeID]bool{}
		}
		if !c.divergedPeers[id] {
			c.divergedPeers[id] = true
			c.newlyDiverged = append(c.newlyDiverged, id)
		}
	}
}

// takeHashWanted returns the index at which the own hash is wanted, for a task with so many commands. While the machine
// is at work the question waits for commands, since it would be a task of its own: a machine that hangs would have one
// more of them each time that the leader asks.
func (r *Replica[W]) takeHashWanted(commands int) raft.Index {
	if commands == 0 && r.applied < r.applying {
		return 0
	}
	index := r.comparison.hashWanted
	r.comparison.hashWanted = 0
	return index
}

// compare asks all members for their hash, if this replica leads and it is time.
func (r *Replica[W]) compare() {
	c := &r.comparison
	if c.ticks++; c.ticks < hashTicks || r.core.Role() != raft.Leader || !c.enabled {
		return
	}
	c.ticks = 0
	if last := r.core.Last(); c.index <= r.applied || c.index > last { // otherwise this replica has not yet executed up to it
		c.startAt(last)
	}
	r.broadcast(raft.StateHash{Index: c.index})
	r.broadcastHash()
}

// failure is why this replica must stop, or nil.
func (r *Replica[W]) failure() error {
	switch {
	case r.comparison.diverged:
		return ErrDiverged
	case r.wasRemoved():
		return ErrRemoved
	}
	return r.core.Failure()
}

// broadcastHash sends the own hash to all members, if it is known.
func (r *Replica[W]) broadcastHash() {
	if own, ok := r.comparison.hashes[r.id]; ok {
		r.broadcast(raft.StateHash{Index: r.comparison.index, Known: true, Hash: own})
	}
}

// CompareStates makes the replica take part in the comparison of states. Its StateMachine
// must be a Hasher.
func (r *Replica[W]) CompareStates() { r.comparison.enabled = true }

// broadcast sends a copy of m to all other members.
func (r *Replica[W]) broadcast(m raft.StateHash) {
	for _, id := range r.core.ConfigurationAt(r.applied).Members() {
		if id != r.id {
			m := m
			m.Header = raft.Header{From: r.id, To: id}
			r.messages = append(r.messages, &m)
		}
	}
}

// onStateHash handles another member's question or hash.
func (r *Replica[W]) onStateHash(m *raft.StateHash) {
	c := &r.comparison
	switch {
	case !c.enabled || m.Index == 0 || !slices.Contains(r.core.ConfigurationAt(r.applied).Members(), m.From):
	case m.Known:
		if m.Index > c.index { // its hash arrived before the leader's question
			c.startAt(m.Index)
		}
		if m.Index == c.index {
			c.hashes[m.From] = m.Hash
			r.decide()
		}
	case m.From == r.core.Leader():
		c.startAt(m.Index)
		r.broadcastHash()
	}
}

// StateHashed reports the own hash at an index.
func (r *Replica[W]) StateHashed(index raft.Index, hash uint64) {
	c := &r.comparison
	if index != c.index {
		return
	}
	c.hashes[r.id] = hash
	r.broadcastHash()
	r.decide()
}

func (r *Replica[W]) decide() {
	r.comparison.decide(r.id, r.core.ConfigurationAt(r.comparison.index))
}
