package sim

import (
	"time"

	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
)

// diverge changes the state of one node, in a way that nothing else would notice. It demands
// that this node detects that its state differs from that of its peers, and stops, and that
// no other node does. It comes last in a run, since no check of what clients see is made
// after it. The run before it shows that no node stops without such a change.
func (w *world) diverge() {
	up := 0
	for _, n := range w.voters() {
		if n.up() && !n.witness {
			up++
		}
	}
	if up < 3 || up <= len(w.voters())/2+1 { // a majority must remain
		return
	}
	n := pick(w.rand, w.members()...)
	if !n.up() || n.witness {
		return
	}
	w.trace.text(w.now, n.id, "diverge", "at %d", n.applier.Index())
	w.diverging = n
	for n.machine.DoOp(w.mistake(n)).Code != kv.CodeOK { // a refusal changes nothing
	}
	w.closing = false
	w.mix.Reads, w.mix.EagerReads, w.mix.Think = 0.2, 0.2, min(w.mix.Think, 100*time.Millisecond)
	for _, c := range w.clients {
		c.next()
	}
	begin := w.now
	if !w.runUntil(begin+5*time.Second+w.elections(3), func() bool { return n.fatal || w.spread || w.check.same(n) }) {
		w.failf("divergence", "%s does not notice in %v that its state is another than that of its peers: %s", n.id, w.now-begin, w.describe())
	}
	if n.fatal {
		w.check.counts.Divergences++
	}
}

// mistake is a command that only one node executes. It changes something there.
func (w *world) mistake(n *node) state.Command {
	all, err := n.machine.Range(kv.RangeOp{})
	switch dice := w.rand.IntN(4); {
	case dice == 0 && err == nil && all.Count > 0:
		return state.Command{Op: kv.Op{Kind: kv.Delete, Key: pick(w.rand, all.Entries...).Key, Unconditional: true}}
	case dice == 1:
		return more(state.More{Kind: state.KindCompact, Revision: n.machine.Revision(), Internal: true})
	case dice == 2:
		return more(state.More{Kind: state.KindGrant, Lease: 1 << 40, TTL: 1e9, Internal: true})
	}
	return state.Command{Op: kv.Op{Kind: kv.Put, Key: "by mistake", Unconditional: true}}
}

// same tells whether the state of a node is the right one again: a snapshot from the leader
// replaces a wrong state.
func (k *checker) same(n *node) bool {
	i := n.applier.Index()
	return i > 0 && i <= k.lastCommitted() && n.machine.Hash() == k.committed[i-1].hash
}

// diverged ends a node which finds that its state differs from that of a majority.
func (n *node) diverged() {
	if n != n.w.diverging && !n.w.spread {
		n.w.failf("false alarm", "%s finds that its state differs from that of a majority", n.id)
	}
	n.w.trace.text(n.w.now, n.id, "fail", "%v", rsm.ErrDiverged)
	n.fatal = true // it must be rebuilt
	n.crash(false)
}
