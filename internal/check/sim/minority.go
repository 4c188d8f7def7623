package sim

import (
	"slices"
	"time"

	"balsa.example/raft"
)

// minority lets a majority of the voters alone, for longer than they may take for a write, while the
// others fail: see attention. Mostly the leader is among the others. Half of the time nothing changes
// all the while, as a firewall with a wrong rule would have it, and half of the time all changes again
// and again.
func (w *world) minority(n *node, s Injection) bool {
	if l := w.leader(); l != nil && s.Split>>2&3 > 0 {
		n = l
	}
	healthy := make([]bool, w.mix.Nodes()+1)
	for _, id := range w.someMajority(n.id) {
		healthy[id] = true
	}
	end := w.now + w.patience()*5/4
	w.undisturbed = end
	w.failUntil(healthy, end, s.Split&2 == 0)
	w.meanwhile(end-w.now, func() {
		if w.mix.demandsProgress() && w.healthySince(w.now-w.patience()) != nil {
			w.check.counts.Minorities++
		}
	})
	return true
}

// someMajority returns a majority of the voters, without one of them if that is possible.
func (w *world) someMajority(without raft.NodeID) (ids []raft.NodeID) {
	all := w.voters()
	w.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b *node) int {
		switch without {
		case a.id:
			return 1
		case b.id:
			return -1
		}
		return 0
	})
	for _, n := range all {
		if isQuorum(w.conf(), ids) {
			break
		}
		ids = append(ids, n.id)
	}
	return ids
}

// failUntil lets all nodes but the healthy ones fail until a time.
func (w *world) failUntil(healthy []bool, end Instant, lasting bool) {
	if w.now >= end {
		return
	}
	until := end
	if !lasting {
		until = min(end, w.now+w.upTo(w.upTo(4*w.mix.ElectionTimeout)))
	}
	w.trace.text(w.now, raft.None, "minority", "healthy and connected are %v for %v", healthy[1:], until-w.now)
	undo := w.failExcept(healthy)
	for _, n := range w.nodes {
		switch {
		case healthy[n.id]:
		case w.chance(0.4):
			n.hungUntil = until
		case w.chance(0.2):
			n.machineHungUntil = until
		case w.chance(0.1) && n.up():
			n.pause()
			n.afterAlways(until-w.now, n.resume)
		}
	}
	w.meanwhile(until-w.now+1, func() {
		undo()
		w.failUntil(healthy, end, false)
	})
}

// leaderHangsUnheard demands progress while the state machine of the leader hangs, and it hears no other full voter.
// All else is well. Of two full voters and a witness the other two have to leave that leader.
func (w *world) leaderHangsUnheard() {
	if !w.majorityServes() || w.chance(0.5) {
		return
	}
	w.catchUpAll()
	l := w.leader()
	if l == nil || l.witness || !w.hasState(w.conf(), func(n *node) bool { return n == l }) {
		return
	}
	w.trace.text(w.now, l.id, "hang", "its state machine hangs, and it hears no other full voter")
	shift := func(by int) {
		for _, n := range w.nodes {
			if n != l && !n.witness {
				w.net.cut[n.id][l.id] += by
			}
		}
	}
	shift(1)
	start, bound := w.now, 2*time.Second+w.elections(3)+l.unfitPause()
	l.machineHungUntil = w.now + time.Hour
	if !w.runUntil(start+bound, w.progress()) {
		w.failf("hung machine leads", "that of %s, for %v: %s", l.id, w.now-start, w.describe())
	}
	l.machineHungUntil = 0
	shift(-1)
}

// majorityServes tells whether any majority of the voters has to go on without the others, if it has all that is
// committed.
func (w *world) majorityServes() bool {
	return len(w.voters()) >= 3 && w.opt.anyFault() && !w.anyFatal() && !w.anyRotten() && w.mix.MaxWitness == unlimited &&
		(w.mix.MaxInflight >= 4 || w.mix.MaxAppendBytes >= 1000)
}

// minorityFails demands progress while a majority of the voters is up, healthy, and
// connected pairwise. The network does anything to the other nodes: each of them receives
// from and reaches any part of the cluster, some crash and restart, and some disks hang.
func (w *world) minorityFails() {
	if !w.majorityServes() || w.chance(0.6) {
		return
	}
	healthy := make([]bool, w.mix.Nodes()+1)
	for _, id := range w.someMajority(raft.None) {
		healthy[id] = true
	}
	if !w.hasState(w.conf(), func(n *node) bool { return !healthy[n.id] }) {
		return
	}
	w.trace.text(w.now, raft.None, "minority", "healthy and connected are %v", healthy[1:])
	for range 3 {
		w.catchUpAll()
		undo := w.failExcept(healthy)
		for _, n := range w.nodes {
			if !healthy[n.id] && w.chance(0.3) {
				n.hungUntil = w.now + time.Hour
			}
		}
		if !w.runUntil(w.now+2*time.Second+w.elections(5), w.progress()) {
			w.failf("no progress beside a minority that fails", "healthy and connected are %v: %s", healthy[1:], w.describe())
		}
		w.runUntil(w.now+w.upTo(4*w.mix.ElectionTimeout), nil)
		undo()
		for _, n := range w.nodes {
			n.hungUntil = 0
		}
	}
}

// failExcept cuts links at random, in each direction separately, except those between
// healthy nodes. It also crashes some nodes that are not healthy. undo restores the links.
func (w *world) failExcept(healthy []bool) (undo func()) {
	var cut [][2]raft.NodeID
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			share := 0.5
			if !healthy[a.id] && !healthy[b.id] {
				share = 0.2
			}
			if a != b && !(healthy[a.id] && healthy[b.id]) && w.chance(share) {
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
