package sim

import (
	"fmt"
	"slices"
	"time"

	"balsa.example/raft"
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

// Strikes tells whether the strike of this number is to come.
func (o *Options) Strikes(number int) bool {
	return o.Keep == nil || slices.Contains(o.Keep, number)
}

// strikes is what each kind does to a node, and arranges for its end. Each tells whether
// the fault has come; some come later, and count then.
var strikes = [numFaults]func(*world, *node, Strike) bool{
	Partition:    (*world).cutLinks,
	OneWay:       (*world).cutLinks,
	Bridge:       (*world).cutLinks,
	Link:         (*world).cutLinks,
	Flap:         (*world).cutLinks,
	Desertion:    (*world).desert,
	Kill:         (*world).kill,
	PowerLoss:    (*world).kill,
	Blackout:     (*world).blackout,
	InstallCrash: (*world).crashAtInstall,
	Reset:        (*world).breakConnections,
	IOError:      func(_ *world, n *node, _ Strike) bool { n.disk.failNext = true; return false },
	DiskFull:     (*world).fillDisk,
	Corrupt:      (*world).corrupt,
	Pause:        (*world).pause,
	Clock:        (*world).changeClock,
	SlowDisk:     (*world).slowDisk,
	SlowNode:     (*world).slowNode,
	Transfer:     (*world).transfer,
	HungDisk:     (*world).hangDisk,
}

func (w *world) strike(number int, s Strike) {
	n := w.node(s.Node)
	if s.Leader {
		if l := w.leader(); l != nil {
			n = l
		}
	}
	w.trace.text(w.now, n.id, "strike", "%d: %s", number, s)
	if strikes[s.Fault](w, n, s) {
		w.injected(s.Fault)
	}
}

// meanwhile does f after d, unless all has been healed by then.
func (w *world) meanwhile(d time.Duration, f func()) {
	w.after(d, func() {
		if !w.healed {
			f()
		}
	})
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

func (w *world) kill(n *node, s Strike) bool {
	if !n.up() {
		return false
	}
	again := 0
	if s.Split%4 == 0 {
		again = 1 + int(s.Split>>2%4)
	}
	w.crashLoop(n, s.For, s.Fault == PowerLoss, again)
	return true
}

// crashLoop is a process that dies again and again, soon after it was started.
func (w *world) crashLoop(n *node, down time.Duration, powerLoss bool, again int) {
	n.crash(powerLoss)
	n.after0(down, func() {
		n.start()
		if again > 0 {
			w.meanwhile(w.upTo(milliseconds(400)), func() { w.crashLoop(n, w.upTo(milliseconds(50)), powerLoss, again-1) })
		}
	})
}

func (w *world) blackout(_ *node, s Strike) bool {
	for _, n := range w.nodes {
		n.crash(true)
		n.after0(s.For+w.upTo(time.Second), n.start)
	}
	return true
}

// crashAtInstall lets n crash when it gets its next snapshot, and be away for a while
// before, so that it needs one.
func (w *world) crashAtInstall(n *node, s Strike) bool {
	n.crashAtInstall = true
	s.Fault, s.Split = Partition, 0
	w.cutLinks(n, s)
	return false
}

func (n *node) crashAndRestart(powerLoss bool) {
	n.crash(powerLoss)
	n.after0(n.w.upTo(time.Second), n.start)
}

func (w *world) breakConnections(n *node, s Strike) bool {
	w.net.reset(n.id)
	if s.Split%2 == 0 && n.up() {
		n.unreachable(s.Peer)
	}
	return true
}

func (w *world) fillDisk(n *node, s Strike) bool {
	n.disk.setFull(true)
	w.meanwhile(s.For, func() { n.disk.setFull(false) })
	return false
}

func (w *world) pause(n *node, s Strike) bool {
	if !n.up() || n.paused {
		return false
	}
	n.pause()
	w.readBy(n, raft.ReadByLease) // the first to be served when it goes on
	n.after0(s.For, n.resume)
	return true
}

func (w *world) changeClock(n *node, s Strike) bool {
	n.clock.setRate(w.now, w.mix.drawRate(s.Split))
	return true
}

func (w *world) slowDisk(n *node, s Strike) bool {
	n.slowDisk = true
	w.meanwhile(s.For, func() { n.slowDisk = false })
	return true
}

func (w *world) hangDisk(n *node, s Strike) bool {
	n.hungUntil = w.now + 2*s.For
	return true
}

func (w *world) slowNode(n *node, s Strike) bool {
	n.slow = true
	w.meanwhile(s.For, func() { n.slow = false })
	return true
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
	if s.Split&(7<<20) == 0 { // somebody asks again and again
		if s.For -= milliseconds(200); s.For > 0 {
			w.meanwhile(milliseconds(200), func() { w.transfer(n, s) })
		}
	}
	return true
}

// corrupt damages the disk of a node that is down then, if the others can do without.
// Before that it looks what copies of the disk would come to.
func (w *world) corrupt(n *node, _ Strike) bool {
	n.disk.rotCopies(40)
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

// desert lets the followers of a leader leave it one after the other, and elect
// another as soon as they can. First no clients reach it, so that all logs are equal and
// anybody may be elected. Then just so many followers lose it that it keeps its majority.
// When those call for an election, the others lose it too, perhaps by a restart that
// makes them forget it. Its lease must be over by the time that they vote.
func (w *world) desert(_ *node, s Strike) bool {
	l := w.leader()
	if l == nil {
		return false
	}
	var followers []*node
	for _, i := range w.rand.Perm(w.mix.Voters) {
		if n := w.nodes[i]; n != l {
			followers = append(followers, n)
		}
	}
	first, rest := followers[:w.mix.Voters/2], followers[w.mix.Voters/2:]
	if s.Split%2 == 0 { // the worst that is allowed
		lowest, highest := w.mix.rates()
		l.clock.setRate(w.now, lowest)
		for _, n := range followers {
			n.clock.setRate(w.now, highest)
		}
	}
	end := w.now + milliseconds(200) + 4*w.mix.ElectionTimeout
	w.net.clientCut[l.id]++
	w.meanwhile(end-w.now, func() { w.net.clientCut[l.id]-- })
	w.meanwhile(milliseconds(100), func() {
		for _, n := range first {
			w.net.part(l.id, n.id, end)
		}
	})
	w.meanwhile(milliseconds(100)+w.mix.ElectionTimeout+w.upTo(w.mix.ElectionTimeout), func() {
		for _, n := range rest {
			w.net.part(l.id, n.id, end)
			if s.Split&4 == 0 && n.up() {
				w.crashLoop(n, w.upTo(milliseconds(30)), false, 0)
			}
		}
	})
	return true
}
