package rsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"balsa.example/raft"
)

// TestForwardInDisorder forwards operations over a network that may deliver any Propose and
// any ProposeReply that was ever sent, at any time, any number of times, while nodes crash,
// leaders change and snapshots take the place of entries. No operation may be executed twice,
// none of which it was said that it never will be, and each caller is told its own result.
func TestForwardInDisorder(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(16) {
		g := newDisorder(t, seed)
		for range 20000 {
			g.step()
		}
		g.settle()
		for what, n := range g.counts {
			total[what] += n
		}
	}
	t.Log(total)
	for _, what := range []string{"executed", "not the leader", "unknown", "stopped", "crashes", "snapshots", "received snapshots", "old proposals"} {
		if total[what] < 20 {
			t.Errorf("too little happened: %d of %q", total[what], what)
		}
	}
}

// disorder is three voters and a learner. A waiter is the name of an operation, which is also
// its data.
type disorder struct {
	t     *testing.T
	seed  uint64
	rand  *rand.Rand
	conf  raft.Configuration
	nodes map[raft.NodeID]*disorderNode
	// crashes and transfers are how many of 1000 steps are one.
	crashes, transfers int

	sent      []raft.Message // the latest that may still arrive
	proposals []raft.Message // every Propose and ProposeReply that was ever sent
	ends      []func()       // of snapshots that were sent; each is called after the turn
	operation map[raft.Index]string
	executed  map[string]raft.Index // the inverse
	asked     map[string]raft.NodeID
	outcome   map[string]string
	counts    map[string]int
}

// disorderNode is one node. writes are not on its disk yet: a crash loses them.
type disorderNode struct {
	*Replica[string]
	id      raft.NodeID
	disk    *MemoryStorage
	writes  []DiskTask
	applier Applier[string, int, string]
	now     raft.Instant
}

// listMachine is the list of the operations that it has executed.
type listMachine struct{ operations []string }

func (m *listMachine) DoOp(op string) int {
	m.operations = append(m.operations, op)
	return len(m.operations)
}

func (m *listMachine) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strings.Join(m.operations, " ")), nil
}

func (m *listMachine) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.operations = strings.Fields(string(b))
	return err
}

type textCodec struct{}

func (textCodec) Append(b []byte, op string) []byte { return append(b, op...) }
func (textCodec) Decode(b []byte) (string, error)   { return string(b), nil }

func newDisorder(t *testing.T, seed uint64) *disorder {
	g := &disorder{
		t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)),
		conf: raft.NewConfiguration(1, 2, 3), nodes: map[raft.NodeID]*disorderNode{},
		operation: map[raft.Index]string{}, executed: map[string]raft.Index{}, asked: map[string]raft.NodeID{},
		outcome: map[string]string{}, counts: map[string]int{},
	}
	g.conf.Learners = []raft.NodeID{4}
	g.crashes, g.transfers = g.rand.IntN(6), g.rand.IntN(3)
	for _, id := range g.conf.Members() {
		g.nodes[id] = &disorderNode{id: id, disk: NewMemoryStorage(g.conf)}
		g.start(g.nodes[id])
	}
	return g
}

// start begins a life of a node, from what its disk holds.
func (g *disorder) start(n *disorderNode) {
	n.writes, n.now = nil, 1
	n.applier = Applier[string, int, string]{
		Machine: WithSnapshots[string, int](&listMachine{}, n.disk), Codec: textCodec{},
		End: func(w string, e EntryID, _ int, err error) {
			if err == nil && g.operation[e.Index] != w {
				g.fatalf("%s gets the result of %q", w, g.operation[e.Index])
			}
			g.end(w, err)
		},
		Applied: func(e raft.Entry, _ int) {
			if data, ok := Operation(e); ok {
				g.execute(e.Index, string(data))
			}
		},
	}
	state, size, err := n.applier.Load(n.disk)
	if err != nil {
		g.fatalf("%s: %v", n.id, err)
	}
	cfg := raft.Config{ID: n.id, Rand: g.rand, HeartbeatTicks: 2, MaxPendingBytes: 2000}
	if n.Replica, err = NewReplica[string](cfg, state, SnapshotPolicy{MaxRaftState: 600}, size); err != nil {
		g.fatalf("%s: %v", n.id, err)
	}
}

func (g *disorder) fatalf(format string, args ...any) {
	g.t.Helper()
	g.t.Fatalf("seed %d: %s", g.seed, fmt.Sprintf(format, args...))
}

// execute notes an operation that a node executes.
func (g *disorder) execute(index raft.Index, op string) {
	if was := cmp.Or(g.operation[index], op); was != op {
		g.fatalf("entry %d holds %s and %s", index, was, op)
	}
	if at := cmp.Or(g.executed[op], index); at != index {
		g.fatalf("%s is executed at %d and at %d", op, at, index)
	}
	g.operation[index], g.executed[op] = op, index
	g.checkRefusal(op)
}

// end notes what the caller of an operation is told.
func (g *disorder) end(op string, err error) {
	if was, ok := g.outcome[op]; ok {
		g.fatalf("%s ends with %q, and then with %v", op, was, err)
	}
	switch {
	case err == nil:
		g.outcome[op] = "executed"
	case errors.Is(err, ErrWrongLeader):
		g.outcome[op] = "not the leader"
	case errors.Is(err, ErrBusy):
		g.outcome[op] = "busy"
	case errors.Is(err, ErrUnknown):
		g.outcome[op] = "unknown"
	case errors.Is(err, ErrStopped):
		g.outcome[op] = "stopped"
	default:
		g.fatalf("%s ends with %v", op, err)
	}
	g.counts[g.outcome[op]]++
	g.checkRefusal(op)
}

func (g *disorder) checkRefusal(op string) {
	out := g.outcome[op]
	if at, ok := g.executed[op]; ok && (out == "not the leader" || out == "busy") {
		g.fatalf("%s is executed at %d, and %s said %q", op, at, g.asked[op], out)
	}
}

// turn gives events to a node and performs all that follows from them, but for writes.
func (g *disorder) turn(n *disorderNode, ev Events[string]) {
	for more := true; more; {
		n.now++
		e := n.Turn(ev, n.now)
		ev, more = Events[string]{}, false
		g.sent = append(g.sent, e.Messages...)
		for _, m := range e.Messages {
			if k := m.Kind(); k == raft.KindPropose || k == raft.KindProposeReply {
				g.proposals = append(g.proposals, m)
			}
		}
		if !e.DiskTask.Empty() {
			n.writes = append(n.writes, e.DiskTask)
		}
		for _, tr := range e.Snapshots {
			g.send(n, tr)
		}
		for _, c := range e.Completions {
			g.end(c.Waiter, c.Err)
			more = true
		}
		c, err := n.applier.Apply(e.ApplyTask)
		if err != nil {
			g.fatalf("%s: %v", n.id, err)
		}
		if c != nil {
			g.counts["snapshots"]++
			size, err := c.Work(g.t.Context())
			ev.Calls, more = []func(*Replica[string]){func(r *Replica[string]) { r.SnapshotDone(c.Position, size, err == nil) }}, true
		}
		if index := n.applier.Index(); index > n.applied {
			ev.Applied, more = index, true
		}
	}
}

// send stores the snapshot of a node on another one, or breaks off.
func (g *disorder) send(from *disorderNode, tr Transfer) {
	to := g.nodes[tr.To]
	meta, data, _ := from.disk.OpenSnapshot()
	b := new(bytes.Buffer)
	_, _ = b.ReadFrom(data)
	m := &raft.InstallSnapshot{Header: tr.Header, Meta: meta}
	ok := g.rand.IntN(3) > 0 && m.Check() == nil && meta.Index > to.core.Commit()
	if ok {
		g.counts["received snapshots"]++
		_ = to.disk.SaveSnapshot(meta, func(w io.Writer) error { _, err := b.WriteTo(w); return err })
	}
	g.ends = append(g.ends, func() {
		if ok {
			g.call(to, func(r *Replica[string]) { r.SnapshotReceived(m, 0, true) })
		}
		g.call(from, func(r *Replica[string]) { r.SnapshotSent(tr.To, meta.Index, ok, false) })
	})
}

func (g *disorder) call(n *disorderNode, f func(*Replica[string])) {
	g.turn(n, Events[string]{Calls: []func(*Replica[string]){f}})
}

// step does one thing at random.
func (g *disorder) step() {
	n := g.nodes[raft.NodeID(1+g.rand.IntN(len(g.nodes)))]
	switch k := g.rand.IntN(1000); {
	case k < 600:
		g.deliver()
	case k < 750:
		g.write(n, g.rand.IntN(1+len(n.writes)))
	case k < 900:
		g.turn(n, Events[string]{Ticked: true})
	case k < 990:
		g.submit(n, g.rand.IntN(10) > 0)
	case k < 990+g.transfers:
		_ = n.TransferLeadership(raft.NodeID(1 + g.rand.IntN(3)))
	case k < 990+g.transfers+g.crashes:
		g.counts["crashes"]++
		for _, w := range n.Drain(Events[string]{}) {
			g.end(w, ErrStopped)
		}
		g.start(n)
	}
	g.endSnapshots()
	const underWay = 60
	g.sent = g.sent[max(0, len(g.sent)-underWay):] // the oldest are lost
}

func (g *disorder) endSnapshots() {
	for len(g.ends) > 0 {
		end := g.ends[0]
		g.ends = g.ends[1:]
		end()
	}
}

// deliver delivers a message, and perhaps keeps it, so that it arrives again. Some are as old
// as the cluster.
func (g *disorder) deliver() {
	if len(g.proposals) > 0 && g.rand.IntN(25) == 0 {
		g.counts["old proposals"]++
		g.arrive(g.proposals[g.rand.IntN(len(g.proposals))])
		return
	}
	if len(g.sent) == 0 {
		return
	}
	i := g.rand.IntN(min(len(g.sent), 1+g.rand.IntN(20)))
	m := g.sent[i]
	if g.rand.IntN(4) > 0 {
		g.sent = append(g.sent[:i], g.sent[i+1:]...)
	}
	g.arrive(m)
}

func (g *disorder) arrive(m raft.Message) {
	g.turn(g.nodes[m.Head().To], Events[string]{Messages: []raft.Message{m}})
}

// write makes the first writes of a node durable.
func (g *disorder) write(n *disorderNode, count int) {
	steps, persisted := DiskSteps(n.writes[:count], 1+g.rand.IntN(200)), uint64(0)
	n.writes = n.writes[count:]
	for _, s := range steps {
		seq, err := s.Do(n.disk)
		if err != nil {
			g.fatalf("%s: %v", n.id, err)
		}
		persisted = max(persisted, seq)
	}
	g.turn(n, Events[string]{Persisted: persisted})
}

func (g *disorder) submit(n *disorderNode, forward bool) (op string) {
	op = fmt.Sprintf("op%d", len(g.asked))
	g.asked[op] = n.id
	g.turn(n, Events[string]{Submits: []Submission[string]{{Data: []byte(op), Waiter: op, Forward: forward}}})
	return op
}

// settle lets all messages arrive, in order. Then any node takes an operation, and no caller
// waits.
func (g *disorder) settle() {
	g.sent = nil
	g.quiet(400)
	for _, id := range g.conf.Members() {
		op := g.submit(g.nodes[id], true)
		g.quiet(20)
		if g.outcome[op] != "executed" {
			g.fatalf("in the end an operation at %s ends with %q", id, g.outcome[op])
		}
	}
	for op, id := range g.asked {
		if _, ok := g.outcome[op]; !ok {
			g.fatalf("%s, which %s was asked for, does not end", op, id)
		}
	}
}

func (g *disorder) quiet(ticks int) {
	for range ticks {
		for _, id := range g.conf.Members() {
			g.turn(g.nodes[id], Events[string]{Ticked: true})
		}
		for range 20 {
			for _, id := range g.conf.Members() {
				g.write(g.nodes[id], len(g.nodes[id].writes))
			}
			g.endSnapshots()
			ms := g.sent
			g.sent = nil
			for _, m := range ms {
				g.arrive(m)
			}
		}
	}
}
