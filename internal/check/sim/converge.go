package sim

import (
	"slices"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/raft"
)

// elections returns the longest time that n elections take, by the slowest clock.
func (w *world) elections(n int) time.Duration {
	return time.Duration(n) * 2 * 2 * w.mix.ElectionTimeout
}

// recovers demands that the cluster makes progress after the faults, while clients go on. It returns false if the
// run ends here (see promotionWaits).
func (w *world) recovers() bool {
	start := w.net.lastArrival()
	down := 0
	for _, n := range w.nodes {
		if !n.up() {
			down++
		}
	}
	attempts := time.Duration(down) * w.mix.Attempt // a client may be the only one, and ask these first
	if !w.runUntil(start+2*time.Second+w.elections(4)+attempts, w.progress()) {
		if w.promotionWaits() {
			return false
		}
		w.failf("no progress", "in %v after all faults ended: %s", w.now-start, w.describe())
	}
	w.recovery = max(0, w.now-start)
	return true
}

// promotionWaits tells whether a witness was to vote, has fallen behind the log meanwhile, and waits for a full voter
// that is lost. The change can neither end nor be taken back: docs/reliability.md says so.
func (w *world) promotionWaits() bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		return n.waitsForFullVoter() && slices.ContainsFunc(w.inForce(), func(c raft.Configuration) bool { return c.Voters.Contains(n.id) })
	})
}

// converge demands progress within a bounded time, and that no node stays behind while
// clients go on. Then it lets the clients finish, and demands that all nodes reach the same
// state.
func (w *world) converge() {
	start := w.net.lastArrival()
	w.membersSettle()
	w.followerAbsence()
	w.oneHangs()
	w.leaderHangsUnheard()
	w.minorityFails()
	w.catchUpAll()
	w.oneIsRemoved()
	w.oldDiskReturns()
	w.leaderStreams(start)
	w.closing = true
	w.isolateLeader()
	quiet := func() bool {
		for _, c := range w.clients {
			if c.busy > 0 {
				return false
			}
		}
		if slices.ContainsFunc(w.callers, func(c *caller) bool { return c.busy }) {
			return false
		}
		return w.check.converged()
	}
	if !w.runUntil(w.now+w.mix.Deadline+5*time.Second+w.elections(4)+w.oneByOne(w.members()...), quiet) {
		w.failf("no convergence", "after %v without new operations: %s", w.now-start, w.describe())
	}
	w.oneJoins()
	w.leasesEnd()
	if !w.runUntil(w.now+time.Second+w.elections(2), quiet) {
		w.failf("no convergence", "after the leases have ended: %s", w.describe())
	}
	w.viewersSeeAll()
	w.repairAll()
	w.restartAll(quiet)
	for _, n := range w.members() {
		if !n.fatal && !n.witness {
			w.check.content(n)
			n.rotStates(4)
		}
	}
}

// repairAll demands that what was damaged of the machines' files is repaired, or replaced. The index
// keeps up to 31 versions that compaction has forgotten until others follow (index.Purge). Nobody writes
// any more, and the other members may have dropped them, so it may take a restart, after which they are
// not wanted. The manifest and the small file are repaired by the member alone.
func (w *world) repairAll() {
	repaired := func() bool {
		return !slices.ContainsFunc(w.members(), func(n *node) bool { return !n.fatal && n.disk.usesRotten() })
	}
	if w.runUntil(w.now+time.Minute, repaired) { // one run after the other is read
		return
	}
	for _, n := range w.members() {
		if image := n.disk.rottenImage(); image != "" && n.up() {
			w.failf("not repaired", "a minute after all faults ended: %s of %s: %s", image, n.id, w.describe())
		}
		if n.disk.usesRotten() {
			n.crashAndRestart(false)
		}
	}
	if !w.runUntil(w.now+time.Minute, func() bool { return repaired() && w.check.converged() }) {
		w.failf("not repaired", "two minutes after all faults ended, and a restart: %s", w.describe())
	}
}

// anyRotten tells whether a file of a machine is damaged.
func (w *world) anyRotten() bool {
	return slices.ContainsFunc(w.members(), func(n *node) bool { return !n.fatal && n.disk.isRotten() })
}

// progress returns a function that tells whether at least five operations which began after
// this call have completed, and a write has taken effect and was answered. If it was asked again, as its first leader has
// not answered, that may be the answer that its condition does not hold any more.
func (w *world) progress() func() bool {
	before := len(w.records)
	return func() bool {
		done, written := 0, false
		for _, r := range w.records[before:] {
			if r.verdict == clerk.Answered {
				done++
			}
			code := r.reply.GetCode()
			written = written || r.write() && r.reply != nil && len(r.executed) > 0 && (code == api.Reply_OK || code == api.Reply_VERSION_MISMATCH)
		}
		return done >= 5 && written
	}
}

// followerAbsence cuts a follower off for a short time. It has to catch up while clients go
// on.
func (w *world) followerAbsence() {
	l := w.leader()
	if l == nil || len(w.voters()) < 3 || !w.opt.anyFault() || w.mix.Eager == 0 && w.chance(0.5) {
		return
	}
	n := pick(w.rand, w.members()...)
	if n == l {
		n = w.otherThan(l, w.members())
	}
	w.isolate(n, milliseconds(100)+w.upTo(time.Second))
}

// oneHangs demands progress while the disk of one voter, often the leader's, hangs, or its state machine, and
// there is no other fault: what a majority has on disk is executed, whichever disk is late, and a leader that
// executes nothing hands over. With a witness that is needed then, that goes on until the witness is full.
func (w *world) oneHangs() {
	l := w.leader()
	if l == nil || len(w.voters()) < 3 || !w.opt.anyFault() || w.chance(0.5) || w.anyFatal() || w.anyRotten() || w.needsAll() {
		return
	}
	n := l
	if w.chance(0.3) {
		n = pick(w.rand, w.voters()...)
	}
	start, what, until, bound := w.now, "disk", &n.hungUntil, 2*time.Second+w.elections(2)
	if w.chance(0.3) && !n.witness {
		what, until = "state machine", &n.machineHungUntil
		bound += n.unfitPause()
	}
	w.trace.text(w.now, n.id, "hang", "its %s hangs", what)
	*until = w.now + time.Hour
	if !w.runUntil(start+bound, w.progress()) && !w.needsFullWitness(n) {
		w.failf("no progress beside one that hangs", "the %s of %s, for %v: %s", what, n.id, w.now-start, w.describe())
	}
	if n == l && what == "disk" {
		w.handsOver(n)
	}
	w.runUntil(w.now+w.upTo(4*w.mix.ElectionTimeout), nil)
	*until = 0
}

// unfitPause is for how long a node may lead on whose state machine hangs: it has handed over for that a short time ago.
func (n *node) unfitPause() time.Duration {
	if !n.up() {
		return 0
	}
	return n.clock.real(time.Duration(n.replica.OwnStatus().UnfitPause) * n.w.mix.Tick)
}

// handsOver demands that a leader whose disk hangs does not lead for ever, though others commit without it: one
// failure less would be tolerated. A transfer comes ten election timeouts after the last one at the earliest.
func (w *world) handsOver(n *node) {
	another := func() bool { return w.leader() != nil && w.leader() != n }
	if !w.hasState(w.conf(), func(x *node) bool { return x == n }) || w.runUntil(w.now+2*time.Second+w.elections(20), another) {
		return
	}
	if !w.needsFullWitness(n) {
		w.failf("hung disk leads", "%s, for as long as that: %s", n.id, w.describe())
	}
}

// otherThan returns one of at least two nodes.
func (w *world) otherThan(n *node, all []*node) *node {
	return pick(w.rand, slices.DeleteFunc(all, func(x *node) bool { return x == n })...)
}

// anyFatal tells whether a member has lost its disk for good.
func (w *world) anyFatal() bool {
	return slices.ContainsFunc(w.members(), func(n *node) bool { return n.fatal })
}

// isolateLeader may cut off the leader, with its operations under way, until another node
// leads. Few operations follow, so that an operation which waits for a later one to learn
// its outcome would wait for ever.
func (w *world) isolateLeader() {
	if l := w.leader(); l != nil && len(w.voters()) >= 3 && w.opt.anyFault() && w.chance(0.4) {
		w.isolate(l, 4*w.mix.ElectionTimeout)
	}
}

// isolate cuts all links of a node for a time.
func (w *world) isolate(n *node, d time.Duration) {
	shift := func(by int) {
		for _, other := range w.nodes {
			w.net.cut[n.id][other.id] += by
			w.net.cut[other.id][n.id] += by
		}
	}
	shift(1)
	for _, other := range w.nodes {
		if other != n && w.chance(0.8) {
			w.connectionBroke(other, n.id)
		}
	}
	w.runUntil(w.now+d, nil)
	shift(-1)
}

// connectionBroke tells a node that its connection to a peer broke.
func (w *world) connectionBroke(n *node, peer raft.NodeID) {
	if n.up() {
		n.after(w.net.latency(), func() { n.unreachable(peer) })
	}
}

// catchUpAll demands that no node stays behind while clients go on.
func (w *world) catchUpAll() {
	start, mark := w.now, w.check.lastCommitted()
	reached := func() bool {
		return !slices.ContainsFunc(w.members(), func(n *node) bool {
			return !n.fatal && !n.waitsForFullVoter() && (!n.up() || n.reached() < mark)
		})
	}
	bound := breakOff + 2*time.Second + w.elections(4) + w.oneByOne(w.members()...)
	if w.anyRotten() { // the only file of its kind may have to be repaired first
		bound += time.Minute
	}
	if !w.runUntil(w.now+bound, reached) {
		w.failf("left behind", "%v after %d was committed without faults: %s", w.now-start, mark, w.describe())
	}
	w.catchUp = w.now - start
}

// oneByOne is how long nodes may take to get what they lack, where a follower gets one entry at a time, or takes
// one, as the network orders nothing.
func (w *world) oneByOne(nodes ...*node) time.Duration {
	if w.mix.MaxInflight > 1 && w.mix.Ordered {
		return 0
	}
	lacks := raft.Index(0)
	for _, n := range nodes {
		has := raft.Index(0)
		if n.up() {
			has = min(n.reached(), w.check.lastCommitted())
		}
		lacks = max(lacks, w.check.lastCommitted()-has)
	}
	return time.Duration(lacks) * (w.mix.DiskWrite + w.mix.Apply + w.mix.Distance + w.mix.Latency)
}

// leaderStreams demands that the leader goes on from probing each follower to streaming new
// entries to it, or a snapshot: with a small limit of the log a slow follower may get nothing
// but snapshots. A follower whose log is full takes entries when it knows of its own snapshot (see lateness).
func (w *world) leaderStreams(noDelays Instant) {
	w.runUntil(max(w.now, noDelays), nil)
	l, beyond, end := w.leader(), map[raft.NodeID]bool{}, w.now+2*time.Second+3*w.mix.ElectionTimeout
	if l == nil {
		w.runUntil(w.now+2*time.Second, nil)
		return
	}
	for _, n := range w.members() {
		w.connectionBroke(l, n.id) // the leader has to probe
	}
	term := l.replica.OwnStatus().Term
	probed := func() *node {
		for _, n := range w.members() {
			if n != l && !n.fatal && !beyond[n.id] {
				return n
			}
		}
		return nil
	}
	streams := w.runUntil(end, func() bool {
		if l.up() {
			for _, p := range l.replica.Status().Peers {
				beyond[p.ID] = beyond[p.ID] || p.State != "probe"
			}
		}
		return w.leader() != l || l.replica.OwnStatus().Term != term || probed() == nil
	})
	if full := w.mix.MaxUnapplied < unlimited; !streams && !full { // a follower may have no room for more entries
		w.failf("no stream", "%s has only probed %s since the faults ended: %s", l.id, probed().id, w.describe())
	}
}

// anyFault tells whether the run may have faults at all.
func (o *Options) anyFault() bool { return len(o.Faults) > 0 }
