package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Options say what to run.
type Options struct {
	Seed uint64
	// Duration is how long faults go on, in virtual time. Default 20 s.
	Duration time.Duration
	// Faults are the kinds of faults that may be drawn; nil means all.
	Faults []Fault
	// Disk, if not 0, is the kind of disk of the nodes. If it is 0, the seed decides.
	Disk Disk
	// Keep, if not nil, leaves only these of the injections that the seed draws, by
	// number. Without leaves out kinds of faults that it draws. Both make a failing run
	// smaller.
	Keep    []int
	Without []Fault
	// Picture, if not empty, names a file for a picture, in HTML, of a history that is
	// not linearizable.
	Picture string
	// Trace, if not nil, gets every event as a line of text.
	Trace io.Writer
	// Edit, if not nil, may change the Mix that was drawn.
	Edit func(*Mix)
}

// Disk is a choice between the two kinds of disk.
type Disk uint8

const (
	ModelledDisk Disk = iota + 1
	WALDisk
)

// Violation is a broken invariant.
type Violation struct {
	Invariant string // its name, the same for all runs
	Detail    string
	At        Instant
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s at %.6f s: %s", v.Invariant, v.At.Seconds(), v.Detail)
}

// world is one run: a cluster, its network, its disks, its clients and its faults.
type world struct {
	opt     Options
	mix     Mix
	rand    *rand.Rand
	now     Instant
	queue   queue
	trace   trace
	nodes   []*node
	net     network
	clients []*client
	records []*record
	callers []*caller
	viewers []*viewer
	calls   []*call
	values  int // that callers have drawn
	changes int // of users and roles that were drawn
	// changesAsked counts the changes of the members that the operator asked for.
	changesAsked int
	images       []image // of snapshots
	check        checker
	attention    attention
	// undisturbed: until then a fault goes on beside which no other is injected.
	undisturbed Instant
	healed      bool // no more faults
	closing     bool // no more operations
	injections  []Injection
	faults      FaultCounts
	events      uint64
	recovery    time.Duration // from the end of the faults until operations complete
	catchUp     time.Duration // from there until all nodes had caught up

	diverging *node // the node whose state is made different from that of its peers: see diverge
	spread    bool  // another node has restored a snapshot of that state
}

func newWorld(opt Options) *world {
	if opt.Duration == 0 {
		opt.Duration = 20 * time.Second
	}
	if opt.Faults == nil {
		opt.Faults = AllFaults()
	}
	w := &world{opt: opt, rand: rand.New(rand.NewPCG(opt.Seed, 0x62616c7361)), trace: newTrace(opt.Trace)}
	w.mix = drawMix(w.rand, opt.Faults)
	// These are not drawn: the runs of the seeds that get what a server has stay as they are.
	saves := []int{rsm.SaveBytes, 1, 400}
	w.mix.SaveBytes = saves[opt.Seed/4%uint64(len(saves))]
	if bounds := []int64{0, 0, 500, 4000}; w.mix.Durable {
		w.mix.MaxUnwritten = bounds[opt.Seed%uint64(len(bounds))]
		w.mix.MaxIndexBytes = int64(opt.Seed / 8 % 2) // no index fits beside the one that is there, or any
	}
	if opt.Edit != nil {
		opt.Edit(&w.mix)
	}
	if opt.Disk != 0 {
		w.mix.WAL = opt.Disk == WALDisk
	}
	if w.mix.has(Corrupt) && !w.mix.WAL { // the model cannot detect it
		w.mix.Faults = slices.DeleteFunc(w.mix.Faults, func(f Fault) bool { return f == Corrupt })
	}
	if w.mix.has(Rot) && !w.mix.Durable { // there are no files
		w.mix.Faults = slices.DeleteFunc(w.mix.Faults, func(f Fault) bool { return f == Rot })
	}
	w.check, w.attention = newChecker(w), newAttention(w)
	w.net = newNetwork(w)
	for id := range w.mix.Nodes() {
		w.nodes = append(w.nodes, newNode(w, raft.NodeID(id+1)))
	}
	for id := range w.mix.Clients {
		w.clients = append(w.clients, newClient(w, id))
	}
	for range w.mix.Viewers {
		w.viewers = append(w.viewers, newViewer(w))
	}
	for id := range w.mix.Callers {
		w.callers = append(w.callers, &caller{w: w, id: id, at: raft.NodeID(1 + w.rand.IntN(w.mix.Nodes())), etcd: (w.opt.Seed+uint64(id))%3 == 0})
	}
	w.drawInjections()
	for _, f := range opt.Without {
		w.mix.leaveOut(f)
	}
	w.trace.text(0, raft.None, "mix", "%+v", w.mix)
	return w
}

// Run runs one seed to its end, or until an invariant is violated.
func Run(opt Options) (r Result) {
	w := newWorld(opt)
	defer func() {
		p := recover()
		if p == nil {
			r = w.result(nil)
			return
		}
		v, ok := p.(*Violation)
		if !ok { // an assertion of the code under test, or a bug of the simulator
			text := fmt.Sprint(p)
			name, _, _ := strings.Cut(text, ":")
			if name == "raft" {
				name = "raft assertion"
			}
			v = &Violation{name, text + "\n" + string(debug.Stack()), w.now}
		}
		r = w.result(v)
	}()
	w.run()
	return r
}

// RunTwice runs one seed twice, and demands that both runs are the same.
func RunTwice(opt Options) Result {
	first, second := Run(opt), Run(opt)
	if first.Violation == nil && (first.Hash != second.Hash || first.Events != second.Events) {
		first.Violation = &Violation{"determinism", fmt.Sprintf("%d events with hash %x, then %d with %x",
			first.Events, first.Hash, second.Events, second.Hash), first.Simulated}
	}
	return first
}

func (w *world) run() {
	for _, n := range w.nodes {
		n.afterAlways(w.upTo(w.mix.ElectionTimeout), n.start)
	}
	for _, c := range w.clients {
		for range w.mix.Streams {
			w.after(w.upTo(time.Second), c.next)
		}
	}
	for _, c := range w.callers {
		w.after(w.upTo(time.Second), c.next)
	}
	for _, v := range w.viewers {
		w.after(w.upTo(5*time.Second), v.connect)
	}
	if w.mix.Users {
		w.after(w.upTo(time.Second), w.administer)
	}
	if w.mix.Cold {
		w.after(w.upTo(time.Second), w.keepCold)
	}
	if w.mix.Limits {
		w.after(w.upTo(time.Second), w.limit)
	}
	w.scheduleInjections()
	if w.mix.demandsProgress() {
		w.after(time.Second, w.look)
	}
	w.runUntil(w.opt.Duration, nil)
	w.heal()
	if !w.recovers() {
		return
	}
	w.converge()
	w.check.ending()
	w.diverge()
}

// heal ends all faults and starts the nodes that are down. Clocks keep their rates, and a
// sole voter its slow disk, since a cluster must work with these.
func (w *world) heal() {
	w.healed = true
	w.trace.text(w.now, raft.None, "heal", "all faults end")
	w.net.healAll()
	m := &w.mix
	m.Reads = min(m.Reads, 0.5)
	m.Loss, m.ClientLoss, m.Duplicate, m.SpikeShare = 0, 0, 0, 0
	m.Latency = min(m.Latency, 5*time.Millisecond)
	if m.Voters > 1 { // each entry waits for two disks, and a backlog may have grown
		m.DiskWrite = min(m.DiskWrite, 5*time.Millisecond)
	}
	m.SnapshotWrite = min(m.SnapshotWrite, 20*time.Millisecond)
	m.Apply, m.Loop = min(m.Apply, time.Millisecond), min(m.Loop, 100*time.Microsecond)
	w.fullVoterIsLost()
	for _, n := range w.nodes {
		n.heal()
	}
	for _, n := range w.members() {
		if !n.born {
			n.afterAlways(w.upTo(milliseconds(500)), n.bear)
		}
	}
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "\n\t%s", n.describe())
	}
	return b.String()
}

// runUntil lets events happen until a time, or until enough returns true; it tells whether
// enough did. enough is called after every 64 events.
func (w *world) runUntil(end Instant, enough func() bool) bool {
	for i := 0; len(w.queue.heap) > 0 && w.queue.heap[0].at <= end; i++ {
		if enough != nil && i%64 == 0 && enough() {
			return true
		}
		var e event
		w.now, e = w.queue.take()
		w.events++
		w.happens(&e)
	}
	w.now = end
	return enough != nil && enough()
}

func (w *world) happens(e *event) {
	switch {
	case e.do == nil:
		w.net.arrives(e.message)
	case e.node == nil:
		e.do()
	case e.node.lives == e.life:
		e.node.happens(e.do, e.hung)
	}
}

func (w *world) after(d time.Duration, do func()) { w.queue.add(w.now+max(d, 0), event{do: do}) }

// upTo draws a duration from 0 to limit.
func (w *world) upTo(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(limit) + 1))
}

func (w *world) chance(p float64) bool { return p > 0 && w.rand.Float64() < p }

func (w *world) node(id raft.NodeID) *node { return w.nodes[id-1] }

func (w *world) injected(f Fault) { w.faults[f]++ }

func (w *world) failf(invariant, format string, args ...any) {
	panic(&Violation{invariant, fmt.Sprintf(format, args...), w.now})
}
