package sim

import (
	"slices"
	"time"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
	"balsa.example/state"
)

// attention demands progress while there are faults.
//
// The rule: a command is committed, and one is executed by a leader, in each span of time of the length w.patience() in which
//
//   - a majority of the voters was healthy all the time, and each two of them were connected in both
//     directions,
//   - every node that runs was asked to execute a command, again and again,
//   - no operator moved leadership, and no configuration was appended, committed or taken back,
//   - no healthy leader executed a command of a backlog from earlier terms that alone fills its bound of pending
//     commands. It refuses new ones until it has executed enough of them (raft.Config.MaxPendingBytes), and each may
//     take its machine half a second. One that executes nothing meanwhile is no exception.
//
// The other nodes may do anything: reach, and hear, any part of the cluster, come and go, hang. A
// member of the majority must have all that was committed before, all the time: a leader that does not
// hear it does not bring it up to date, and keeps it from voting all the same.
//
// Healthy is a process that runs and is neither paused nor slow, whose state machine does not hang and restores no large state, whose disk is not damaged, full, slow or hung
// and is not about to fail, and whose clock is about right. Runs in which no election is sure to end,
// or a follower takes long to catch up, are left out (see demandsProgress).
type attention struct {
	// since is, for each two nodes, since when they are connected, and on the diagonal since when a
	// node is healthy and has all that is committed. Later than now: they are not.
	since [][]Instant
	lives []int   // number of starts and crashes of each node at the last look
	wrote Instant // when a command was committed last
	done  Instant // when a leader executed one last
	probe Instant // when all nodes were asked last
	moved Instant // when an operator moved leadership, or the members changed, last
	// worked is when a leader executed a command of a backlog that filled its bound last.
	worked Instant
}

const never = Instant(1 << 62)

// lookInterval is how often the rule is checked.
const lookInterval = 20 * time.Millisecond

func newAttention(w *world) attention {
	a := attention{lives: make([]int, w.mix.Nodes()+1)}
	for range w.mix.Nodes() + 1 {
		a.since = append(a.since, slices.Repeat([]Instant{never}, w.mix.Nodes()+1))
	}
	return a
}

// demandsProgress tells whether messages arrive surely enough for elections to end in time, and
// followers catch up fast enough for commits.
func (m *Mix) demandsProgress() bool {
	return m.Loss <= 0.05 && (m.SpikeShare == 0 || m.SpikeTo <= 100*time.Millisecond) &&
		m.MaxInflight >= 4 && m.MaxAppendBytes >= 1000 && m.MaxUnapplied == unlimited && m.MaxWitness == unlimited
}

// patience is how long a healthy majority may take for a write: four election timeouts, each drawn
// between one and two of them, by the slowest healthy clock, and some writes and messages.
func (w *world) patience() time.Duration {
	m := &w.mix
	steps := m.Distance + m.Latency + m.DiskWrite + 2*m.Loop + m.SnapshotWrite
	return time.Duration(float64(4*2*m.ElectionTimeout)/slowestHealthyClock) + 10*steps
}

const slowestHealthyClock, fastestHealthyClock = 0.8, 1.25

// look is called again and again until the faults end.
func (w *world) look() {
	if w.healed {
		return
	}
	w.after(lookInterval, w.look)
	a := &w.attention
	for _, n := range w.nodes {
		a.note(w, n)
	}
	quiet := w.now - max(min(max(a.wrote, a.worked), a.done), a.moved)
	if quiet > w.mix.ElectionTimeout && w.now-a.probe > w.mix.ElectionTimeout/4 {
		w.askAll()
	}
	if quiet < w.patience() {
		return
	}
	if q := w.healthySince(w.now - w.patience()); q != nil {
		w.failf("progress during faults", "no command was committed and executed for %v, and %v were healthy and connected: %s", quiet, q, w.describe())
	}
}

// executes notes that a node executes an entry, and whether it leads and has too large a backlog to take commands.
func (a *attention) executes(w *world, n *node, index raft.Index) {
	v := &w.check.views[n.id]
	if n != w.leader() {
		return
	}
	if a.done = w.now; !n.healthy() || index <= v.base {
		return
	}
	own := slices.IndexFunc(v.log, func(e raft.Entry) bool { return e.Term == v.hard.Term })
	begins := v.base + 1 + raft.Index(own) // the log of this term
	if own >= 0 && v.commit >= begins && v.bytes(index, begins-1) > w.mix.MaxPendingBytes {
		a.worked = w.now
	}
}

// healthySince returns a majority of the voters, by all configurations that may be in force, that are
// healthy and connected since a time, nil if there is none.
func (w *world) healthySince(at Instant) []raft.NodeID {
	confs := w.inForce()
	var ids quorum.Majority
	for _, c := range confs {
		ids = quorum.NewMajority(append(ids, c.Voters.IDs()...)...)
	}
	for set := range 1 << len(ids) {
		var members []raft.NodeID
		for i, id := range ids {
			if set>>i&1 == 1 {
				members = append(members, id)
			}
		}
		state := slices.ContainsFunc(members, func(id raft.NodeID) bool { return !w.node(id).witness })
		if state && w.attention.wellSince(members, at) && !slices.ContainsFunc(confs, func(c raft.Configuration) bool { return !isQuorum(c, members) }) {
			return members
		}
	}
	return nil
}

// isQuorum tells whether the votes of some members decide.
func isQuorum(c raft.Configuration, members []raft.NodeID) bool {
	return won(c.Voters, func(id raft.NodeID) bool { return slices.Contains(members, id) })
}

func (a *attention) wellSince(members []raft.NodeID, at Instant) bool {
	for _, x := range members {
		for _, y := range members {
			if x >= y && a.since[x][y] > at {
				return false
			}
		}
	}
	return true
}

// note notes what is so of a node and its links.
func (a *attention) note(w *world, n *node) {
	set := func(b raft.NodeID, ok bool) {
		switch at := &a.since[n.id][b]; {
		case !ok:
			*at = never
		case *at == never:
			*at = w.now
		}
	}
	behind := w.check.views[n.id].last() < w.check.lastCommitted()
	set(n.id, n.healthy() && !behind && a.lives[n.id] == n.lives)
	a.lives[n.id] = n.lives
	for _, other := range w.nodes[:n.id-1] {
		set(other.id, w.net.connected(n.id, other.id) && w.net.connected(other.id, n.id))
	}
}

// healthy tells whether nothing is wrong with a node.
func (n *node) healthy() bool {
	return n.up() && !n.paused && !n.slow && !n.slowDisk && n.hungUntil <= n.w.now && max(n.machineHungUntil, n.restoringUntil) <= n.w.now && !n.disk.full && !n.disk.failNext && !n.disk.failRead && !n.disk.isRotten() &&
		n.clock.rate >= slowestHealthyClock && n.clock.rate <= fastestHealthyClock
}

// askAll asks all nodes that run to execute a command that changes nothing. One of them may lead.
func (w *world) askAll() {
	w.attention.probe = w.now
	c := more(state.More{Kind: state.KindCompact, Internal: true})
	for _, n := range w.nodes {
		n.awake(func() {
			if n.up() {
				n.submitOnly(c, false)
			}
		})
	}
}
