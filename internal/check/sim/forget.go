package sim

import (
	"slices"
	"time"

	"balsa.example/raft"
)

// oneForgets puts an old image of a follower's disk back, after the follower has
// acknowledged more to a leader that goes on. The leader must notice and the follower stop.
// It reaches nobody else meanwhile: what it would vote for another, nobody could know for
// wrong. Then it is gone for good.
func (w *world) oneForgets() {
	l := w.leader()
	if l == nil || w.mix.Voters < 3 || !w.opt.anyFault() || w.anyFatal() || w.chance(0.8) {
		return
	}
	n := w.nodes[int(l.id)%w.mix.Voters]
	if n == l || n.disk.fs != nil || !n.up() {
		return
	}
	term, image := l.replica.Status().Term, n.disk.model
	acknowledged := func() bool {
		return slices.ContainsFunc(w.peersOf(l, term), func(p raft.PeerStatus) bool { return p.ID == n.id && p.Match > max(image.last(), image.snapshot.Index) })
	}
	if !w.runUntil(w.now+2*time.Second, acknowledged) {
		return
	}
	w.trace.text(w.now, n.id, "forget", "its disk is as it was: %s", &image)
	for _, other := range w.nodes {
		if other != n && other != l {
			w.net.cut[n.id][other.id]++
			w.net.cut[other.id][n.id]++
		}
	}
	n.crash(false)
	n.fatal = true                                         // so that nobody starts it
	w.runUntil(w.net.lastArrival()+milliseconds(100), nil) // its acknowledgements have come: nobody copies that fast
	n.disk.model, n.fatal, n.forgetful = image, false, true
	n.start()
	// A snapshot that was on its way already may give it all back before anybody can tell.
	restores := w.check.counts.Restores
	noticed := func() bool { return n.fatal || w.check.counts.Restores > restores }
	if !w.runUntil(w.now+time.Second+w.elections(1), noticed) && len(w.peersOf(l, term)) > 0 {
		w.failf("forgetful member unnoticed", "%s goes on: %s", n.id, w.describe())
	}
	n.fatal = true
	n.crash(false)
}

// peersOf is what l knows of the others, if it leads that term still.
func (w *world) peersOf(l *node, term raft.Term) []raft.PeerStatus {
	if !l.up() {
		return nil
	}
	if s := l.replica.Status(); s.Term == term {
		return s.Peers
	}
	return nil
}
