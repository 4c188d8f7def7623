package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// cluster runs cores on one event heap, each with a simulated disk and a state
// machine, over a simulated network. Time is virtual and all chance comes from one
// seed, so that the same options always make the same run. A checker looks at every
// core after every event (see invariants_test.go).
type cluster struct {
	t      testing.TB
	opt    options
	rand   *rand.Rand
	now    time.Duration
	events events
	nodes  []*node // node k has the ID k+1
	net    network
	check  checker
	steps  int
	trace  bool // log every event
	// sync is how long one of a node's disk takes, if it is not by chance.
	sync func(NodeID) time.Duration
	// execution is how long a node's state machine takes for what it is handed at once, if that is not by chance.
	execution func(NodeID) time.Duration
	// settings, if not nil, draws those of a node's next life.
	settings func(*Config)
	// damaged are nodes whose state is damaged.
	damaged map[NodeID]bool
}

// options are what a run is made of. The zero value of a fault is its absence.
type options struct {
	nodes int
	seed  uint64
	// witnesses are nodes that keep no state, and maxWitness is Config.MaxWitnessBytes.
	witnesses  []NodeID
	maxWitness int
	config     Configuration // all nodes vote if empty; a node that is not in it begins with none
	tick       time.Duration
	heart      int           // Config.HeartbeatTicks
	election   int           // Config.ElectionTimeoutTicks
	lease      time.Duration // Config.LeaseDuration
	inflight   int           // Config.MaxInflightAppends
	batch      int           // Config.MaxAppendBytes
	drift      float64
	// snapshotEvery is how many entries are applied between two snapshots; 0: none.
	snapshotEvery Index
	faults        faults
}

// faults are those that happen by chance. Durations are upper bounds of uniform draws, shares
// are probabilities.
type faults struct {
	delay     time.Duration // of a message
	slow      time.Duration // of a message that is slow, by share
	slowShare float64
	loss      float64
	duplicate float64
	write     time.Duration // of a sync of the disk
	apply     time.Duration // of handing a batch to the state machine
	busy      time.Duration // between an event and the shell's call of Effects
	// crashStored is the share of snapshots whose receiver crashes between storing the data and
	// stepping the message.
	crashStored float64
}

// node is a shell around one core: what package rsm does, without goroutines.
type node struct {
	id      NodeID
	witness bool
	raft    *Raft // nil while the node is down
	// life counts the starts. Events of an earlier life are ignored.
	life    int
	disk    disk
	woken   bool // a call of Effects is scheduled
	rate    float64
	applies []apply // from Effects, not carried out yet; oldest first
	applied Index
	saving  bool // a snapshot is being written
	reads   map[ReadID]readCall
	seen    observed
	// forgetful tells that an old copy of the disk was put back, so that a leader may shut the
	// node out.
	forgetful bool
}

// apply is either a snapshot to restore, or entries to apply.
type apply struct {
	restore *SnapshotMeta
	entries []Entry
}

// readCall remembers what a read must reflect.
type readCall struct {
	floor Index // committed by anyone when the read was asked for
	mode  ReadMode
}

func newCluster(t testing.TB, opt options) *cluster {
	if opt.tick == 0 {
		opt.tick = 50 * time.Millisecond
	}
	if opt.election == 0 {
		opt.election = 10
	}
	if len(opt.config.Members()) == 0 {
		var ids []NodeID
		for k := range opt.nodes {
			ids = append(ids, NodeID(k+1))
		}
		opt.config = NewConfiguration(ids...)
		opt.config.Witnesses = opt.witnesses
	}
	c := &cluster{t: t, opt: opt, rand: rand.New(rand.NewPCG(opt.seed, 0))}
	c.net = newNetwork(c)
	c.check = newChecker(c)
	for k := range opt.nodes {
		n := &node{id: NodeID(k + 1), witness: slices.Contains(opt.witnesses, NodeID(k+1)), rate: 1 + opt.drift*(2*c.rand.Float64()-1)}
		if opt.config.Contains(n.id) {
			n.disk.snapshot.Configuration = opt.config
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		c.start(n.id)
	}
	return c
}

func (c *cluster) node(id NodeID) *node { return c.nodes[id-1] }

// failf ends the test and prints the options that repeat the failure.
func (c *cluster) failf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("at %v, seed %d: "+format, append([]any{c.now, c.opt.seed}, args...)...)
}

func (c *cluster) tracef(format string, args ...any) {
	if c.trace {
		c.t.Helper()
		c.t.Logf("%12v  "+format, append([]any{c.now}, args...)...)
	}
}

// upTo draws a duration below limit, at least a microsecond.
func (c *cluster) upTo(limit time.Duration) time.Duration {
	if limit <= time.Microsecond {
		return time.Microsecond
	}
	return time.Microsecond + time.Duration(c.rand.Int64N(int64(limit)))
}

func (c *cluster) chance(p float64) bool { return p > 0 && c.rand.Float64() < p }

func (c *cluster) after(d time.Duration, run func()) { c.events.push(c.now+d, run) }

// run lets virtual time pass.
func (c *cluster) run(d time.Duration) {
	c.t.Helper()
	c.runUntil(d, func() bool { return false })
}

// runUntil lets time pass until done, and tells whether that came within limit.
func (c *cluster) runUntil(limit time.Duration, done func() bool) bool {
	c.t.Helper()
	end := c.now + limit
	for !done() {
		at, ok := c.events.next()
		if !ok || at > end {
			c.now = end
			return done()
		}
		c.now = at
		c.events.pop()()
	}
	return true
}

// start brings a node up from what its disk holds.
func (c *cluster) start(id NodeID) {
	c.t.Helper()
	n := c.node(id)
	if n.raft != nil {
		return
	}
	state := n.disk.load()
	n.life++
	cfg := Config{
		ID: id, HeartbeatTicks: c.opt.heart, ElectionTimeoutTicks: c.opt.election,
		LeaseDuration: Nanos(c.opt.lease), MaxClockDrift: 2 * c.opt.drift / (1 + c.opt.drift), Now: c.clock(n),
		MaxInflightAppends: c.opt.inflight, MaxAppendBytes: c.opt.batch,
		Witness: slices.Contains(c.opt.witnesses, id), MaxWitnessBytes: c.opt.maxWitness,
		Rand: rand.New(rand.NewPCG(c.opt.seed, uint64(n.life)<<8|uint64(id))),
	}
	if c.settings != nil {
		c.settings(&cfg)
	}
	r, err := New(cfg, state)
	if err != nil {
		c.failf("%s does not start: %v", id, err)
	}
	n.raft, n.applied, n.applies, n.saving, n.woken = r, state.Snapshot.Index, nil, false, false
	n.reads = map[ReadID]readCall{}
	c.check.started(n)
	c.tracef("%s starts: term %d vote %s snapshot %s log to %d", id, r.term, r.vote, state.Snapshot, r.log.last())
	c.in(n, time.Duration(c.rand.Int64N(int64(c.opt.tick))), func() { c.tick(n) })
	c.wake(n)
}

// crash takes a node down. Of the writes that were not reported as durable some may
// be on the disk nevertheless, but none without all before it.
func (c *cluster) crash(id NodeID) {
	n := c.node(id)
	if n.raft == nil {
		return
	}
	kept := 0
	if len(n.disk.queue) > 0 {
		kept = c.rand.IntN(len(n.disk.queue) + 1)
	}
	c.tracef("%s crashes: %d of %d writes are kept", id, kept, len(n.disk.queue))
	for range kept {
		c.makeDurable(n)
	}
	n.disk.queue, n.disk.syncing = nil, 0
	n.raft = nil
	n.life++
}

// in schedules an event that is ignored if the node has crashed before.
func (c *cluster) in(n *node, d time.Duration, run func()) {
	life := n.life
	c.after(d, func() {
		if n.life == life {
			run()
		}
	})
}

// clock is what the node's own clock shows: it may run fast or slow.
func (c *cluster) clock(n *node) Instant { return Instant(1 + float64(c.now)*n.rate) }

func (c *cluster) tick(n *node) {
	n.raft.StateDamaged(c.damaged[n.id])
	n.raft.Tick(c.clock(n))
	c.stepped(n)
	c.in(n, time.Duration(float64(c.opt.tick)/n.rate), func() { c.tick(n) })
}

// stepped is called after every event at a node. It checks the node, and schedules its effects.
func (c *cluster) stepped(n *node) {
	c.t.Helper()
	c.steps++
	c.check.step(n)
	if c.opt.faults.busy == 0 {
		c.effects(n)
		return
	}
	c.wake(n)
}

// wake schedules one call of Effects, for all events until then.
func (c *cluster) wake(n *node) {
	if n.woken {
		return
	}
	n.woken = true
	c.in(n, c.upTo(c.opt.faults.busy), func() {
		n.woken = false
		c.effects(n)
	})
}

func (c *cluster) effects(n *node) {
	c.t.Helper()
	e := n.raft.Effects()
	c.check.step(n)
	if e.Persist != nil {
		n.disk.queue = append(n.disk.queue, *e.Persist)
		c.save(n)
	}
	for _, m := range e.Messages {
		c.check.sending(n, m)
		c.send(m)
	}
	for _, h := range e.Snapshots {
		c.sendSnapshot(n, h)
	}
	for _, id := range e.ShutOut {
		if !c.node(id).forgetful {
			c.failf("%s shuts out %s, whose disk has not gone back", n.id, id)
		}
	}
	idle := len(n.applies) == 0
	if e.Restore != nil {
		n.applies = append(n.applies, apply{restore: e.Restore})
	}
	if len(e.Committed) > 0 {
		n.applies = append(n.applies, apply{entries: e.Committed})
	}
	if idle && len(n.applies) > 0 {
		c.apply(n)
	}
	for _, read := range e.Reads {
		c.check.readEnded(n, read)
	}
}

// save starts a sync, which makes all queued writes durable.
func (c *cluster) save(n *node) {
	if n.disk.syncing > 0 || len(n.disk.queue) == 0 {
		return
	}
	n.disk.syncing = len(n.disk.queue)
	took := c.upTo(c.opt.faults.write)
	if c.sync != nil {
		took = c.sync(n.id)
	}
	c.in(n, took, func() {
		var seq uint64
		for ; n.disk.syncing > 0; n.disk.syncing-- {
			seq = n.disk.queue[0].Seq
			c.makeDurable(n)
		}
		n.raft.Persisted(seq)
		c.stepped(n)
		c.save(n)
	})
}

// makeDurable makes the oldest queued write durable.
func (c *cluster) makeDurable(n *node) {
	p := n.disk.queue[0]
	n.disk.queue = n.disk.queue[1:]
	c.check.persisting(n, p)
	if err := n.disk.write(p); err != nil {
		c.failf("%s: %v", n.id, err)
	}
}

// apply carries out the oldest apply.
func (c *cluster) apply(n *node) {
	took := c.upTo(c.opt.faults.apply)
	if c.execution != nil {
		took = c.execution(n.id)
	}
	c.in(n, took, func() {
		a := n.applies[0]
		n.applies = n.applies[1:]
		if a.restore != nil {
			c.check.restoring(n, *a.restore)
			n.applied = a.restore.Index
		}
		for _, e := range a.entries {
			c.check.applying(n, e)
			n.applied = e.Index
		}
		if len(n.applies) > 0 {
			c.apply(n)
		}
		n.raft.Applied(n.applied)
		c.stepped(n)
		if every := c.opt.snapshotEvery; every > 0 && n.applied >= n.disk.snapshot.Index+every {
			c.takeSnapshot(n)
		}
	})
}

// takeSnapshot writes a snapshot of the state machine, and then compacts the log.
func (c *cluster) takeSnapshot(n *node) {
	if n.raft == nil || n.saving || n.applied <= n.disk.snapshot.Index {
		return
	}
	at := n.applied
	term, ok := n.raft.TermAt(at)
	if !ok || !n.raft.ConfigurationAt(at).HasVoters() {
		return // compacted behind a snapshot that arrived meanwhile
	}
	meta := SnapshotMeta{Index: at, Term: term, Configuration: n.raft.ConfigurationAt(at)}
	n.saving = true
	c.in(n, c.upTo(c.opt.faults.write), func() {
		n.saving = false
		n.disk.saveSnapshot(meta)
		upTo := min(at, n.raft.Status().DurableIndex) // the state may be ahead of the log on disk
		n.disk.compact(upTo)
		n.raft.Compact(upTo)
		c.tracef("%s has a snapshot at %s", n.id, meta)
		c.stepped(n)
	})
}

// propose proposes data at a node, and returns the index.
func (c *cluster) propose(id NodeID, data string) (Index, Term, bool) {
	n := c.node(id)
	if n.raft == nil {
		return 0, 0, false
	}
	index, err := n.raft.Propose([]byte(data))
	if err != nil {
		return 0, 0, false
	}
	term := n.raft.Term()
	c.stepped(n)
	return index, term, true
}

// read begins a linearizable read at a node.
func (c *cluster) read(id NodeID, mode ReadMode) {
	n := c.node(id)
	if n.raft == nil {
		return
	}
	floor := c.check.lastCommitted()
	read, err := n.raft.ReadIndex(c.clock(n), mode)
	if err != nil {
		return
	}
	n.reads[read] = readCall{floor: floor, mode: mode}
	c.stepped(n)
}

// events is a heap of the scheduled events, by time and then by order of arrival.
type events struct {
	heap []event
	seq  uint64
}

type event struct {
	at  time.Duration
	seq uint64
	run func()
}

func (a event) before(b event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (q *events) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

func (q *events) push(at time.Duration, run func()) {
	q.seq++
	q.heap = append(q.heap, event{at, q.seq, run})
	h := q.heap
	for k := len(h) - 1; k > 0 && h[k].before(h[(k-1)/2]); k = (k - 1) / 2 {
		h[k], h[(k-1)/2] = h[(k-1)/2], h[k]
	}
}

func (q *events) pop() func() {
	h := q.heap
	first := h[0]
	last := len(h) - 1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	q.heap = h
	for k := 0; ; {
		least := k
		for _, child := range []int{2*k + 1, 2*k + 2} {
			if child < len(h) && h[child].before(h[least]) {
				least = child
			}
		}
		if least == k {
			return first.run
		}
		h[k], h[least] = h[least], h[k]
		k = least
	}
}
