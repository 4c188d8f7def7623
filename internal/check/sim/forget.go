package sim

import (
	"time"

	"balsa.example/raft"
)

// oldDiskReturns replaces a follower's disk by an old image of it, after the follower has
// acknowledged more to a leader that goes on to lead. The leader must notice that, and the
// follower must stop. Meanwhile the follower cannot reach other nodes, since they could not
// know that its votes are wrong. The follower does not return.
func (w *world) oldDiskReturns() {
	l := w.leader()
	if l == nil || len(w.voters()) < 3 || !w.opt.anyFault() || w.anyFatal() || w.chance(0.8) {
		return
	}
	n := w.otherThan(l, w.voters())
	if n == l || w.mix.MaxWitness < unlimited || n.disk.fs != nil || n.disk.files != nil || !n.up() {
		return
	}
	term, image := l.replica.OwnStatus().Term, n.disk.model
	match := raft.Index(0)
	acknowledged := func() bool {
		for _, p := range w.peersOf(l, term) {
			if p.ID == n.id {
				match = p.Match
			}
		}
		return match > max(image.last(), image.snapshot.Index)
	}
	if !w.runUntil(w.now+2*time.Second, acknowledged) {
		return
	}
	w.trace.text(w.now, n.id, "old disk", "it holds %s", &image)
	for _, other := range w.nodes {
		if other != n && other != l {
			w.net.cut[n.id][other.id]++
			w.net.cut[other.id][n.id]++
		}
	}
	n.crash(false)
	n.fatal = true                                         // so that it is not started
	w.runUntil(w.net.lastArrival()+milliseconds(100), nil) // its acknowledgements arrive: a real disk is not replaced faster
	acknowledged()
	n.disk.model, n.fatal, n.oldDisk = image, false, true
	n.start()
	// A snapshot that is under way already may bring all that was acknowledged before the leader can
	// notice.
	noticed := func() bool { return n.fatal || w.check.views[n.id].last() >= match }
	if !w.runUntil(w.now+time.Second+w.elections(1), noticed) && len(w.peersOf(l, term)) > 0 {
		w.failf("old disk unnoticed", "%s goes on: %s", n.id, w.describe())
	}
	n.fatal = true
	n.crash(false)
}

// peersOf returns what l knows of its peers, if it still leads in the term.
func (w *world) peersOf(l *node, term raft.Term) []raft.PeerStatus {
	if !l.up() {
		return nil
	}
	if s := l.replica.Status(); s.Term == term {
		return s.Peers
	}
	return nil
}
