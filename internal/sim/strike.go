package sim

import (
	"fmt"
	"slices"
	"time"

	"balsa/raft"
)

// Strike is one fault that comes at a time. All of a run's are drawn before it begins,
// so that some can be left out without a change to the others.
type Strike struct {
	At    Instant
	Fault Fault
	For   time.Duration
	// Leader says that it is about whoever leads then, else about Node. Peer and Split
	// are drawn for those that need more.
	Leader bool
	Node   raft.NodeID
	Peer   raft.NodeID
	Split  uint64
}

func (s Strike) String() string {
	who := s.Node.String()
	if s.Leader {
		who = "the leader"
	}
	return fmt.Sprintf("%s of %s for %v (peer %s, split %b)", s.Fault, who, s.For, s.Peer, s.Split)
}

// drawStrikes draws when faults strike: each kind at least once, if there is time.
func (w *world) drawStrikes() {
	var kinds []Fault
	for _, f := range w.mix.Faults {
		if f.strikes() {
			kinds = append(kinds, f)
		}
	}
	if len(kinds) == 0 {
		return
	}
	someone := func() raft.NodeID { return raft.NodeID(1 + w.rand.IntN(w.mix.Nodes())) }
	at := Instant(time.Second)
	for i := 0; ; i++ {
		at += w.upTo(2 * w.mix.Calm)
		if at >= w.opt.Duration {
			return
		}
		kind := kinds[w.rand.IntN(len(kinds))]
		if i < len(kinds) {
			kind = kinds[i]
		}
		w.strikes = append(w.strikes, Strike{
			At: at, Fault: kind, For: milliseconds(10) + w.upTo(pick(w.rand, 100*time.Millisecond, time.Second, 6*time.Second)),
			Leader: w.chance(0.4), Node: someone(), Peer: someone(), Split: w.rand.Uint64(),
		})
	}
}

func (w *world) scheduleStrikes() {
	for i, s := range w.strikes {
		if w.opt.Strikes(i) && !slices.Contains(w.opt.Without, s.Fault) {
			w.after(s.At, func() { w.strike(i, s) })
		}
	}
}

// strike does it, and arranges for its end.
func (w *world) strike(number int, s Strike) {
	n := w.node(s.Node)
	if s.Leader {
		if l := w.leader(); l != nil {
			n = l
		}
	}
	w.trace.text(w.now, n.id, "strike", "%d: %s", number, s)
	until := func(end func()) {
		w.after(s.For, func() {
			if !w.healed {
				end()
			}
		})
	}
	switch s.Fault {
	case Partition, OneWay, Bridge, Link, Flap:
		w.net.strike(n.id, s, until)
	case Kill, PowerLoss:
		if !n.up() {
			return
		}
		n.crash(s.Fault == PowerLoss)
		n.after0(s.For, n.start)
	case Blackout:
		for _, n := range w.nodes {
			n.crash(true)
			n.after0(s.For+w.upTo(time.Second), n.start)
		}
	case InstallCrash:
		// It is away for a while, so that it needs one.
		n.crashAtInstall = true
		s.Fault, s.Split = Partition, 0
		w.net.strike(n.id, s, until)
		return // counted when it comes
	case Reset:
		w.net.reset(n.id)
		if s.Split%2 == 0 && n.up() {
			n.call(func(r *replica) { r.Unreachable(s.Peer) })
		}
	case IOError:
		n.disk.failNext = true
		return
	case DiskFull:
		n.disk.setFull(true)
		until(func() { n.disk.setFull(false) })
		return
	case Corrupt:
		if !w.corrupt(n) {
			return
		}
	case Pause:
		if !n.up() || n.paused {
			return
		}
		n.pause()
		n.after0(s.For, n.resume)
	case Clock:
		n.clock.setRate(w.now, w.mix.drawRate(s.Split))
	case SlowDisk:
		n.slowDisk = true
		until(func() { n.slowDisk = false })
	case SlowNode:
		n.slow = true
		until(func() { n.slow = false })
	case Transfer:
		if !w.transfer(n, s) {
			return
		}
	}
	w.injected(s.Fault)
}

// leader is the one of the highest term.
func (w *world) leader() (leader *node) {
	for _, n := range w.nodes {
		if n.up() && w.check.views[n.id].role == raft.Leader && (leader == nil || w.check.views[n.id].hard.Term > w.check.views[leader.id].hard.Term) {
			leader = n
		}
	}
	return leader
}

func (w *world) transfer(n *node, s Strike) bool {
	if !n.up() || n.paused {
		return false
	}
	to := s.Peer
	if s.Split%3 == 0 {
		to = raft.None
	}
	n.call(func(r *replica) { _ = r.TransferLeadership(to) })
	return true
}

// corrupt damages the disk of a node that is down then, if the others can do without.
func (w *world) corrupt(n *node) bool {
	gone := 0
	for _, n := range w.nodes[:w.mix.Voters] {
		if n.fatal || n.disk.damage != none {
			gone++
		}
	}
	if n.fatal || n.disk.damage != none || int(n.id) <= w.mix.Voters && gone+1 > (w.mix.Voters-1)/2 {
		return false
	}
	n.crash(false)
	n.disk.rot()
	n.after0(w.upTo(time.Second), n.start)
	return true
}

func (n *node) crashAndRestart(powerLoss bool) {
	n.crash(powerLoss)
	n.after0(n.w.upTo(time.Second), n.start)
}

// strike cuts links.
func (t *network) strike(id raft.NodeID, s Strike, until func(func())) {
	var pairs [][2]raft.NodeID
	add := func(from, to raft.NodeID) {
		if from != to {
			pairs = append(pairs, [2]raft.NodeID{from, to})
		}
	}
	side := func(n raft.NodeID) bool { return s.Split>>n&1 == 1 }
	all := len(t.cut) - 1
	for a := raft.NodeID(1); int(a) <= all; a++ {
		for b := raft.NodeID(1); int(b) <= all; b++ {
			switch {
			case s.Fault == Partition && s.Split&(1<<40) == 0: // isolate one
				if a == id || b == id {
					add(a, b)
				}
			case s.Fault == Partition && side(a) != side(b),
				s.Fault == Bridge && side(a) != side(b) && a != id && b != id,
				s.Fault == OneWay && s.Split&1 == 0 && a == id,
				s.Fault == OneWay && s.Split&1 == 1 && b == id,
				(s.Fault == Link || s.Fault == Flap) && (a == id && b == s.Peer || a == s.Peer && b == id):
				add(a, b)
			}
		}
	}
	shift := func(by int) {
		for _, p := range pairs {
			t.cut[p[0]][p[1]] += by
		}
		if s.Split&(3<<41) == 0 {
			t.clientCut[id] += by
		}
	}
	if s.Fault == Flap {
		t.flap(shift, t.w.now+s.For)
		return
	}
	shift(1)
	until(func() { shift(-1) })
	if s.Split&(1<<43) == 0 { // by a firewall that resets connections
		for _, p := range pairs {
			if n := t.w.node(p[1]); n.up() {
				n.after(t.latency(), func() { n.call(func(r *replica) { r.Unreachable(p[0]) }) })
			}
		}
	}
}

// flap cuts and restores again and again.
func (t *network) flap(shift func(int), end Instant) {
	w := t.w
	if w.healed || w.now >= end {
		return
	}
	shift(1)
	w.after(w.upTo(200*time.Millisecond), func() {
		if w.healed {
			return
		}
		shift(-1)
		w.after(w.upTo(200*time.Millisecond), func() { t.flap(shift, end) })
	})
}

// Strikes tells whether the strike of this number is to come.
func (o *Options) Strikes(number int) bool {
	return o.Keep == nil || slices.Contains(o.Keep, number)
}
