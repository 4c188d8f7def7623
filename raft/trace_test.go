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
//	cluster n=3 [voters=(..) outgoing=(..) learners=(..) witnesses=(..)] [lease=80ms] [slow-disk] [batch=100]
//	        (slow-disk: writes end only with persist; nodes in no list begin without a configuration)
//	node 1 term=2 [vote=1] [log=(1,1,2)] [snapshot=1/5]   what its disk holds; log gives terms
//	tick 1 [2 ..] [x10] [among=(..)]                         (among: after each, deliver all between these)
//	campaign 1                     (tick until it campaigns)
//	deliver 1->2 [..] [first|last] [again]                   (again: a copy stays on the wire)
//	drop 1->2 [..]                 wire                      (what is under way)
//	stabilize [1 2 ..]             deliver all between these until nothing is under way
//	propose 1 a b                  read 1 [lease]            transfer 1 2
//	persist 1 [one]                crash 1                   restart 1
//	hang 1                         (its state machine, until it restarts)
//	snapshot 1                     (at what it has applied)  compact 1 5
//	send-snapshot 1->2 [crash|answer-lost]                   (data and message; crash: between them)
//	lose-snapshot 1->2
//	configure 1 voters=(..) [learners=(..) witnesses=(..) context=..]
//	members [1 ..]                 (the latest configuration and the committed one)
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
	hung    bool   // its state machine
	shown   string // the last line about its role
	commit  Index
}

// nodeRand makes node n time out after 9+n ticks, and its read ids short.
type nodeRand struct {
	id   NodeID
	life int
}

func (r nodeRand) IntN(n int) int { return int(r.id-1) % n }
func (r nodeRand) Uint64() uint64 { return uint64(r.id)*100 + uint64(r.life)*10 }

func (t *trace) printf(format string, args ...any) { fmt.Fprintf(&t.out, format+"\n", args...) }

// fail reports a mistake in the script as its output.
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
			if n.hung {
				t.printf("  %s does not apply %s", n.id, entry)
				continue
			}
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
	if r.role == Follower && r.leaderID != None {
		line = fmt.Sprintf("follows %s in term %d", r.leaderID, r.term)
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
		if h.LeaseGrant > 0 {
			parts = append(parts, fmt.Sprintf("lease grant %v", time.Duration(h.LeaseGrant)))
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
	cfg.ID, cfg.Rand, cfg.Now = n.id, nodeRand{n.id, n.life}, t.now
	cfg.Witness = slices.Contains(t.conf.Witnesses, n.id)
	s := n.disk.load()
	r, err := New(cfg, s)
	if err != nil {
		t.fail("%v", err)
	}
	n.raft, n.applied, n.commit, n.hung = r, s.Snapshot.Index, r.commit, false
	n.shown = fmt.Sprintf("is follower in term %d", r.term)
}
