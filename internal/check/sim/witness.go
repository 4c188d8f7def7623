package sim

import (
	"errors"
	"slices"

	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// This file is the machine of a witness, and what must hold of witnesses: they drop nothing that a full
// voter lacks, keep no more than their bound, and serve nobody.

// witnessMachine is what a witness has in place of a state.
type witnessMachine struct {
	rsm.DurableMachine[state.Command, state.Result]
}

func newWitnessMachine(d *disk) witnessMachine {
	return witnessMachine{rsm.WithSnapshots(rsm.NoState[state.Command, state.Result]{}, d)}
}

func (witnessMachine) Hash() uint64         { return 0 }
func (witnessMachine) Revision() uint64     { return 0 }
func (witnessMachine) Get(string) kv.Result { return kv.Result{} }

var errNoState = errors.New("a witness has no state")

func (witnessMachine) Range(kv.RangeOp) (kv.RangeResult, error) { return kv.RangeResult{}, errNoState }

// reached is the index of the last entry that the node has executed. A witness, which executes none,
// has to know that it is committed.
func (n *node) reached() raft.Index {
	if n.witness {
		return n.replica.OwnStatus().Commit
	}
	return n.applier.Index()
}

// waitsForFullVoter tells whether the node is a witness that does not vote, and may have to wait for a full voter
// that is lost: see maySendSnapshot of package raft.
func (n *node) waitsForFullVoter() bool {
	return n.witness && n.w.anyFatal() && !n.w.conf().Voters.Contains(n.id)
}

// withWitnesses returns a configuration with those of its members as witnesses that are.
func (w *world) withWitnesses(c raft.Configuration) raft.Configuration {
	c.Witnesses = slices.DeleteFunc(c.Members(), func(id raft.NodeID) bool { return !w.mix.witness(id) })
	return c
}

// hasState tells whether a voter of a configuration that is none of the excepted keeps state. Of a joint one
// either half may be left.
func (w *world) hasState(c raft.Configuration, except func(*node) bool) bool {
	keeps := func(half []raft.NodeID) bool {
		return slices.ContainsFunc(half, func(id raft.NodeID) bool { return !w.node(id).witness && !except(w.node(id)) })
	}
	return keeps(c.Voters.Incoming) && (!c.Voters.IsJoint() || keeps(c.Voters.Outgoing))
}

// needsAll tells whether there are witnesses, and no full voter can be done without for a while: one that is
// behind may need a snapshot of it.
func (w *world) needsAll() bool {
	full := slices.DeleteFunc(w.voters(), func(n *node) bool { return n.witness })
	return len(full) < min(3, len(w.voters()))
}

// needsFullWitness tells whether the voters but one are no majority without a witness that is full.
func (w *world) needsFullWitness(without *node) bool {
	var ids []raft.NodeID
	full := false
	for _, n := range w.voters() {
		switch {
		case n == without:
		case n.up() && n.replica.OwnStatus().WitnessFull:
			full = true
		default:
			ids = append(ids, n.id)
		}
	}
	return full && !isQuorum(w.conf(), ids)
}

// witnessTurned checks a witness after a turn.
func (k *checker) witnessTurned(n *node, v *view, e *rsm.Effects[*waiter], s *raft.Status) {
	if v.applying > s.Commit {
		k.w.failf("executed at once", "%s has committed %d, and executes up to %d", n.id, s.Commit, v.applying)
	}
	member := func() bool {
		return slices.ContainsFunc(k.w.inForce(), func(c raft.Configuration) bool { return c.Contains(n.id) })
	}
	if lacks := k.lacking(v.applying); lacks != nil && member() { // nobody needs what a removed one has
		k.w.failf("witness drops", "%s drops %d, and %s lacks that: it has %s", n.id, v.applying, lacks.id, &lacks.disk.model)
	}
	if e.Lease.Until > 0 {
		k.w.failf("witness serves", "%s has a lease", n.id)
	}
	if e.Persist == nil || len(e.Persist.Entries) == 0 {
		return
	}
	last := e.Persist.Entries[len(e.Persist.Entries)-1]
	if last.Kind != raft.EntryCommand && last.Kind != raft.EntryForwarded {
		return
	}
	if s.Role == raft.Leader && last.Term == s.Term {
		k.w.failf("witness serves", "%s leads term %d, and takes %s", n.id, s.Term, last)
	}
	first := e.Persist.Entries[0].Index
	if t, ok := v.term(first - 1); ok && t < s.Term { // a new leader can commit nothing without all of earlier terms
		return
	}
	before := v.bytes(v.applying+1, first-1)
	if kept, bound := v.bytes(v.applying+1, last.Index), k.w.mix.MaxWitness+k.w.mix.MaxPendingBytes; kept > bound && before > 0 {
		k.w.failf("log bound", "%s takes %s, and has to keep %d bytes; %d is the most", n.id, last, kept, bound)
	}
}

// lacking returns a full voter that has not got an entry on its disk, by one of the configurations in
// force that have a witness; nil if there is none. Those that have lost their disk are not asked.
func (k *checker) lacking(i raft.Index) *node {
	if i == 0 {
		return nil
	}
	for _, c := range k.w.toBeCommitted() {
		if !slices.ContainsFunc(k.w.nodes, func(n *node) bool { return n.witness && c.Contains(n.id) }) {
			continue
		}
		for _, n := range k.w.nodes {
			if c.Voters.Contains(n.id) && !n.witness && !n.fatal && !n.oldDisk && n.disk.damage == none && !n.disk.holds(k.committed[i-1].entry) {
				return n
			}
		}
	}
	return nil
}

// fullVoterIsLost lets a full voter lose its disk for good when the faults end, with all that only
// it and a witness may have. The others must have it.
func (w *world) fullVoterIsLost() {
	if w.mix.Witnesses == 0 || w.mix.MaxWitness < unlimited || !w.opt.anyFault() || w.chance(0.3) {
		return
	}
	n := pick(w.rand, w.voters()...)
	if n.witness || !w.mayDamage(n) {
		return
	}
	w.trace.text(w.now, n.id, "lost", "its disk is lost for good")
	w.check.counts.Lost++
	n.crash(false)
	n.fatal = true
}
