package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"balsa.example/internal/roster"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/wal"
)

// node is the simulated shell of one replica. It does what rsm.Node does in a real process,
// step by step, with events in place of goroutines. A process that is paused does nothing;
// one that is down has no replica.
type node struct {
	w  *world
	id raft.NodeID
	// witness: it keeps no state.
	witness bool
	runs    int64 // length of its runs
	disk    *disk
	// lostDisk is what was emptied last: what is on its way was acknowledged when it was on that.
	lostDisk *disk
	clock    clock
	lives    int  // number of starts and crashes: a process is identified by it
	fatal    bool // the disk is damaged, or lost for good
	born     bool // it was started ever, or is one of the first members
	gone     bool // it was removed, and is started no more
	hasty    bool // its next process has the shortest timeouts, if settings differ

	// Of the host.
	paused    bool
	stalled   []func() // the events that wait for the end of the pause
	slow      bool     // every event of the process waits
	slowDisk  bool
	hungUntil Instant // no write of the disk ends before
	// machineHungUntil: the state machine executes nothing before.
	machineHungUntil Instant
	// restoringUntil: the state machine restores a large state, and executes nothing before.
	restoringUntil Instant
	crashAtInstall bool
	oldDisk        bool // its disk was replaced by an old image
	incarnation    roster.Incarnation

	// Of the process.
	replica *replica
	timeout time.Duration // of its elections
	lease   rsm.Lease
	machine machine
	streams map[raft.NodeID]*rsm.StateStream // see rsm.Node
	// fetched tells that parts of files have arrived since the last tick.
	fetched bool
	// endReceiving ends the ReceiveState that is under way.
	endReceiving context.CancelFunc
	applier      rsm.Applier[state.Command, state.Result, *waiter]
	bootClock    time.Duration // the local clock at the start of the process
	waiting      map[*waiter]bool

	inbox    rsm.Events[*waiter]
	spare    []raft.Message // room for the messages of the next turn
	nextTick func()         // tick, as long as the process lives
	// These are methods as values that are made once.
	wakeFunc, turnFunc, diskFunc, saveFunc, applyFunc, executeFunc func()
	turning                                                        bool // a turn is being done
	turnDue                                                        bool // a turn is scheduled
	tickPending                                                    bool
	freeAt                                                         Instant

	diskTasks  []rsm.DiskTask
	diskSteps  []rsm.DiskStep
	diskBusy   bool
	time       timekeeping
	watch      watching
	applyTasks []rsm.ApplyTask[*waiter]
	applyBusy  bool
	flushed    bool // see onWork
}

// waiter waits for the result of a Submit, a read or a SnapshotOffer.
type waiter struct {
	number uint64 // in the order of asking
	mode   raft.ReadMode
	done   func(state.Result, error)
	offer  bool // of a snapshot
	change int  // the number of a change of the members
	// Of reads: the last index that was committed anywhere when the read began.
	read    bool
	floor   raft.Index
	asked   uint64 // number of the event in which the read was taken
	attempt attempt
	// data is what a Submit is to execute; unique: nothing else that is submitted has these bytes.
	data   []byte
	unique bool
	// forwarded tells that it was asked of a node that was to forward it.
	forwarded bool
}

func newNode(w *world, id raft.NodeID) *node {
	n := &node{w: w, id: id, witness: w.mix.witness(id), runs: runBytes}
	n.disk, n.incarnation = newDisk(w, id, n.birth()), firstIncarnation(id)
	if w.mix.UnlikeRuns {
		n.runs += w.rand.Int64N(runBytes)
	}
	n.wakeFunc, n.turnFunc, n.diskFunc, n.saveFunc, n.applyFunc, n.executeFunc = n.wake, n.turn, n.diskNext, n.save, n.applyNext, n.execute
	n.clock.rate, n.born = 1, n.first()
	if w.mix.has(Clock) {
		n.clock.rate = w.mix.drawRate(w.rand.Uint64())
	}
	return n
}

func (n *node) up() bool { return n.replica != nil }

// afterAlways calls f after d, also if the node crashes before.
func (n *node) afterAlways(d time.Duration, f func()) { n.w.after(d, f) }

// after calls f after d, unless the process has ended, and not while it is paused.
func (n *node) after(d time.Duration, f func()) {
	n.w.queue.add(n.w.now+max(d, 0), event{do: f, node: n, life: n.lives})
}

// whileAlive returns f, which does nothing any more when the process has ended.
func (n *node) whileAlive(f func()) func() {
	life := n.lives
	return func() {
		if n.lives == life {
			f()
		}
	}
}

// happens calls f now, or when a pause of the process and of what hangs ends.
func (n *node) happens(f func(), hung *Instant) {
	switch {
	case hung == nil:
		n.awake(f)
	case n.paused:
		n.awake(func() { n.unlessHung(hung, f) })
	default:
		n.unlessHung(hung, f)
	}
}

// awake calls f now, or when the pause ends.
func (n *node) awake(f func()) {
	if n.paused {
		n.stalled = append(n.stalled, f)
		return
	}
	f()
}

// clock is a local clock with its own rate.
type clock struct {
	rate  float64
	since Instant
	shown time.Duration
}

func (c *clock) read(now Instant) time.Duration {
	return c.shown + time.Duration(float64(now-c.since)*c.rate)
}

func (c *clock) setRate(now Instant, rate float64) {
	c.shown, c.since, c.rate = c.read(now), now, rate
}

// real returns how much time passes while the clock counts d.
func (c *clock) real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.rate) }

// now is rsm.Node's now.
func (n *node) now() raft.Instant { return raft.Instant(n.clock.read(n.w.now)-n.bootClock) + 1 }

// start does what rsm.Start does, if the disk can be opened.
func (n *node) start() {
	if n.up() || n.fatal || n.gone || !n.born {
		return
	}
	n.machine, n.streams = n.newMachine(), map[raft.NodeID]*rsm.StateStream{}
	n.applier = rsm.Applier[state.Command, state.Result, *waiter]{
		Machine: n.machine, Codec: rsm.NoState[state.Command, state.Result]{}, End: n.executed, Restored: n.restored,
		Applied: func(e raft.Entry, r state.Result) { n.w.check.applied(n, e, r) },
		Hashed: func(index raft.Index, hash uint64) {
			n.after(0, func() { n.call(func(r *replica) { r.StateHashed(index, hash) }) })
		},
	}
	if !n.witness {
		n.applier.Hasher, n.applier.Codec = n.machine, state.Codec{}
	}
	var found raft.State
	var bytes int64
	err := n.disk.open()
	if err == nil {
		found, bytes, err = n.applier.Load(n.disk)
	}
	if err != nil {
		n.refuse(err)
		return
	}
	n.lives++
	n.lease = rsm.Lease{}
	n.bootClock = n.clock.read(n.w.now)
	n.inbox, n.diskTasks, n.diskSteps, n.applyTasks = rsm.Events[*waiter]{}, nil, nil, nil
	n.nextTick = n.whileAlive(n.tick)
	n.turning, n.turnDue, n.tickPending, n.diskBusy, n.applyBusy, n.flushed = false, false, false, false, false, false
	n.restoringUntil = 0
	n.freeAt = 0
	n.waiting = map[*waiter]bool{}
	config := n.w.mix.raftConfig(n.id, n.hasty, n.w.rand)
	n.hasty = false
	n.timeout = time.Duration(config.ElectionTimeoutTicks) * n.w.mix.Tick
	n.startTimekeeping(n.timeout)
	n.replica, err = rsm.NewReplica[*waiter](config, found, n.w.mix.Snapshots, bytes)
	if err != nil {
		n.w.failf("restart", "%s: %v", n.id, err)
	}
	if !n.witness {
		n.replica.CompareStates()
		n.replica.First = n.firstCommand
	}
	n.w.trace.numbers(n.w.now, n.id, "start", uint64(found.HardState.Term), uint64(found.Snapshot.Index), uint64(len(found.Entries)))
	n.disk.unopened = false
	n.startWatching()
	n.w.check.started(n, found)
	n.after(n.w.upTo(n.clock.real(n.w.mix.Tick)), n.tick)
	n.maintain()
}

// refuse handles a disk that cannot be opened. It is a violation, unless the disk was
// damaged, or the error is an injected one that passes.
func (n *node) refuse(err error) {
	n.w.trace.text(n.w.now, n.id, "refuse", "%v", err)
	var corrupt *wal.CorruptionError
	switch {
	case errors.Is(err, errUndetected):
		n.w.failf("corruption undetected", "%s: %v", n.id, err)
	case n.disk.damage != none:
		n.fatal = true // entries that it has acknowledged may be lost
	case errors.Is(err, state.ErrManifest) && n.disk.rottenImage() == manifestPath:
		n.fatal = true // nobody else knows which files it has
	case errors.As(err, &corrupt), errors.Is(err, errLost), errors.Is(err, wal.ErrNotCreated):
		n.w.failf("durability", "%s: %v", n.id, err)
	case n.disk.excuses(err):
		n.w.trace.text(n.w.now, n.id, "damaged", "nobody can repair it yet")
		n.disk.unopened = true
		n.disk.crash(false)
		n.afterAlways(milliseconds(100)+n.w.upTo(time.Second), n.start)
	case !errors.Is(err, errIO) && !errors.Is(err, errFull) && !errors.Is(err, errCrashed):
		n.w.failf("restart", "%s: %v", n.id, err)
	default:
		n.disk.crash(n.w.chance(0.5))
		n.afterAlways(milliseconds(100)+n.w.upTo(time.Second), n.start)
	}
}

// crash ends the process.
func (n *node) crash(powerLoss bool) {
	if !n.up() {
		return
	}
	n.w.trace.text(n.w.now, n.id, "crash", "power loss %t", powerLoss)
	n.lives++
	n.w.check.stopped(n)
	n.replica, n.waiting = nil, nil
	n.stalled, n.paused = nil, false
	n.disk.crash(powerLoss)
	n.w.net.crashed(n.id)
	if !powerLoss { // after a power loss the host does not close its connections
		n.w.net.reset(n.id)
	}
}

// fail does what rsm.Node does after an error of its storage: it stops, and all waiters get
// an error. Then the process ends.
func (n *node) fail(err error) {
	n.w.trace.text(n.w.now, n.id, "fail", "%v", err)
	// The node whose state is another one by mistake may have sent it.
	differs := n.w.diverging != nil && errors.As(err, new(*run.CorruptError))
	n.w.spread = n.w.spread || differs
	if !errors.Is(err, errIO) && !errors.Is(err, errFull) && !n.disk.excuses(err) && !n.endsElsewhere(err) && !differs {
		n.w.failf("storage", "%s: %v", n.id, err)
	}
	n.dropWaiters()
	n.crash(false)
	n.afterAlways(n.w.upTo(2*time.Second), n.start)
}

// dropWaiters gives an error to all who wait for a process that ends.
func (n *node) dropWaiters() {
	waiters := n.replica.Drain(n.inbox)
	for _, t := range n.applyTasks {
		n.applier.Drop(t)
	}
	// Drain walks a map.
	slices.SortFunc(waiters, func(a, b *waiter) int { return cmp.Compare(a.number, b.number) })
	for _, x := range waiters {
		n.end(x, state.Result{}, rsm.ErrStopped)
	}
	if len(n.waiting) > 0 {
		n.w.failf("waiters", "%s stops, and forgets %d who wait", n.id, len(n.waiting))
	}
}

// endsElsewhere tells whether an error comes of a run that another member has ended elsewhere. A
// process stops where it has received such a run and then checkpoints its own state.
func (n *node) endsElsewhere(err error) bool {
	return n.w.mix.UnlikeRuns && errors.Is(err, rsm.ErrMachineFailed) && errors.As(err, new(*run.CorruptError))
}

// heal ends the faults of the node.
func (n *node) heal() {
	n.slow, n.slowDisk, n.crashAtInstall = false, false, false
	n.hungUntil, n.machineHungUntil = 0, 0
	n.disk.heal()
	n.resume()
	n.afterAlways(n.w.upTo(milliseconds(500)), n.start)
}

func (n *node) pause() {
	if n.up() {
		n.paused = true
	}
}

// resume ends a pause. All events that have waited happen now, in their order.
func (n *node) resume() {
	if !n.paused {
		return
	}
	n.w.trace.text(n.w.now, n.id, "resume", "%d events waited", len(n.stalled))
	n.paused = false
	stalled := n.stalled
	n.stalled = nil
	for _, f := range stalled {
		n.after(0, f)
	}
}

func (n *node) describe() string {
	switch {
	case n.fatal:
		return fmt.Sprintf("%s has lost its disk", n.id)
	case !n.up():
		return fmt.Sprintf("%s is down", n.id)
	}
	s := n.replica.Status()
	return fmt.Sprintf("%s %s of term %d under %s, log %d to %d, durable %d, committed %d, applied %d, machine %d, snapshot %s, pending %d, waiting %d %v",
		n.id, s.Role, s.Term, s.Leader, s.FirstIndex, s.LastIndex, s.DurableIndex, s.Commit, s.Applied, n.applier.Index(), s.Snapshot, s.Pending, len(n.waiting), s.Peers)
}
