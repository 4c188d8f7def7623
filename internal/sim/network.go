package sim

import (
	"time"

	"balsa/raft"
)

// network carries messages between nodes, and calls of clients to them. Each
// direction of each link is open or cut by itself.
type network struct {
	w    *world
	cut  [][]int // by from and to: how many strikes cut it
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

func (t *network) connected(from, to raft.NodeID) bool { return t.cut[from][to] == 0 }

// latency draws how long something is under way.
func (t *network) latency() time.Duration {
	m := &t.w.mix
	d := 1 + t.w.upTo(m.Latency)
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
		w.after(5*time.Second+w.upTo(time.Second), func() { end(1, errStream) })
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
		n.after(t.latency(), func() { n.call(func(r *replica) { r.Unreachable(id) }) })
	}
}
