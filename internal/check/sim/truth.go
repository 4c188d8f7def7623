package sim

import (
	"bytes"

	"balsa.example/internal/check/naive"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// committed is an entry, the term in which it was committed, its result, and the hash of the
// state after it, as the first node has it that executes it.
type committed struct {
	entry  raft.Entry
	in     raft.Term
	hash   uint64
	hashed bool
	result state.Result
}

// commit executes an entry on truth.
func (k *checker) commit(e raft.Entry, in raft.Term) {
	c := committed{entry: e, in: in}
	if data, ok := rsm.Operation(e); ok {
		k.counts.Commands++
		k.w.attention.wrote = k.w.now
		op, err := state.Codec{}.Decode(data)
		if err != nil {
			k.w.failf("codec", "%v", err)
		}
		if k.counts.Commands == 1 {
			k.born(op)
		}
		before := k.truth.Clock()
		c.result = k.truth.DoOp(op)
		k.stamped(before, k.truth.Clock())
		k.leasesAfter(op)
		if ofClerk(op) {
			k.execute(op.Op, e.Index, c.result.Result)
		} else {
			if k.refused[string(data)] {
				k.w.failf("refused but executed", "%s", naive.Text(op))
			}
			k.logged[string(data)] = true
		}
	}
	k.committed = append(k.committed, c)
	if e.Kind == raft.EntryConfiguration {
		k.committedConf(e)
	}
}

// applied checks that each node executes committed entries, and gets the same result and the
// same state as all others.
func (k *checker) applied(n *node, e raft.Entry, r state.Result) {
	k.counts.Applied++
	k.w.attention.executes(k.w, n, e.Index)
	if e.Index > k.lastCommitted() {
		k.w.failf("apply", "%s applies %d, which is not committed", n.id, e.Index)
	}
	c := &k.committed[e.Index-1]
	if e.Term != c.entry.Term || e.Kind != c.entry.Kind || !bytes.Equal(e.Data, c.entry.Data) {
		k.w.failf("state machine safety", "%s applies %s; committed is %s", n.id, e, c.entry)
	}
	if n.witness {
		return
	}
	hash := n.machine.Hash()
	if !c.hashed && k.w.diverging != n {
		c.hash, c.hashed = hash, true
	}
	if k.w.diverging != nil {
		return
	}
	if d := naive.Differ(r, c.result); d != "" {
		k.w.failf("equal results", "%s executes %s: %s", n.id, e, d)
	}
	if hash != c.hash {
		k.w.failf("equal states", "%s has state %x at %d; elsewhere it is %x", n.id, hash, e.Index, c.hash)
	}
}

// restored checks that a snapshot holds what was committed up to its index.
func (k *checker) restored(n *node, m raft.SnapshotMeta) {
	k.counts.Restores++
	k.snapshotConf(n, m)
	if m.Index > k.lastCommitted() || k.committed[m.Index-1].entry.Term != m.Term {
		k.w.failf("state machine safety", "%s restores snapshot %s, which was not committed", n.id, m)
	}
	if n.witness {
		return
	}
	if hash, want := n.machine.Hash(), k.committed[m.Index-1].hash; hash != want {
		if k.w.diverging != nil { // a snapshot of the node that has diverged
			k.w.spread = true
			return
		}
		k.w.failf("equal states", "%s has state %x from snapshot %s; elsewhere it is %x", n.id, hash, m, want)
	}
	k.content(n)
}
