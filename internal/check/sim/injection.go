package sim

import (
	"fmt"
	"slices"
	"time"

	"balsa.example/raft"
)

// Injection is one fault that is injected at one time. All of a run are drawn before it
// begins, so that some can be left out without a change to the others.
type Injection struct {
	At    Instant
	Fault Fault
	For   time.Duration
	// Leader says that the fault is of the node that leads at that time, else it is of Node.
	// Some faults use Peer and Split, too.
	Leader bool
	Node   raft.NodeID
	Peer   raft.NodeID
	Split  uint64
}

func (s Injection) String() string {
	node := s.Node.String()
	if s.Leader {
		node = "the leader"
	}
	return fmt.Sprintf("%s of %s for %v (peer %s, split %b)", s.Fault, node, s.For, s.Peer, s.Split)
}

// drawInjections draws when faults are injected: each kind at least once, if there is time.
func (w *world) drawInjections() {
	var kinds []Fault
	for _, f := range w.mix.Faults {
		if f.scheduled() {
			kinds = append(kinds, f)
		}
	}
	if len(kinds) == 0 {
		return
	}
	someone := func() raft.NodeID { return raft.NodeID(1 + w.rand.IntN(w.mix.Nodes())) }
	at := Instant(time.Second)
	for i := 0; ; i++ {
		at += w.upTo(2 * w.mix.InjectionInterval)
		if at >= w.opt.Duration {
			return
		}
		kind := kinds[w.rand.IntN(len(kinds))]
		if i < len(kinds) {
			kind = kinds[i]
		}
		if w.mix.has(Members) && w.chance(0.3) {
			kind = Members
		}
		w.injections = append(w.injections, Injection{
			At: at, Fault: kind, For: milliseconds(10) + w.upTo(pick(w.rand, 100*time.Millisecond, time.Second, 6*time.Second)),
			Leader: w.chance(0.4), Node: someone(), Peer: someone(), Split: w.rand.Uint64(),
		})
	}
}

func (w *world) scheduleInjections() {
	for i, s := range w.injections {
		if w.opt.Injects(i) && !slices.Contains(w.opt.Without, s.Fault) {
			w.after(s.At, func() { w.inject(i, s) })
		}
	}
}

// Injects tells whether the injection with this number is left in.
func (o *Options) Injects(number int) bool {
	return o.Keep == nil || slices.Contains(o.Keep, number)
}

// injectors have the function of each kind of fault, which injects it and schedules its end.
// A function returns true if the fault has happened; others happen, and are counted, later.
var injectors = [numFaults]func(*world, *node, Injection) bool{
	Partition:     (*world).cutLinks,
	OneWay:        (*world).cutLinks,
	Bridge:        (*world).cutLinks,
	Link:          (*world).cutLinks,
	Flap:          (*world).cutLinks,
	LoseFollowers: (*world).loseFollowers,
	Kill:          (*world).kill,
	PowerLoss:     (*world).kill,
	Blackout:      (*world).blackout,
	InstallCrash:  (*world).crashAtInstall,
	Reset:         (*world).breakConnections,
	IOError:       (*world).failDisk,
	DiskFull:      (*world).fillDisk,
	Corrupt:       (*world).corrupt,
	Pause:         (*world).pause,
	Clock:         (*world).changeClock,
	SlowDisk:      (*world).slowDisk,
	SlowNode:      (*world).slowNode,
	Transfer:      (*world).transfer,
	HungDisk:      (*world).hangDisk,
	Rot:           (*world).rotState,
	Minority:      (*world).minority,
	Members:       (*world).changeMembers,
	Emptied:       (*world).emptyDirectory,
	HungMachine:   (*world).hangMachine,
}

func (w *world) inject(number int, s Injection) {
	if w.now < w.undisturbed {
		return
	}
	n := w.node(s.Node)
	if s.Leader {
		if l := w.leader(); l != nil {
			n = l
		}
	}
	w.trace.text(w.now, n.id, "inject", "%d: %s", number, s)
	if injectors[s.Fault](w, n, s) {
		w.injected(s.Fault)
	}
}

// meanwhile calls f after d, unless all faults have ended before.
func (w *world) meanwhile(d time.Duration, f func()) {
	w.after(d, func() {
		if !w.healed {
			f()
		}
	})
}

// leader returns the leader of the highest term, nil if there is none.
func (w *world) leader() (leader *node) {
	for _, n := range w.nodes {
		if n.up() && w.check.views[n.id].role == raft.Leader && (leader == nil || w.check.views[n.id].hard.Term > w.check.views[leader.id].hard.Term) {
			leader = n
		}
	}
	return leader
}

func (w *world) kill(n *node, s Injection) bool {
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

// crashLoop crashes a node and restarts it. Soon after each restart it crashes again, as
// many times as again says.
func (w *world) crashLoop(n *node, down time.Duration, powerLoss bool, again int) {
	n.crash(powerLoss)
	n.afterAlways(down, func() {
		n.start()
		if again > 0 {
			w.meanwhile(w.upTo(milliseconds(400)), func() { w.crashLoop(n, w.upTo(milliseconds(50)), powerLoss, again-1) })
		}
	})
}

func (w *world) blackout(_ *node, s Injection) bool {
	for _, n := range w.nodes {
		n.crash(true)
		n.afterAlways(s.For+w.upTo(time.Second), n.start)
	}
	return true
}

// crashAtInstall lets n crash when it gets its next snapshot. Before, n is cut off for a
// while, so that it needs one.
func (w *world) crashAtInstall(n *node, s Injection) bool {
	n.crashAtInstall = true
	s.Fault, s.Split = Partition, 0
	w.cutLinks(n, s)
	return false
}

func (n *node) crashAndRestart(powerLoss bool) {
	n.crash(powerLoss)
	n.afterAlways(n.w.upTo(time.Second), n.start)
}

func (w *world) breakConnections(n *node, s Injection) bool {
	w.net.reset(n.id)
	if s.Split%2 == 0 && n.up() {
		n.unreachable(s.Peer)
	}
	return true
}

// failDisk lets the next write fail, and the next read; the next read of another node as well.
func (w *world) failDisk(n *node, s Injection) bool {
	n.disk.failNext, n.disk.failRead = true, true
	w.node(s.Peer).disk.failRead = true
	return false
}

func (w *world) fillDisk(n *node, s Injection) bool {
	n.disk.setFull(true)
	w.meanwhile(s.For, func() { n.disk.setFull(false) })
	return false
}

func (w *world) pause(n *node, s Injection) bool {
	if !n.up() || n.paused {
		return false
	}
	n.pause()
	w.readBy(n, raft.ReadByLease) // the first request that it serves when it goes on
	n.afterAlways(s.For, n.resume)
	return true
}

func (w *world) changeClock(n *node, s Injection) bool {
	n.clock.setRate(w.now, w.mix.drawRate(s.Split))
	return true
}

func (w *world) slowDisk(n *node, s Injection) bool {
	n.slowDisk = true
	w.meanwhile(s.For, func() { n.slowDisk = false })
	return true
}

func (w *world) hangDisk(n *node, s Injection) bool {
	n.hungUntil = w.now + 2*s.For
	if w.chance(0.3) { // what others have committed meanwhile is executed, and not in the own log
		w.meanwhile(2*s.For-1, func() {
			if n.hungUntil > w.now {
				n.crashAndRestart(w.chance(0.5))
			}
		})
	}
	return true
}

// hangMachine lets a state machine hang, half of the time for longer than its leader may stay.
func (w *world) hangMachine(n *node, s Injection) bool {
	n.machineHungUntil = w.now + s.For
	if s.Split&1 == 0 {
		n.machineHungUntil += w.patience()
	}
	return true
}

func (w *world) slowNode(n *node, s Injection) bool {
	n.slow = true
	w.meanwhile(s.For, func() { n.slow = false })
	return true
}

func (w *world) transfer(n *node, s Injection) bool {
	if !n.up() || n.paused {
		return false
	}
	to := s.Peer
	if s.Split%3 == 0 {
		to = raft.None
	}
	w.attention.moved = w.now
	n.call(func(r *replica) { _ = r.TransferLeadership(to) })
	if s.Split&(7<<20) == 0 { // an operator asks again and again
		if s.For -= milliseconds(200); s.For > 0 {
			w.meanwhile(milliseconds(200), func() { w.transfer(n, s) })
		}
	}
	return true
}

// corrupt damages the disk of a node, if the other nodes can do without it. Before, it
// checks that damaged copies of the disk are detected.
func (w *world) corrupt(n *node, _ Injection) bool {
	n.disk.rotCopies(40)
	if !w.mayDamage(n) {
		return false
	}
	n.crash(false)
	n.disk.rot()
	n.afterAlways(w.upTo(time.Second), n.start)
	return true
}

// mayDamage tells whether the disk of a node is whole, and the other voters with whole disks are a
// majority.
func (w *world) mayDamage(n *node) bool {
	return !n.fatal && !n.disk.damaged() && !slices.ContainsFunc(w.inForce(), func(c raft.Configuration) bool { return !survives(w, c, n) })
}

// rotState damages some of the files of a machine that goes on, or is restarted on them, again and
// again. It waits until there are any.
func (w *world) rotState(n *node, s Injection) bool {
	rotten := false
	if w.mayDamage(n) {
		for range 1 + s.Split%3 {
			rotten = n.disk.rotFile() || rotten
		}
	}
	w.meanwhile(milliseconds(500), func() { w.rotState(n, s) })
	if !rotten {
		return false
	}
	w.injected(Rot)
	if s.Split>>2%4 == 0 && n.up() {
		n.crashAndRestart(false)
	}
	return false
}

// loseFollowers cuts a leader off from its followers, so that they elect another one as soon
// as they can:
//
//  1. Clients cannot reach the leader, so that all logs become equal and each follower can
//     win an election.
//  2. So many followers are cut off that the leader still has a majority.
//  3. When those campaign, the others are cut off too, or restarted, so that they forget
//     the leader. Where settings differ they get the shortest timeouts and leases then, while
//     a longer lease that they have just granted goes on.
//
// The leader's lease must be over when they vote.
func (w *world) loseFollowers(_ *node, s Injection) bool {
	l := w.leader()
	if l == nil {
		return false
	}
	var followers []*node
	voters := w.voters()
	for _, i := range w.rand.Perm(len(voters)) {
		if n := voters[i]; n != l {
			followers = append(followers, n)
		}
	}
	first, rest := followers[:len(followers)/2], followers[len(followers)/2:]
	if s.Split%2 == 0 { // the worst clocks that are allowed
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
				n.hasty = true
				w.crashLoop(n, w.upTo(milliseconds(30)), false, 0)
			}
		}
	})
	return true
}
