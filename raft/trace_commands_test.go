package raft

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// traceCommands are the words of a script; TestTraces lists them with their arguments.
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
	"configure":     (*trace).configure,
	"members":       (*trace).members,
	"unreachable":   (*trace).unreachable,
	"persist":       (*trace).persist,
	"hang":          (*trace).hang,
	"crash":         (*trace).crash,
	"restart":       (*trace).restart,
	"snapshot":      (*trace).snapshot,
	"compact":       (*trace).compact,
	"send-snapshot": (*trace).sendSnapshot,
	"lose-snapshot": (*trace).loseSnapshot,
	"status":        (*trace).status,
	"log":           (*trace).log,
}

func (t *trace) cluster() {
	*t = trace{d: t.d, nodes: map[NodeID]*traceNode{}}
	count := t.number(t.value("n"))
	t.slowDisk = t.flag("slow-disk")
	if lease := t.value("lease"); lease != "" {
		d, err := time.ParseDuration(lease)
		if err != nil {
			t.fail("%v", err)
		}
		t.opt.LeaseDuration = Nanos(d)
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
	t.conf.Witnesses = t.ids(t.values("witnesses"))
	for id := NodeID(1); id <= NodeID(count); id++ {
		n := &traceNode{id: id}
		if t.conf.Contains(id) {
			n.disk.snapshot.Configuration = t.conf
		}
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
		t.deliverAll(t.ids(t.values("among")))
	}
}

func (t *trace) campaign() {
	n := t.first()
	for range 30 {
		t.now += Instant(10 * time.Millisecond)
		n.raft.Tick(t.now)
		elapsed := n.raft.timer.elapsed == 0
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
	n.raft.Clock(t.now)
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
	var among []NodeID
	for _, n := range t.named() {
		among = append(among, n.id)
	}
	t.deliverAll(among)
}

// deliverAll delivers what is under way between some nodes until nothing is.
func (t *trace) deliverAll(among []NodeID) {
	here := func(m Message) bool {
		return slices.Contains(among, m.Head().From) && slices.Contains(among, m.Head().To)
	}
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

func (t *trace) configure() {
	n := t.first()
	next := NewConfiguration(t.ids(t.values("voters"))...)
	next.Learners, next.Witnesses = t.ids(t.values("learners")), t.ids(t.values("witnesses"))
	next.Context = []byte(t.value("context"))
	if _, err := n.raft.ProposeConfiguration(next); err != nil {
		t.printf("%s refuses: %v", n.id, err)
	}
	t.effects(n)
}

func (t *trace) members() {
	for _, n := range t.named() {
		latest, committed, _ := n.raft.Configurations()
		t.printf("%s: latest %s, committed %s", n.id, latest, committed)
		if at := n.raft.Removed(); at > 0 {
			t.printf("  it was removed at %d", at)
		}
	}
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

func (t *trace) hang() { t.first().hung = true }

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
	entries := l.slice(l.base+1, l.last())
	for i, e := range entries {
		if i == 0 || e.Term != entries[i-1].Term {
			fmt.Fprintf(&b, " term %d:", e.Term)
		}
		fmt.Fprintf(&b, " %d", e.Index)
	}
	if len(entries) == 0 {
		b.WriteString(" empty")
	}
	t.printf("%s term %d vote %s log after %d/%d:%s", n.id, n.raft.term, someone(n.raft.vote), l.baseTerm, l.base, &b)
}
