package sim

import (
	"slices"
	"time"

	"balsa.example/raft"
)

// network carries messages between nodes, and calls of clients to them. Each
// direction of each link is open or cut by itself.
type network struct {
	w    *world
	cut  [][]int // by from and to: how many injections cut it
	last [][]Instant
	// clientCut nodes cannot be reached by clients.
	clientCut []int
	sent      uint64
}

func newNetwork(w *world) network {
	n := w.mix.Nodes()
	net := network{w: w, clientCut: make([]int, n+1)}
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

// lastArrival is when all messages will have come that are under way now. Until then a
// delay goes on: what was sent after it, in order, comes after it.
func (t *network) lastArrival() Instant {
	last := t.w.now
	for _, from := range t.last {
		last = max(last, slices.Max(from))
	}
	return last
}

func (t *network) connected(from, to raft.NodeID) bool { return t.cut[from][to] == 0 }

// latency draws how long something is under way.
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
	w.queue.add(at, func() {
		if !t.connected(h.From, h.To) {
			return
		}
		n := w.node(h.To)
		n.awake(func() {
			if n.up() {
				w.trace.message(w.now, h.To, "gets", m)
				n.receive(m)
			}
		})
	})
}

// breakOff is when the sender of a snapshot gives up at the latest.
const breakOff = 6 * time.Second

// sendSnapshot streams a snapshot. The stream breaks if the link is cut meanwhile or
// one of the two dies; then the sender learns of it, and the receiver has stored
// nothing. But if only the answer is lost, the receiver has.
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
			return // it died before it had sent anything
		}
		broken := from.lives != life || w.chance(w.mix.Loss/2)
		w.trace.message(w.now, m.To, "gets", m)
		to.receiveSnapshot(m, data, broken, func(err error) {
			if !t.connected(m.To, m.From) {
				err = errStream
			}
			end(t.latency(), err)
		})
		// The connection to a process that dies, or answers too late, ends too.
		w.after(breakOff-w.upTo(time.Second), func() { end(1, errStream) })
	})
}

// reset breaks the connections to a node, and lets the others hear of it, most of
// them, as a transport does.
func (t *network) reset(id raft.NodeID) {
	w := t.w
	for _, n := range w.nodes {
		if n.id == id || !n.up() || !t.connected(id, n.id) || w.chance(0.2) {
			continue
		}
		w.hearOf(n, id)
	}
}

// part cuts the link of two nodes until a time.
func (t *network) part(a, b raft.NodeID, end Instant) {
	shift := func(by int) {
		t.cut[a][b] += by
		t.cut[b][a] += by
	}
	shift(1)
	t.w.meanwhile(end-t.w.now, func() { shift(-1) })
}

// cutLinks cuts links of a node, or around it.
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
			w.hearOf(w.node(p[1]), p[0])
		}
	}
	return true
}

// pairs are the directions, from and to, in which an injection cuts the links of a node.
func (t *network) pairs(id raft.NodeID, s Injection) (pairs [][2]raft.NodeID) {
	side := func(n raft.NodeID) bool { return s.Split>>n&1 == 1 }
	cuts := func(a, b raft.NodeID) bool {
		switch s.Fault {
		case Partition:
			if s.Split&(1<<40) == 0 { // isolate one
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

// flap cuts and restores again and again.
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
