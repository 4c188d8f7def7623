package raft

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestTraces runs the scripts in testdata: schedules of events, step by step, with
// what each of them makes the cores do. Run with -rewrite to record the output
// anew, and then review the difference.
//
// The first command of a script makes a cluster. Node n times out after 9+n ticks
// of 10 ms. Links, disks and time do only what the script says. With the argument
// quiet a command's output is not shown.
//
//	cluster n=3 [voters=(..) outgoing=(..) learners=(..)] [lease=80ms] [slow-disk] [batch=100]
//	        (slow-disk: writes end only with persist)
//	node 1 term=2 [vote=1] [log=(1,1,2)] [snapshot=1/5]   what its disk holds; log gives terms
//	tick 1 [2 ..] [x10]            campaign 1                (tick until it campaigns)
//	deliver 1->2 [..] [first|last] [again]                   (again: a copy stays on the wire)
//	drop 1->2 [..]                 wire                      (what is under way)
//	stabilize [1 2 ..]             deliver all between these until nothing is under way
//	propose 1 a b                  read 1 [lease]            transfer 1 2
//	persist 1 [one]                crash 1                   restart 1
//	snapshot 1                     (at what it has applied)  compact 1 5
//	send-snapshot 1->2 [crash|answer-lost]                   (data and message; crash: between them)
//	lose-snapshot 1->2
//	unreachable 1 2                status [1 ..]             log [1 ..]
func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata/traces", func(t *testing.T, path string) {
		tr := &trace{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			tr.d, tr.out = d, strings.Builder{}
			command, ok := traceCommands[d.Cmd]
			if !ok {
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			command(tr)
			switch {
			case tr.out.Len() == 0:
				return "nothing happens\n"
			case tr.flag("quiet"):
				return "done\n"
			}
			return tr.out.String()
		})
	})
}

// trace is one script under way.
type trace struct {
	d         *datadriven.TestData
	out       strings.Builder
	opt       Config
	conf      Configuration
	nodes     map[NodeID]*traceNode
	slowDisk  bool
	now       Instant
	wire      []Message
	snapshots []Header // wanted
}

type traceNode struct {
	id      NodeID
	raft    *Raft
	disk    disk
	life    int
	applied Index
	shown   string // the last line about its role
	commit  Index
}

// nodeRand makes node n time out after 9+n ticks, and its read ids readable.
type nodeRand struct {
	id   NodeID
	life int
}

func (r nodeRand) IntN(n int) int { return int(r.id-1) % n }
func (r nodeRand) Uint64() uint64 { return uint64(r.id)*100 + uint64(r.life)*10 }

var traceCommands = map[string]func(*trace){
	"cluster":       (*trace).cluster,
	"node":          (*trace).stored,
	"tick":          (*trace).tick,
	"campaign":      (*trace).campaign,
	"deliver":       (*trace).deliver,
	"drop":          (*trace).drop,
	"wire":          (*trace).showWire,
	"stabilize":     (*trace).stabilize,
	"propose":       (*trace).propose,
	"read":          (*trace).read,
	"transfer":      (*trace).transfer,
	"unreachable":   (*trace).unreachable,
	"persist":       (*trace).persist,
	"crash":         (*trace).crash,
	"restart":       (*trace).restart,
	"snapshot":      (*trace).snapshot,
	"compact":       (*trace).compact,
	"send-snapshot": (*trace).sendSnapshot,
	"lose-snapshot": (*trace).loseSnapshot,
	"status":        (*trace).status,
	"log":           (*trace).log,
}

func (t *trace) printf(format string, args ...any) { fmt.Fprintf(&t.out, format+"\n", args...) }

// fail shows a script's mistake in its output.
func (t *trace) fail(format string, args ...any) { panic("script: " + fmt.Sprintf(format, args...)) }

// Arguments.

func (t *trace) flag(name string) bool { return t.d.HasArg(name) }

func (t *trace) values(name string) (values []string) {
	for _, arg := range t.d.CmdArgs {
		if arg.Key == name {
			values = arg.Vals
		}
	}
	return values
}

func (t *trace) value(name string) string {
	if v := t.values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (t *trace) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.fail("%q is not a number", s)
	}
	return n
}

func (t *trace) ids(values []string) (ids []NodeID) {
	for _, v := range values {
		ids = append(ids, NodeID(t.number(v)))
	}
	return ids
}

// named returns the nodes that the arguments name, or all.
func (t *trace) named() (nodes []*traceNode) {
	for _, arg := range t.d.CmdArgs {
		if n, err := strconv.ParseUint(arg.Key, 10, 64); err == nil && t.nodes[NodeID(n)] != nil {
			nodes = append(nodes, t.nodes[NodeID(n)])
		}
	}
	if len(nodes) == 0 {
		for _, id := range slices.Sorted(maps.Keys(t.nodes)) {
			nodes = append(nodes, t.nodes[id])
		}
	}
	return nodes
}

// first returns the first argument's node.
func (t *trace) first() *traceNode { return t.nodes[NodeID(t.number(t.d.CmdArgs[0].Key))] }

// links returns what arguments like 1->2 name.
func (t *trace) links() (links []link) {
	for _, arg := range t.d.CmdArgs {
		if from, to, ok := strings.Cut(arg.Key, "->"); ok {
			links = append(links, link{NodeID(t.number(from)), NodeID(t.number(to))})
		}
	}
	return links
}

// Events and their effects.

// effects shows and carries out what n wants done, each line under its event.
func (t *trace) effects(n *traceNode) {
	for {
		e := n.raft.Effects()
		t.showRole(n)
		if e.Empty() {
			return
		}
		if e.Persist != nil {
			n.disk.queue = append(n.disk.queue, *e.Persist)
			t.printf("  %s writes %s", n.id, persistLine(*e.Persist))
		}
		for _, m := range e.Messages {
			t.printf("  %s", m)
			t.wire = append(t.wire, m)
		}
		for _, h := range e.Snapshots {
			t.printf("  %s has to send %s a snapshot", n.id, h.To)
			t.snapshots = append(t.snapshots, h)
		}
		if e.Restore != nil {
			t.printf("  %s restores snapshot %s", n.id, e.Restore)
			n.applied = e.Restore.Index
		}
		for _, entry := range e.Committed {
			t.printf("  %s applies %s", n.id, entry)
			n.applied = entry.Index
		}
		n.raft.Applied(n.applied)
		for _, read := range e.Reads {
			if read.OK {
				t.printf("  %s: read %d may be served at %d", n.id, read.ID, read.Index)
			} else {
				t.printf("  %s: read %d fails", n.id, read.ID)
			}
		}
		if !t.slowDisk {
			t.writeAll(n)
		}
	}
}

func (t *trace) writeAll(n *traceNode) {
	if len(n.disk.queue) == 0 {
		return
	}
	var seq uint64
	for _, p := range n.disk.queue {
		if err := n.disk.write(p); err != nil {
			t.fail("%v", err)
		}
		seq = p.Seq
	}
	n.disk.queue = nil
	n.raft.Persisted(seq)
}

// showRole tells when the role or what is committed has changed.
func (t *trace) showRole(n *traceNode) {
	r := n.raft
	line := fmt.Sprintf("is %s in term %d", r.role, r.term)
	if r.role == Follower && r.leader != None {
		line = fmt.Sprintf("follows %s in term %d", r.leader, r.term)
	}
	if line != n.shown {
		t.printf("  %s %s", n.id, line)
		n.shown = line
	}
	if r.commit != n.commit {
		t.printf("  %s commits up to %d", n.id, r.commit)
		n.commit = r.commit
	}
}

func persistLine(p Persist) string {
	parts := []string{}
	if p.Snapshot != nil {
		parts = append(parts, fmt.Sprintf("an empty log behind snapshot %s", p.Snapshot))
	}
	if h := p.HardState; h != nil {
		if h.Vote == None {
			parts = append(parts, fmt.Sprintf("term %d", h.Term))
		} else {
			parts = append(parts, fmt.Sprintf("term %d vote %s", h.Term, h.Vote))
		}
	}
	for _, e := range p.Entries {
		parts = append(parts, e.String())
	}
	return fmt.Sprintf("#%d: %s", p.Seq, strings.Join(parts, ", "))
}

func (t *trace) begin(n *traceNode) {
	cfg := t.opt
	n.life++
	cfg.ID, cfg.Rand = n.id, nodeRand{n.id, n.life}
	s := n.disk.load()
	r, err := New(cfg, s)
	if err != nil {
		t.fail("%v", err)
	}
	n.raft, n.applied, n.commit = r, s.Snapshot.Index, r.commit
	n.shown = fmt.Sprintf("is follower in term %d", r.term)
}

// Commands.

func (t *trace) cluster() {
	*t = trace{d: t.d, nodes: map[NodeID]*traceNode{}}
	count := t.number(t.value("n"))
	t.slowDisk = t.flag("slow-disk")
	if lease := t.value("lease"); lease != "" {
		d, err := time.ParseDuration(lease)
		if err != nil {
			t.fail("%v", err)
		}
		t.opt.LeaseNanos = int64(d)
	}
	if batch := t.value("batch"); batch != "" {
		t.opt.MaxAppendBytes = int(t.number(batch))
	}
	voters := t.ids(t.values("voters"))
	if voters == nil {
		for id := range NodeID(count) {
			voters = append(voters, id+1)
		}
	}
	t.conf = NewConfiguration(voters...)
	t.conf.Voters.Outgoing = t.ids(t.values("outgoing"))
	t.conf.Learners = t.ids(t.values("learners"))
	for id := NodeID(1); id <= NodeID(count); id++ {
		n := &traceNode{id: id}
		n.disk.snapshot.Configuration = t.conf
		t.nodes[id] = n
		t.begin(n)
	}
	t.printf("voters %s learners %s", t.conf.Voters, t.conf.Learners)
}

// stored gives a node a past.
func (t *trace) stored() {
	n := t.first()
	d := disk{snapshot: SnapshotMeta{Configuration: t.conf}}
	if at := t.value("snapshot"); at != "" {
		term, index, _ := strings.Cut(at, "/")
		d.snapshot.Term, d.snapshot.Index = Term(t.number(term)), Index(t.number(index))
		d.base, d.baseTerm = d.snapshot.Index, d.snapshot.Term
	}
	for _, term := range t.values("log") {
		e := Entry{Term: Term(t.number(term)), Index: d.last() + 1, Kind: EntryCommand}
		e.Data = []byte(fmt.Sprintf("%d.%d", e.Term, e.Index))
		d.entries = append(d.entries, e)
	}
	d.hard.Term = Term(t.number(t.value("term")))
	if vote := t.value("vote"); vote != "" {
		d.hard.Vote = NodeID(t.number(vote))
	}
	n.disk = d
	t.begin(n)
	t.showLog(n)
}

func (t *trace) tick() {
	times := 1
	for _, arg := range t.d.CmdArgs {
		if x, ok := strings.CutPrefix(arg.Key, "x"); ok {
			times = int(t.number(x))
		}
	}
	for range times {
		t.now += Instant(10 * time.Millisecond)
		for _, n := range t.named() {
			n.raft.Tick(t.now)
			t.effects(n)
		}
	}
}

func (t *trace) campaign() {
	n := t.first()
	for range 30 {
		t.now += Instant(10 * time.Millisecond)
		n.raft.Tick(t.now)
		elapsed := n.raft.electionElapsed == 0
		t.effects(n)
		if elapsed {
			return
		}
	}
	t.fail("%s does not campaign", n.id)
}

func (t *trace) deliver() {
	for _, l := range t.links() {
		var chosen, rest []Message
		for _, m := range t.wire {
			if h := m.Head(); h.From == l.from && h.To == l.to {
				chosen = append(chosen, m)
			} else {
				rest = append(rest, m)
			}
		}
		switch {
		case len(chosen) == 0:
			t.printf("nothing is under way from %s to %s", l.from, l.to)
		case t.flag("first"):
			rest = append(rest, chosen[1:]...)
			chosen = chosen[:1]
		case t.flag("last"):
			rest = append(rest, chosen[:len(chosen)-1]...)
			chosen = chosen[len(chosen)-1:]
		}
		if t.flag("again") {
			rest = append(rest, chosen...)
		}
		t.wire = rest
		for _, m := range chosen {
			t.arrive(m)
		}
	}
}

func (t *trace) arrive(m Message) {
	n := t.nodes[m.Head().To]
	if n.raft == nil {
		t.printf("%s finds nobody", m)
		return
	}
	t.printf("%s arrives", m)
	if err := n.raft.Step(m); err != nil {
		t.fail("%v", err)
	}
	t.effects(n)
}

func (t *trace) drop() {
	for _, l := range t.links() {
		t.wire = slices.DeleteFunc(t.wire, func(m Message) bool {
			h := m.Head()
			lost := h.From == l.from && h.To == l.to
			if lost {
				t.printf("%s is lost", m)
			}
			return lost
		})
	}
}

func (t *trace) showWire() {
	for _, m := range t.wire {
		t.printf("%s", m)
	}
}

func (t *trace) stabilize() {
	among := map[NodeID]bool{}
	for _, n := range t.named() {
		among[n.id] = true
	}
	here := func(m Message) bool { return among[m.Head().From] && among[m.Head().To] }
	for range 1000 {
		i := slices.IndexFunc(t.wire, here)
		if i < 0 {
			return
		}
		m := t.wire[i]
		t.wire = slices.Delete(t.wire, i, i+1)
		t.arrive(m)
	}
	t.fail("no end of messages")
}

func (t *trace) propose() {
	n := t.first()
	for _, arg := range t.d.CmdArgs[1:] {
		if index, err := n.raft.Propose([]byte(arg.Key)); err != nil {
			t.printf("%s refuses %q: %v", n.id, arg.Key, err)
		} else {
			t.printf("%s takes %q as %d/%d", n.id, arg.Key, n.raft.Term(), index)
		}
	}
	t.effects(n)
}

func (t *trace) read() {
	n := t.first()
	mode := ReadByIndex
	if t.flag("lease") {
		mode = ReadByLease
	}
	id, err := n.raft.ReadIndex(t.now, mode)
	if err != nil {
		t.printf("%s refuses to read: %v", n.id, err)
	} else {
		t.printf("%s begins read %d", n.id, id)
	}
	t.effects(n)
}

func (t *trace) transfer() {
	n := t.first()
	to := NodeID(t.number(t.d.CmdArgs[1].Key))
	if err := n.raft.TransferLeadership(to); err != nil {
		t.printf("%s does not hand over to %s: %v", n.id, to, err)
	}
	t.effects(n)
}

func (t *trace) unreachable() {
	n := t.first()
	n.raft.Unreachable(NodeID(t.number(t.d.CmdArgs[1].Key)))
	t.effects(n)
}

func (t *trace) persist() {
	for _, n := range t.named() {
		if t.flag("one") && len(n.disk.queue) > 0 {
			p := n.disk.queue[0]
			n.disk.queue = n.disk.queue[1:]
			if err := n.disk.write(p); err != nil {
				t.fail("%v", err)
			}
			n.raft.Persisted(p.Seq)
		} else {
			t.writeAll(n)
		}
		t.effects(n)
	}
}

func (t *trace) crash() {
	n := t.first()
	t.printf("%s loses %d writes", n.id, len(n.disk.queue))
	n.disk.queue = nil
	n.raft = nil
}

func (t *trace) restart() {
	n := t.first()
	t.begin(n)
	t.showLog(n)
	t.effects(n)
}

func (t *trace) snapshot() {
	n := t.first()
	term, _ := n.raft.TermAt(n.applied)
	n.disk.saveSnapshot(SnapshotMeta{Index: n.applied, Term: term, Configuration: n.raft.ConfigurationAt(n.applied)})
	t.printf("%s has a snapshot at %s", n.id, n.disk.snapshot)
}

func (t *trace) compact() {
	n := t.first()
	n.raft.Compact(Index(t.number(t.d.CmdArgs[1].Key)))
	t.showLog(n)
	t.effects(n)
}

// wanted takes the request for a snapshot on a link.
func (t *trace) wanted(l link) Header {
	i := slices.IndexFunc(t.snapshots, func(h Header) bool { return h.From == l.from && h.To == l.to })
	if i < 0 {
		t.fail("no snapshot is wanted from %s to %s", l.from, l.to)
	}
	h := t.snapshots[i]
	t.snapshots = slices.Delete(t.snapshots, i, i+1)
	return h
}

func (t *trace) sendSnapshot() {
	for _, l := range t.links() {
		m := &InstallSnapshot{Header: t.wanted(l), Meta: t.nodes[l.from].disk.snapshot}
		t.nodes[l.to].disk.saveSnapshot(m.Meta)
		if t.flag("crash") {
			t.printf("%s has the data of snapshot %s on disk, and crashes", l.to, m.Meta)
			t.nodes[l.to].raft = nil
			continue
		}
		t.arrive(m)
		if t.flag("answer-lost") {
			continue
		}
		t.printf("%s knows that the snapshot has arrived", l.from)
		t.nodes[l.from].raft.SnapshotSent(l.to, m.Meta.Index, true)
		t.effects(t.nodes[l.from])
	}
}

func (t *trace) loseSnapshot() {
	for _, l := range t.links() {
		h := t.wanted(l)
		t.printf("%s knows that the snapshot is lost", l.from)
		t.nodes[l.from].raft.SnapshotSent(h.To, 0, false)
		t.effects(t.nodes[l.from])
	}
}

func (t *trace) status() {
	for _, n := range t.named() {
		if n.raft == nil {
			t.printf("%s is down", n.id)
			continue
		}
		s := n.raft.Status()
		t.printf("%s %s, term %d, vote %s, leader %s, log %d to %d, durable %d, committed %d, applied %d",
			n.id, s.Role, s.Term, someone(s.Vote), someone(s.Leader), s.FirstIndex, s.LastIndex, s.DurableIndex, s.Commit, s.Applied)
		for _, p := range s.Peers {
			t.printf("  %s %s, match %d, next %d, active %t", p.ID, p.State, p.Match, p.Next, p.Active)
		}
	}
}

func (t *trace) log() {
	for _, n := range t.named() {
		t.showLog(n)
	}
}

func someone(id NodeID) string {
	if id == None {
		return "none"
	}
	return id.String()
}

// showLog shows the terms of a log from its first index on.
func (t *trace) showLog(n *traceNode) {
	if n.raft == nil {
		t.printf("%s is down", n.id)
		return
	}
	l := &n.raft.log
	var b strings.Builder
	for i, e := range l.entries {
		if i == 0 || e.Term != l.entries[i-1].Term {
			fmt.Fprintf(&b, " term %d:", e.Term)
		}
		fmt.Fprintf(&b, " %d", e.Index)
	}
	if len(l.entries) == 0 {
		b.WriteString(" empty")
	}
	t.printf("%s term %d vote %s log after %d/%d:%s", n.id, n.raft.term, someone(n.raft.vote), l.baseTerm, l.base, &b)
}
