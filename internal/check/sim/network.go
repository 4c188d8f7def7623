package sim

import (
	"slices"
	"time"

	"balsa.example/raft"
)

// network carries messages between nodes, and requests of clients. Each direction of each
// link is open or cut separately.
type network struct {
	w    *world
	cut  [][]int // by from and to: how many injections cut it
	last [][]Instant
	// Clients cannot reach a node whose clientCut is above 0.
	clientCut []int
	// incoming are called when a node crashes: they end the streams that it receives.
	incoming map[raft.NodeID][]func()
	sent     uint64
}

func newNetwork(w *world) network {
	n := w.mix.Nodes()
	net := network{w: w, clientCut: make([]int, n+1), incoming: map[raft.NodeID][]func(){}}
	for range n + 1 {
		net.cut = append(net.cut, make([]int, n+1))
		net.last = append(net.last, make([]Instant, n+1))
	}
	return net
}

func (t *network) healAll() {
	for from := range t.cut {
		clear(t.cut[from])
	}
	clear(t.clientCut)
}

// lastArrival returns when all messages that are under way now will have arrived. Until then
// a spike delays later messages too, where links keep the order.
func (t *network) lastArrival() Instant {
	last := t.w.now
	for _, from := range t.last {
		last = max(last, slices.Max(from))
	}
	return last
}

func (t *network) connected(from, to raft.NodeID) bool { return t.cut[from][to] == 0 }

// latency draws how long a message takes.
func (t *network) latency() time.Duration {
	m := &t.w.mix
	d := m.Distance + 1 + t.w.upTo(m.Latency)
	if t.w.chance(m.SpikeShare) {
		t.w.injected(Delay)
		d += t.w.upTo(m.SpikeTo)
	}
	return d
}

func (t *network) send(m raft.Message) {
	w, h := t.w, m.Head()
	t.sent++
	copies := 1
	if w.chance(w.mix.Duplicate) {
		w.injected(Duplicate)
		copies = 2
	}
	for range copies {
		switch {
		case !t.connected(h.From, h.To):
		case w.chance(w.mix.Loss):
			w.injected(Loss)
		default:
			t.deliverLater(m)
		}
	}
}

func (t *network) deliverLater(m raft.Message) {
	w, h := t.w, m.Head()
	at := w.now + t.latency()
	if last := &t.last[h.From][h.To]; w.mix.Ordered {
		at = max(at, *last)
		*last = at
	} else if at < *last {
		w.injected(Reorder)
	} else {
		*last = at
	}
	w.queue.add(at, event{message: m})
}

// arrives is the end of the way of a message, unless the link was cut meanwhile.
func (t *network) arrives(m raft.Message) {
	if h := m.Head(); t.connected(h.From, h.To) {
		t.w.node(h.To).arrives(m)
	}
}

// arrives hands a message to the process, when a pause is over.
func (n *node) arrives(m raft.Message) {
	switch {
	case n.paused:
		n.stalled = append(n.stalled, func() { n.arrives(m) })
	case n.up():
		n.w.trace.message(n.w.now, n.id, "gets", m)
		n.receive(m)
	}
}

// breakOff is the longest time that the sender of a snapshot waits for an answer.
const breakOff = 6 * time.Second

// sendSnapshot streams a snapshot. The stream breaks if the link is cut or one of the nodes
// crashes. Then the sender gets an error, and the receiver has not stored the snapshot. If
// only the answer is lost, the receiver has stored it.
func (t *network) sendSnapshot(from *node, m *raft.InstallSnapshot, data []byte, done func(error)) {
	w, to, life := t.w, t.w.node(m.To), from.lives
	over := false
	end := func(delay time.Duration, err error) {
		if !over && from.lives == life {
			over = true
			from.after(delay, func() { done(err) })
		}
	}
	w.after(t.latency()+w.upTo(w.mix.SnapshotWrite), func() {
		switch {
		case !to.up() || to.paused || !t.connected(m.From, m.To):
			end(milliseconds(10)+w.upTo(time.Second), errStream)
			return
		case from.lives != life && w.chance(0.5):
			return // the sender crashed before it had sent anything
		}
		broken := from.lives != life || w.chance(w.mix.Loss/2) || m.Stream != 0 && !w.healed && w.chance(0.6)
		w.trace.message(w.now, m.To, "gets", m)
		m := *m
		if m.Stream != 0 {
			m.Offset = uint64(to.machine.StateOffset(m.Meta, m.Stream))
		}
		if m.Offset > uint64(len(data)) {
			w.failf("stream", "%s wants stream %x from %d, which has %d bytes", m.To, m.Stream, m.Offset, len(data))
		}
		to.receiveSnapshot(&m, data[m.Offset:], broken, func(err error) {
			if !t.connected(m.To, m.From) {
				err = errStream
			}
			end(t.latency(), err)
		})
		// The connection also ends if the receiver crashes, which the sender notices within an
		// election timeout, or answers too late.
		t.incoming[m.To] = append(t.incoming[m.To], func() { end(w.mix.ElectionTimeout, errStream) })
		w.after(breakOff-w.upTo(time.Second), func() { end(1, errStream) })
	})
}

// crashed ends the streams to a node.
func (t *network) crashed(id raft.NodeID) {
	for _, end := range t.incoming[id] {
		end()
	}
	delete(t.incoming, id)
}

// reset breaks the connections to a node. Most of the other nodes are told, as a transport
// does.
func (t *network) reset(id raft.NodeID) {
	w := t.w
	for _, n := range w.nodes {
		if n.id == id || !n.up() || !t.connected(id, n.id) || w.chance(0.2) {
			continue
		}
		w.connectionBroke(n, id)
	}
}

// part cuts the link between two nodes until a time.
func (t *network) part(a, b raft.NodeID, end Instant) {
	shift := func(by int) {
		t.cut[a][b] += by
		t.cut[b][a] += by
	}
	shift(1)
	t.w.meanwhile(end-t.w.now, func() { shift(-1) })
}

// cutLinks injects the faults that cut links of a node, or between other nodes.
func (w *world) cutLinks(n *node, s Injection) bool {
	t, pairs := &w.net, w.net.pairs(n.id, s)
	shift := func(by int) {
		for _, p := range pairs {
			t.cut[p[0]][p[1]] += by
		}
		if s.Split&(3<<41) == 0 {
			t.clientCut[n.id] += by
		}
	}
	if s.Fault == Flap {
		t.flap(shift, w.now+s.For)
		return true
	}
	shift(1)
	w.meanwhile(s.For, func() { shift(-1) })
	if s.Split&(1<<43) == 0 { // by a firewall that resets connections
		for _, p := range pairs {
			w.connectionBroke(w.node(p[1]), p[0])
		}
	}
	return true
}

// pairs returns the directions, from and to, that an injection at a node cuts.
func (t *network) pairs(id raft.NodeID, s Injection) (pairs [][2]raft.NodeID) {
	side := func(n raft.NodeID) bool { return s.Split>>n&1 == 1 }
	cuts := func(a, b raft.NodeID) bool {
		switch s.Fault {
		case Partition:
			if s.Split&(1<<40) == 0 { // isolate the node
				return a == id || b == id
			}
			return side(a) != side(b)
		case Bridge:
			return side(a) != side(b) && a != id && b != id
		case OneWay:
			return s.Split&1 == 0 && a == id || s.Split&1 == 1 && b == id
		default: // Link, Flap
			return a == id && b == s.Peer || a == s.Peer && b == id
		}
	}
	all := raft.NodeID(len(t.cut) - 1)
	for a := raft.NodeID(1); a <= all; a++ {
		for b := raft.NodeID(1); b <= all; b++ {
			if a != b && cuts(a, b) {
				pairs = append(pairs, [2]raft.NodeID{a, b})
			}
		}
	}
	return pairs
}

// flap cuts and restores links again and again until end.
func (t *network) flap(shift func(int), end Instant) {
	w := t.w
	if w.now >= end {
		return
	}
	shift(1)
	w.meanwhile(w.upTo(200*time.Millisecond), func() {
		shift(-1)
		w.meanwhile(w.upTo(200*time.Millisecond), func() { t.flap(shift, end) })
	})
}
