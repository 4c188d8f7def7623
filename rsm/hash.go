//balsa:pure

package rsm

import (
	"slices"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
)

// Hasher is a StateMachine whose replicas are compared at run time. All of them execute the
// same operations, so at equal indexes their states are equal: if one is not, its memory or
// its program is at fault.
type Hasher interface {
	// Hash returns a hash of the whole state. It is called between two operations, now and
	// then, and they wait for it: so it has to be cheap.
	Hash() uint64
}

// Replicas compare their states so:
//
//  1. Now and then the leader asks all members for their hash at the last index of its log.
//     If that is committed nothing follows it yet, else the question is there before the
//     commit: so nobody is beyond that index, but for delays.
//  2. Whoever is asked waits until it gets there, and tells all members its hash.
//  3. Everybody decides by itself: where a majority of the voters has one hash, whoever has
//     another stops. Where some differ and no majority agrees, nobody knows who is right: no
//     more writes are taken, until a majority agrees.
//
// Only hashes of one index are compared. A member that is not heard of says nothing, neither
// for nor against.

// hashTicks is how often a leader asks, in ticks.
const hashTicks = 100

// tellHash tells the hash of the present state, if it is wanted.
func (a *Applier[Op, Result, W]) tellHash() {
	index := a.wanted
	if index != a.index || index == 0 {
		return
	}
	a.wanted = 0
	if machine, ok := a.Machine.(Hasher); ok && a.Hashed != nil {
		a.Hashed(index, machine.Hash())
	}
}

// comparison is what a Replica knows of the states of all members at one index.
type comparison struct {
	index  raft.Index
	hashes map[raft.NodeID]uint64
	wanted raft.Index // for the next Effects: whose own hash is wanted
	ticks  int        // since the leader has asked
	on     bool       // the StateMachine is a Hasher

	diverged bool // a majority has another hash than this replica
	alarm    bool // some differ, and no majority agrees
	// odd are the others of whom it is known that a majority has another hash. It stops them,
	// so what is known of them is kept.
	odd map[raft.NodeID]bool
	// newlyOdd are those of whom it was not known, for the next Effects.
	newlyOdd []raft.NodeID
}

// at compares at an index from now on.
func (c *comparison) at(index raft.Index) {
	if index != c.index {
		c.index, c.hashes, c.wanted = index, map[raft.NodeID]uint64{}, index
	}
}

// judge decides, when something new is known. conf is in force at the index.
func (c *comparison) judge(self raft.NodeID, conf raft.Configuration) {
	differ := false
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
			c.noteOdd(self, hash)
			return
		}
	}
	c.alarm = c.alarm || differ
}

// noteOdd remembers who differs from the hash of a majority, until it does not any more.
func (c *comparison) noteOdd(self raft.NodeID, majority uint64) {
	for id, hash := range c.hashes {
		if hash == majority || id == self {
			delete(c.odd, id)
			continue
		}
		if c.odd == nil {
			c.odd = map[raft.NodeID]bool{}
		}
		if !c.odd[id] {
			c.odd[id] = true
			c.newlyOdd = append(c.newlyOdd, id)
		}
	}
}

// compare asks all members for their hash, if this is a leader and it is time to.
func (r *Replica[W]) compare() {
	c := &r.comparison
	if c.ticks++; c.ticks < hashTicks || r.core.Role() != raft.Leader || !c.on {
		return
	}
	c.ticks = 0
	if last := r.core.Last(); c.index <= r.applied || c.index > last { // else it is not there yet
		c.at(last)
	}
	r.tellAll(raft.StateHash{Index: c.index})
	r.tellOwn()
}

// failure is why this replica must stop, nil if it need not.
func (r *Replica[W]) failure() error {
	if r.comparison.diverged {
		return ErrDiverged
	}
	return r.core.Failure()
}

// tellOwn tells all members the own hash, if it is known.
func (r *Replica[W]) tellOwn() {
	if own, ok := r.comparison.hashes[r.id]; ok {
		r.tellAll(raft.StateHash{Index: r.comparison.index, Known: true, Hash: own})
	}
}

// CompareStates has the replica take part in the comparison of states, since its StateMachine
// is a Hasher.
func (r *Replica[W]) CompareStates() { r.comparison.on = true }

// tellAll sends a copy of a message to all other members.
func (r *Replica[W]) tellAll(m raft.StateHash) {
	for _, id := range r.core.ConfigurationAt(r.applied).Members() {
		if id != r.id {
			m := m
			m.Header = raft.Header{From: r.id, To: id}
			r.messages = append(r.messages, &m)
		}
	}
}

// onStateHash takes what another member asks or tells.
func (r *Replica[W]) onStateHash(m *raft.StateHash) {
	c := &r.comparison
	switch {
	case !c.on || m.Index == 0 || !slices.Contains(r.core.ConfigurationAt(r.applied).Members(), m.From):
	case m.Known:
		if m.Index > c.index { // it was faster than the leader's question
			c.at(m.Index)
		}
		if m.Index == c.index {
			c.hashes[m.From] = m.Hash
			r.judge()
		}
	case m.From == r.core.Leader():
		c.at(m.Index)
		r.tellOwn()
	}
}

// StateHashed takes the own hash at an index.
func (r *Replica[W]) StateHashed(index raft.Index, hash uint64) {
	c := &r.comparison
	if index != c.index {
		return
	}
	c.hashes[r.id] = hash
	r.tellOwn()
	r.judge()
}

func (r *Replica[W]) judge() {
	r.comparison.judge(r.id, r.core.ConfigurationAt(r.comparison.index))
}
