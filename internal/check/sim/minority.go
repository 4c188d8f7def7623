package sim

import (
	"time"

	"balsa.example/raft"
)

// minorityFails demands progress while a majority of the voters is up, healthy, and
// connected pairwise. The network does anything to the other nodes: each of them receives
// from and reaches any part of the cluster, and some crash and restart.
//
// The disks of the minority work. Otherwise a leader among them could keep its majority by a
// member whose disk hangs, commit nothing, and go on to lead: that is a known limit.
func (w *world) minorityFails() {
	if w.mix.Voters < 3 || !w.opt.anyFault() || w.anyFatal() || w.chance(0.6) {
		return
	}
	healthy := make([]bool, w.mix.Nodes()+1)
	for _, i := range w.rand.Perm(w.mix.Voters)[:w.mix.Voters/2+1] {
		healthy[i+1] = true
	}
	w.trace.text(w.now, raft.None, "minority", "healthy and connected are %v", healthy[1:])
	for range 3 {
		undo := w.failExcept(healthy)
		if !w.runUntil(w.now+2*time.Second+w.elections(5), w.progress()) {
			w.failf("no progress beside a minority that fails", "healthy and connected are %v: %s", healthy[1:], w.describe())
		}
		w.runUntil(w.now+w.upTo(4*w.mix.ElectionTimeout), nil)
		undo()
	}
}

// failExcept cuts links at random, in each direction separately, except those between
// healthy nodes. It also crashes some nodes that are not healthy. undo restores the links.
func (w *world) failExcept(healthy []bool) (undo func()) {
	var cut [][2]raft.NodeID
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && !(healthy[a.id] && healthy[b.id]) && w.chance(0.5) {
				cut = append(cut, [2]raft.NodeID{a.id, b.id})
				w.net.cut[a.id][b.id]++
			}
		}
	}
	for _, n := range w.nodes {
		if !healthy[n.id] && n.up() && w.chance(0.2) {
			n.crashAndRestart(false)
		}
	}
	return func() {
		for _, link := range cut {
			w.net.cut[link[0]][link[1]]--
		}
	}
}
