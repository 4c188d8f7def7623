package sim

import (
	"errors"
	"slices"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// This file is the operator who changes the members. Nodes beyond the first members are spare: they
// begin with an empty disk and without a configuration when the operator adds them, or they never
// start. An id that was removed is not used again.

// conf is the configuration that was committed last.
func (w *world) conf() raft.Configuration { return w.check.confs[len(w.check.confs)-1].conf }

// voters returns the nodes that vote in the configuration that was committed last.
func (w *world) voters() (nodes []*node) {
	for _, id := range w.conf().Voters.IDs() {
		nodes = append(nodes, w.node(id))
	}
	return nodes
}

// members returns the nodes that are in the configuration that was committed last.
func (w *world) members() (nodes []*node) {
	for _, id := range w.conf().Members() {
		nodes = append(nodes, w.node(id))
	}
	return nodes
}

// inForce returns the configurations that may decide: the one that was committed last, and all that
// are not committed and in a log.
func (w *world) inForce() []raft.Configuration {
	return w.inForceBy(func(*view) bool { return true })
}

// toBeCommitted returns the configuration that was committed last, and those that may be committed yet:
// a log that differs from what is committed loses what is behind.
func (w *world) toBeCommitted() []raft.Configuration {
	last := w.check.lastCommitted()
	return w.inForceBy(func(v *view) bool {
		if last == 0 {
			return true
		}
		t, ok := v.term(last)
		return ok && t == w.check.committed[last-1].entry.Term
	})
}

// inForceBy returns the configuration that was committed last, and those behind it in some logs.
func (w *world) inForceBy(counts func(*view) bool) []raft.Configuration {
	all := []raft.Configuration{w.conf()}
	for _, n := range w.nodes {
		v := &w.check.views[n.id]
		for _, c := range v.confs {
			if c.index > w.check.lastCommitted() && counts(v) {
				all = append(all, c.conf)
			}
		}
	}
	return all
}

// survives tells whether in each half of a configuration the voters whose disk is whole are a
// majority, without n, which may be nil.
func survives(w *world, c raft.Configuration, without *node) bool {
	whole := func(n *node) bool { return n != without && !n.fatal && !n.disk.damaged() }
	return won(c.Voters, func(id raft.NodeID) bool { return whole(w.node(id)) }) && w.hasState(c, func(n *node) bool { return !whole(n) })
}

var errNothing = errors.New("there is nothing to change")

// edit returns what is to follow a configuration.
type edit func(raft.Configuration) (raft.Configuration, error)

// changeMembers is a wish of the operator, which may take several changes.
func (w *world) changeMembers(_ *node, s Injection) bool {
	draw := func(kinds ...func(raft.Configuration) raft.Configuration) edit {
		kind := pick(w.rand, kinds...)
		return func(c raft.Configuration) (raft.Configuration, error) { return w.drawn(c, kind(c)) }
	}
	switch s.Split % 8 {
	case 0, 1: // a server joins: it is added, and promoted when it is caught up
		w.wish(draw(w.addLearner), 3, func() { w.wish(draw(w.promote), 20, func() {}) })
	case 2:
		w.wish(draw(w.removeLeader), 5, func() {})
	case 3:
		w.wish(draw(w.removeOne, w.demote), 3, func() {})
	case 4: // everything moves to other servers
		w.wish(draw(w.addAll), 5, func() { w.wish(draw(w.moveAll), 20, func() {}) })
	case 5:
		w.wish(draw(w.promote, w.demote, w.addLearner), 3, func() {})
	default:
		w.wish(draw(w.shuffle, w.shuffle, w.shuffle, w.renew), 1+int(s.Split>>8%5), func() {})
	}
	return true
}

// wish asks for a change until it is made, several times at most, and then goes on.
func (w *world) wish(e edit, tries int, then func()) {
	if tries == 0 || w.healed {
		return
	}
	n := w.leader()
	if n == nil || w.chance(0.1) {
		n = w.nodes[w.rand.IntN(len(w.nodes))]
	}
	again := func() { w.meanwhile(w.upTo(milliseconds(400)), func() { w.wish(e, tries-1, then) }) }
	if !n.up() || n.paused {
		again()
		return
	}
	over := false
	end := func(err error) {
		if over {
			return
		}
		over = true
		if err == nil {
			w.meanwhile(w.upTo(milliseconds(200)), then)
			return
		}
		again()
	}
	n.change(e, end)
	w.meanwhile(2*time.Second, func() { end(errNothing) }) // its outcome may never be known
}

// change asks a node for a change.
func (n *node) change(e edit, done func(error)) {
	w := n.w
	w.changesAsked++
	number := w.changesAsked
	x := &waiter{change: number, done: func(_ state.Result, err error) { done(err) }}
	n.await(x)
	n.inbox.Changes = append(n.inbox.Changes, rsm.Change[*waiter]{Waiter: x, Edit: func(c raft.Configuration) (raft.Configuration, error) {
		next, err := e(c)
		if err == nil {
			next.Context = contextOf(number, w.rosterOf(c, next))
			w.trace.text(w.now, n.id, "change", "%d: %s to %s", number, c, next)
			w.disturb(n, next)
		}
		return next, err
	}})
	n.wake()
}

// disturb may let the leader fail that is about to append a configuration. It is cut off from most
// others, at once, so that the configuration will be taken back, or a little later. Or those that are
// to vote are cut off from all others, with the leader. Or it crashes. Or it is cut off from all a
// little later, for so long that the others drop their logs: a snapshot may tell it of its change.
func (w *world) disturb(n *node, next raft.Configuration) {
	end := w.now + w.upTo(6*w.mix.ElectionTimeout)
	soon := 4 * (w.mix.Distance + w.mix.Latency + w.mix.DiskWrite)
	cut := func() {
		for _, other := range w.nodes {
			if other != n && w.chance(0.8) {
				w.net.part(n.id, other.id, end)
			}
		}
	}
	cutForLong := func() {
		for _, other := range w.nodes {
			if other != n {
				w.net.part(n.id, other.id, w.now+8*w.mix.ElectionTimeout)
			}
		}
	}
	switch dice := w.rand.IntN(10); {
	case w.healed || !w.opt.anyFault():
	case dice < 1:
		cut()
	case dice < 2:
		w.meanwhile(1+w.upTo(soon), cut)
	case dice < 3:
		for _, a := range w.nodes {
			for _, b := range w.nodes {
				if (a == n || next.Voters.Contains(a.id)) && b != n && !next.Voters.Contains(b.id) {
					w.net.part(a.id, b.id, end)
				}
			}
		}
	case dice < 5:
		n.after(1+w.upTo(soon), func() { n.crashAndRestart(w.chance(0.3)) })
	case dice < 7:
		w.meanwhile(1+w.upTo(soon), cutForLong)
	}
}

// drawn refuses what an operator would not ask for: a change to nothing, or to a cluster that has lost
// the disks of a majority. Spare nodes that are added start some time later, most of them.
func (w *world) drawn(c, next raft.Configuration) (raft.Configuration, error) {
	if !next.HasVoters() || next.Equal(c) || !survives(w, next, nil) {
		return c, errNothing
	}
	for _, id := range next.Members() {
		if n := w.node(id); !n.born && w.chance(0.9) {
			n.afterAlways(w.upTo(time.Second), n.bear)
		}
	}
	return next, nil
}

// bear starts a node that is new.
func (n *node) bear() {
	n.born = true
	n.start()
}

// spare returns a node that was never a member, nil if there is none.
func (w *world) spare(c raft.Configuration) *node {
	for _, i := range w.rand.Perm(len(w.nodes)) {
		if n := w.nodes[i]; !n.first() && !c.Contains(n.id) && !w.check.wereMembers[n.id] && !n.gone {
			return n
		}
	}
	return nil
}

// with returns c with another part for a node.
func (w *world) with(c raft.Configuration, id raft.NodeID, part raft.Part) raft.Configuration {
	other := func(x raft.NodeID) bool { return x == id }
	next := raft.NewConfiguration(slices.DeleteFunc(slices.Clone(c.Voters.Incoming), other)...)
	next.Learners = slices.DeleteFunc(slices.Clone(c.Learners), other)
	switch part {
	case raft.Voter:
		next.Voters.Incoming = append(next.Voters.Incoming, id)
	case raft.Learner:
		next.Learners = append(next.Learners, id)
	}
	slices.Sort(next.Voters.Incoming)
	slices.Sort(next.Learners)
	return w.withWitnesses(next)
}

func (w *world) addLearner(c raft.Configuration) raft.Configuration {
	if n := w.spare(c); n != nil {
		return w.with(c, n.id, raft.Learner)
	}
	return c
}

func (w *world) addAll(c raft.Configuration) raft.Configuration {
	for range len(c.Voters.Incoming) {
		c = w.addLearner(c)
	}
	return c
}

func (w *world) promote(c raft.Configuration) raft.Configuration {
	if len(c.Learners) == 0 {
		return c
	}
	return w.with(c, pick(w.rand, c.Learners...), raft.Voter)
}

func (w *world) demote(c raft.Configuration) raft.Configuration {
	return w.with(c, pick(w.rand, c.Voters.Incoming...), raft.Learner)
}

func (w *world) removeOne(c raft.Configuration) raft.Configuration {
	return w.with(c, pick(w.rand, c.Members()...), raft.NotMember)
}

func (w *world) removeLeader(c raft.Configuration) raft.Configuration {
	if l := w.leader(); l != nil && c.Voters.Contains(l.id) && len(c.Voters.Incoming) > 1 {
		return w.with(c, l.id, pick(w.rand, raft.NotMember, raft.NotMember, raft.Learner))
	}
	return c
}

// moveAll makes voters of all learners, and removes those that voted before.
func (w *world) moveAll(c raft.Configuration) raft.Configuration {
	if len(c.Learners) == 0 {
		return c
	}
	return w.withWitnesses(raft.NewConfiguration(c.Learners...))
}

// shuffle gives some nodes another part, several at once. What a core refuses is among it.
func (w *world) shuffle(c raft.Configuration) raft.Configuration {
	next := c
	for _, id := range c.Members() {
		if w.chance(0.3) {
			next = w.with(next, id, pick(w.rand, raft.NotMember, raft.Learner, raft.Voter, raft.Voter))
		}
	}
	if w.chance(0.3) {
		next = w.addLearner(next)
	}
	return next
}

// renew changes nothing but the number of the change.
func (w *world) renew(c raft.Configuration) raft.Configuration {
	c.Context = nil
	return c
}

// leave does what rsm.Node does when it was removed. Some are started again by mistake.
func (n *node) leave() {
	w := n.w
	if w.conf().Contains(n.id) {
		w.failf("removed", "%s says that it was removed, and it is in %s", n.id, w.conf())
	}
	n.w.trace.text(w.now, n.id, "leave", "%v", rsm.ErrRemoved)
	w.check.counts.Removed++
	n.dropWaiters()
	n.crash(false)
	if !w.healed && w.chance(0.3) {
		n.afterAlways(w.upTo(2*time.Second), n.start)
		return
	}
	n.gone = true
}

// membersSettle demands that no change stays half done, and switches off those that are no members.
func (w *world) membersSettle() {
	settled := func() bool {
		l := w.leader()
		return l != nil && l.replica.OwnStatus().Commit == w.check.lastCommitted() && len(w.inForce()) == 1 && !w.conf().Voters.IsJoint()
	}
	if !w.runUntil(w.now+time.Second+w.elections(2), settled) {
		w.failf("change not completed", "%v are in force: %s", w.inForce(), w.describe())
	}
	for _, n := range w.nodes {
		if !w.conf().Contains(n.id) && (n.born || w.check.wereMembers[n.id]) {
			n.crash(false)
			n.gone = true
		}
	}
}

// mayNotKnow tells whether a member that was removed may not be told: another leader follows the one
// that has committed that, and may have compacted the configuration that has the member.
func (w *world) mayNotKnow(n *node) bool {
	at := w.check.confs[len(w.check.confs)-1].index
	if w.conf().Contains(n.id) || at == 0 {
		return false
	}
	in := w.check.committed[at-1].in
	return w.check.leaderTerm > in && w.check.leaders[in] != n.id
}

// oneIsRemoved removes a member, often the leader, while nothing else goes wrong. It must be told, the
// others go on.
func (w *world) oneIsRemoved() {
	l := w.leader()
	if l == nil || len(w.members()) < 2 || !w.opt.anyFault() || w.anyRotten() || !w.mix.has(Members) && w.chance(0.7) {
		return
	}
	n := l
	if w.chance(0.4) {
		n = pick(w.rand, w.members()...)
	}
	next := w.with(w.conf(), n.id, raft.NotMember)
	if n.fatal || n.waitsForFullVoter() || next.Check() != nil || !survives(w, next, nil) {
		return
	}
	start := w.now
	w.trace.text(w.now, n.id, "remove", "%s", next)
	stopped := func() bool { return !n.up() }
	if !w.insist(n, raft.NotMember, start+2*time.Second+w.elections(3)+w.oneByOne(n), stopped) && !w.mayNotKnow(n) {
		w.failf("removed member goes on", "%s was removed, and goes on after %v: %s", n.id, w.now-start, w.describe())
	}
	n.crash(false)
	n.gone = true
	// A client waits for the answer to a write that it may not send again for five attempts, and then may
	// ask others that are down.
	if !w.runUntil(w.now+2*time.Second+w.elections(2)+10*w.mix.Attempt, w.progress()) {
		w.failf("no progress", "%v after %s was removed: %s", w.now-start, n.id, w.describe())
	}
	w.membersSettle()
}

// oneJoins adds a member when nobody writes any more. The newest state of the leader is from before, so that
// its configuration lacks the member, which has to take it all the same: there will be no other.
func (w *world) oneJoins() {
	n := w.spare(w.conf())
	if n == nil || w.leader() == nil || !w.opt.anyFault() || w.anyFatal() || w.anyRotten() {
		return
	}
	start := w.now
	w.trace.text(w.now, n.id, "join", "to %s", w.conf())
	if !w.insist(n, raft.Learner, start+breakOff+2*time.Second+w.elections(4)+w.oneByOne(n), w.check.converged) {
		w.failf("left behind", "%s joined %v ago, and nobody writes: %s", n.id, w.now-start, w.describe())
	}
}

// insist asks the leader again and again to let a node join or leave, until that is committed and enough
// holds. It tells whether that was so before the end.
func (w *world) insist(n *node, part raft.Part, end Instant, enough func() bool) bool {
	joins, asked := part != raft.NotMember, Instant(0)
	change := func(c raft.Configuration) (raft.Configuration, error) {
		if c.Contains(n.id) == joins {
			return c, errNothing
		}
		return w.with(c, n.id, part), nil
	}
	return w.runUntil(end, func() bool {
		if l := w.leader(); l != nil && w.conf().Contains(n.id) != joins && w.now > asked+milliseconds(200) {
			asked = w.now
			l.change(change, func(error) {})
		}
		return w.conf().Contains(n.id) == joins && enough()
	})
}
