package raft

import "time"

// network carries messages between the nodes of a cluster: each by itself, so that
// they overtake each other. Links are one-way.
type network struct {
	c        *cluster
	cut      map[link]bool
	requests int // messages that count as RPCs, see MessageKind.IsRequest
	bytes    int
	// lost and slow are further faults of single messages, as a scenario wants them.
	lose  func(Message) bool
	delay func(Message) time.Duration
}

type link struct{ from, to NodeID }

func newNetwork(c *cluster) network { return network{c: c, cut: map[link]bool{}} }

// setLink opens or cuts the link from one node to another.
func (n *network) setLink(from, to NodeID, open bool) { n.cut[link{from, to}] = !open }

// isolate cuts or opens every link of a node, in both directions.
func (n *network) isolate(id NodeID, cut bool) {
	for _, other := range n.c.nodes {
		if other.id != id {
			n.setLink(id, other.id, !cut)
			n.setLink(other.id, id, !cut)
		}
	}
}

// partition leaves only links between nodes of the same group.
func (n *network) partition(groups ...[]NodeID) {
	side := map[NodeID]int{}
	for k, group := range groups {
		for _, id := range group {
			side[id] = k + 1
		}
	}
	for _, a := range n.c.nodes {
		for _, b := range n.c.nodes {
			n.setLink(a.id, b.id, side[a.id] == side[b.id])
		}
	}
}

func (n *network) heal() { clear(n.cut) }

// messageBytes is about what a message takes on the wire.
func messageBytes(m Message) int {
	size := 40
	if a, ok := m.(*AppendEntries); ok {
		for _, e := range a.Entries {
			size += e.Size()
		}
	}
	return size
}

// send puts m on its way, if it is not lost at once.
func (c *cluster) send(m Message) {
	c.net.bytes += messageBytes(m)
	if m.Kind().IsRequest() {
		c.net.requests++
	}
	if c.chance(c.opt.faults.loss) || c.net.lose != nil && c.net.lose(m) {
		c.tracef("  lost: %s", m)
		return
	}
	c.deliverLater(m)
	if c.chance(c.opt.faults.duplicate) {
		c.deliverLater(m)
	}
}

func (c *cluster) deliverLater(m Message) {
	delay := c.upTo(c.opt.faults.delay)
	if c.chance(c.opt.faults.slowShare) {
		delay = c.upTo(c.opt.faults.slow)
	}
	if c.net.delay != nil {
		delay += c.net.delay(m)
	}
	c.after(delay, func() { c.deliver(m) })
}

func (c *cluster) deliver(m Message) {
	h := m.Head()
	n := c.node(h.To)
	if n.raft == nil || c.net.cut[link{h.From, h.To}] {
		return
	}
	c.tracef("%s", m)
	c.step(n, m)
}

func (c *cluster) step(n *node, m Message) {
	n.raft.Clock(c.clock(n))
	if err := n.raft.Step(m); err != nil {
		c.failf("%s refuses %s: %v", n.id, m, err)
	}
	c.stepped(n)
}

// snapshotTimeout is when a sender gives up.
const snapshotTimeout = 2 * time.Second

// sendSnapshot sends a node's newest snapshot: the data is stored at the receiver
// before the message about it is stepped there, and a crash may come in between.
func (c *cluster) sendSnapshot(from *node, h Header) {
	m := &InstallSnapshot{Header: h, Meta: from.disk.snapshot}
	if position, ok := from.raft.WitnessPosition(h.To); ok {
		m.Meta = position
	}
	c.net.requests++
	c.net.bytes += 1000
	to, life, sender := c.node(h.To), c.node(h.To).life, from.life
	result := func(d time.Duration, ok bool) {
		c.after(d, func() {
			if from.life == sender {
				from.raft.SnapshotSent(to.id, m.Meta.Index, ok)
				c.stepped(from)
			}
		})
	}
	open := func() bool {
		lost := c.net.lose != nil && c.net.lose(m)
		return to.raft != nil && !lost && !c.net.cut[link{from.id, to.id}] && !c.chance(c.opt.faults.loss)
	}
	// next goes on after a while, unless the receiver or its line is gone.
	next := func(d time.Duration, ok func() bool, run func()) {
		c.after(d, func() {
			if to.life == life && ok() {
				run()
			} else {
				result(c.upTo(snapshotTimeout), false)
			}
		})
	}
	up := func() bool { return to.raft != nil }
	next(4*c.upTo(c.opt.faults.delay), open, func() {
		next(c.upTo(c.opt.faults.write), up, func() {
			to.disk.saveSnapshot(m.Meta)
			if c.chance(c.opt.faults.crashStored) {
				c.crash(to.id)
				c.start(to.id)
			}
			next(c.upTo(c.opt.faults.busy), up, func() {
				c.deliverSnapshot(to, m)
				result(c.upTo(c.opt.faults.delay), !c.chance(c.opt.faults.loss))
			})
		})
	})
}

func (c *cluster) deliverSnapshot(n *node, m *InstallSnapshot) {
	c.tracef("%s", m)
	c.step(n, m)
}
