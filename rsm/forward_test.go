package rsm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"balsa.example/raft"
)

// group is three replicas, whose disks and state machines are done at once. A waiter is the
// name of an operation, which is also its data.
type group struct {
	t        *testing.T
	replicas map[raft.NodeID]*Replica[string]
	inbox    map[raft.NodeID][]raft.Message
	// filter, if not nil, tells whether a message is delivered.
	filter   func(raft.Message) bool
	sent     []raft.Message // of the kinds Propose and ProposeReply, all
	executed []string       // by the replica that has executed most, in order
	outcome  map[string]string
	now      raft.Instant
}

func newGroup(t *testing.T) *group {
	g := &group{t: t, replicas: map[raft.NodeID]*Replica[string]{}, inbox: map[raft.NodeID][]raft.Message{}, outcome: map[string]string{}}
	for id := raft.NodeID(1); id <= 3; id++ {
		cfg := raft.Config{ID: id, Rand: rand.New(rand.NewPCG(7, uint64(id))), HeartbeatTicks: 2, MaxPendingBytes: 1 << 20}
		state := raft.State{Snapshot: raft.SnapshotMeta{Configuration: raft.NewConfiguration(1, 2, 3)}}
		r, err := NewReplica[string](cfg, state, SnapshotPolicy{MaxRaftState: -1}, 0)
		if err != nil {
			t.Fatal(err)
		}
		g.replicas[id] = r
	}
	return g
}

// turn gives events to a replica, and to all whatever follows from that, until no message is
// under way.
func (g *group) turn(id raft.NodeID, ev Events[string]) {
	g.one(id, ev)
	for range 1000 {
		quiet := true
		for id := raft.NodeID(1); id <= 3; id++ {
			if ms := g.inbox[id]; len(ms) > 0 {
				quiet = false
				g.inbox[id] = nil
				g.one(id, Events[string]{Messages: ms})
			}
		}
		if quiet {
			return
		}
	}
	g.t.Fatal("messages without end")
}

func (g *group) one(id raft.NodeID, ev Events[string]) {
	r := g.replicas[id]
	for {
		g.now++
		e := r.Turn(ev, g.now)
		g.perform(id, e)
		ev = Events[string]{}
		if e.Persist != nil {
			ev.Persisted = e.Persist.Seq
		}
		if n := len(e.Commands); n > 0 {
			ev.Applied = e.Commands[n-1].Entry.Index
		}
		if ev.Persisted == 0 && ev.Applied == 0 {
			return
		}
	}
}

func (g *group) perform(id raft.NodeID, e Effects[string]) {
	for _, m := range e.Messages {
		switch m.(type) {
		case *raft.Propose, *raft.ProposeReply:
			g.sent = append(g.sent, m)
		}
		if g.filter == nil || g.filter(m) {
			g.inbox[m.Head().To] = append(g.inbox[m.Head().To], m)
		}
	}
	for _, c := range e.Commands {
		op, _ := Operation(c.Entry)
		if int(c.Entry.Index) > len(g.executed) {
			g.executed = append(g.executed, string(op))
		}
		if c.HasWaiter {
			if c.Waiter != string(op) {
				g.t.Errorf("%s gets the result of %s", c.Waiter, c.Entry)
			}
			g.end(c.Waiter, "executed")
		}
	}
	for _, c := range e.Completions {
		g.end(c.Waiter, fmt.Sprint(c.Err))
	}
}

func (g *group) end(waiter, outcome string) {
	if was, ok := g.outcome[waiter]; ok {
		g.t.Errorf("%s ends twice: %s, %s", waiter, was, outcome)
	}
	g.outcome[waiter] = outcome
}

func (g *group) tick(ids ...raft.NodeID) {
	for _, id := range ids {
		g.turn(id, Events[string]{Ticked: true})
	}
}

// elect has id lead.
func (g *group) elect(id raft.NodeID) {
	g.t.Helper()
	for range 100 {
		if g.replicas[id].core.Role() == raft.Leader {
			g.tick(id, id) // all hear of it
			return
		}
		g.tick(id)
	}
	g.t.Fatalf("%s does not lead", id)
}

// forward submits an operation to a replica that forwards it.
func (g *group) forward(id raft.NodeID, op string) {
	g.turn(id, Events[string]{Submits: []Submission[string]{{Data: []byte(op), Waiter: op, Forward: true}}})
}

// settle has the leader send heartbeats, by which followers learn what is committed.
func (g *group) settle(leader raft.NodeID) { g.tick(leader, leader, leader, leader) }

func (g *group) want(op, outcome string, times int) {
	g.t.Helper()
	if got := g.outcome[op]; got != outcome {
		g.t.Errorf("%s: %q, want %q", op, got, outcome)
	}
	n := 0
	for _, e := range g.executed {
		if e == op {
			n++
		}
	}
	if n != times {
		g.t.Errorf("%s is executed %d times, want %d", op, n, times)
	}
}

// last returns the last message of a type that was sent.
func last[M raft.Message](g *group) (m M) {
	for _, sent := range g.sent {
		if s, ok := sent.(M); ok {
			m = s
		}
	}
	return m
}

func loses[M raft.Message](m raft.Message) bool { _, is := m.(M); return !is }

func (g *group) deliver(m raft.Message) {
	g.turn(m.Head().To, Events[string]{Messages: []raft.Message{m}})
}

func isElection(m raft.Message) bool {
	switch m.(type) {
	case *raft.PreVote, *raft.PreVoteReply, *raft.RequestVote, *raft.RequestVoteReply:
		return true
	}
	return false
}

// depose has another replica lead; from does not hear of that, if deaf.
func (g *group) depose(from, to raft.NodeID, deaf bool) {
	g.t.Helper()
	was := g.filter
	g.filter = func(m raft.Message) bool { return m.Head().To != from && m.Head().From != from }
	for range g.replicas[from].core.ElectionTimeoutTicks() { // until the third would vote
		g.tick(6 - from - to)
	}
	g.elect(to)
	g.filter = was
	if !deaf {
		g.settle(to)
	}
}

func TestForward(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	var order []string
	g.filter = func(m raft.Message) bool {
		switch m := m.(type) {
		case *raft.ProposeReply:
			order = append(order, "reply")
		case *raft.AppendEntries:
			if m.To == 2 && len(m.Entries) > 0 {
				order = append(order, "entry")
			}
		}
		return true
	}
	g.forward(2, "a")
	g.settle(1)
	g.want("a", "executed", 1)
	if !slices.Equal(order, []string{"reply", "entry"}) {
		t.Errorf("the leader sends %q", order)
	}
	if n := g.replicas[2].Status().Pending; n != 0 {
		t.Errorf("%d wait", n)
	}
	g.forward(1, "b") // the leader itself
	g.settle(1)
	g.want("b", "executed", 1)
}

func TestForwardWithoutALeader(t *testing.T) {
	g := newGroup(t)
	g.forward(2, "a")
	g.want("a", "not the leader; no leader is known", 0)
}

// A leader of which it knows only by a snapshot would take its Propose for an old one.
func TestForwardBeforeTheFirstRound(t *testing.T) {
	g := newGroup(t)
	g.one(2, Events[string]{Messages: []raft.Message{&raft.InstallSnapshot{
		Header: raft.Header{From: 1, To: 2, Term: 5}, Meta: raft.SnapshotMeta{Index: 9, Term: 5, Configuration: raft.NewConfiguration(1, 2, 3)},
	}}})
	g.one(2, Events[string]{Submits: []Submission[string]{{Data: []byte("a"), Waiter: "a", Forward: true}}})
	g.want("a", "not the leader; the leader is n1", 0)
}

// Copies of a Propose are proposed once, whenever they come.
func TestForwardedOnce(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.forward(2, "a")
	m := last[*raft.Propose](g)
	first := *last[*raft.ProposeReply](g)
	g.deliver(m)
	g.settle(1)
	if again := *last[*raft.ProposeReply](g); again != first {
		t.Errorf("answered with %v, and then with %v", &first, &again)
	}
	for range 10 * g.replicas[1].core.ElectionTimeoutTicks() { // generations go by
		g.tick(1)
		g.deliver(m)
	}
	g.want("a", "executed", 1)
	if n := len(g.replicas[1].proposals.recent) + len(g.replicas[1].proposals.older); n != 0 {
		t.Errorf("%d names are remembered", n)
	}
	g.forward(2, "b") // of a newer round
	g.settle(1)
	g.want("b", "executed", 1)
}

// A copy that is late is not proposed in a later term of the same leader.
func TestForwardedInOneTerm(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.forward(2, "a")
	m := last[*raft.Propose](g)
	g.settle(1)
	g.depose(1, 3, false)
	g.depose(3, 1, false)
	g.deliver(m)
	g.settle(1)
	g.want("a", "executed", 1)
}

func TestForwardIsSentAgain(t *testing.T) {
	for name, loss := range map[string]func(raft.Message) bool{"propose": loses[*raft.Propose], "reply": loses[*raft.ProposeReply]} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			g.elect(1)
			g.filter = func(m raft.Message) bool {
				_, entries := m.(*raft.AppendEntries)
				return loss(m) && (!entries || m.Head().To != 2) // or it is executed before it is sent again
			}
			g.forward(2, "a")
			if g.outcome["a"] != "" {
				t.Fatalf("it ends: %s", g.outcome["a"])
			}
			g.filter = nil
			g.tick(2, 2, 2, 2, 2)
			g.settle(1)
			g.want("a", "executed", 1)
		})
	}
}

func TestForwardWithoutAnswer(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.Propose]
	g.forward(2, "a")
	g.filter = func(m raft.Message) bool { return loses[*raft.Propose](m) && !isElection(m) }
	ticks := 0
	for g.outcome["a"] == "" && ticks < 1000 {
		g.tick(2)
		ticks++
	}
	g.want("a", ErrUnknown.Error(), 0)
	if want := forwardTimeouts * g.replicas[2].core.ElectionTimeoutTicks(); ticks != want {
		t.Errorf("after %d ticks, want %d", ticks, want)
	}
	if len(g.sent) != forwardTimeouts*sendsPerTimeout {
		t.Errorf("it was sent %d times, want %d", len(g.sent), forwardTimeouts*sendsPerTimeout)
	}
	if f := &g.replicas[2].forwards; f.bytes != 0 || len(f.list) != 0 {
		t.Errorf("%d bytes of %d operations wait", f.bytes, len(f.list))
	}
}

// The entry is executed before the answer comes: it has the name of the operation.
func TestForwardAnsweredLate(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.ProposeReply]
	g.forward(2, "a")
	g.settle(1)
	g.filter = nil
	g.want("a", "executed", 1)
	g.deliver(last[*raft.ProposeReply](g))
	g.want("a", "executed", 1)
}

// A leader that is gone answers nothing. When the next one has committed an entry it is
// certain what became of the operation, whether it had got through or not.
func TestForwardToALeaderThatIsGone(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		g := newGroup(t)
		g.elect(1)
		g.filter = func(m raft.Message) bool {
			_, is := m.(*raft.Propose)
			return is && arrived // and what follows from it is lost
		}
		g.forward(2, "a")
		g.filter = nil
		if out, ok := g.outcome["a"]; ok {
			t.Fatalf("it ends early: %s", out)
		}
		g.depose(1, 3, true)
		g.settle(3)
		g.want("a", "not the leader; the leader is n3", 0)
	}
}

// A snapshot that takes the place of entries hides what became of an operation.
func TestForwardUnderASnapshot(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.Propose]
	g.forward(2, "a")
	r := g.replicas[2]
	r.onRestore(raft.SnapshotMeta{Index: 100, Term: r.core.Term() - 1})
	if len(r.forwards.list) != 1 {
		t.Fatal("a snapshot of an earlier term cannot hold it")
	}
	r.onRestore(raft.SnapshotMeta{Index: 200, Term: r.core.Term()})
	if len(r.forwards.list) != 0 || len(r.completions) != 1 || r.completions[0].Err != ErrUnknown {
		t.Errorf("%d wait, and %v", len(r.forwards.list), r.completions)
	}
}

func TestNamesOfForwardedOperations(t *testing.T) {
	name := proposalName{1<<64 - 1, 1<<64 - 2}
	e := raft.Entry{Kind: raft.EntryForwarded, Data: appendName(name, []byte("op"))}
	if len(e.Data) > len("op")+maxNameBytes {
		t.Errorf("a name takes %d bytes", len(e.Data)-2)
	}
	if got, op, ok := cutName(e); !ok || got != name || string(op) != "op" {
		t.Errorf("got %v, %q, %t", got, op, ok)
	}
	for cut := range len(e.Data) - 2 {
		if _, _, ok := cutName(raft.Entry{Kind: e.Kind, Data: e.Data[:cut]}); ok {
			t.Errorf("%d bytes are a name", cut)
		}
	}
	if _, ok := Operation(raft.Entry{Kind: raft.EntryNoop}); ok {
		t.Error("a no-op is an operation")
	}
}

// The entry lost its place to one of another leader: certainly not executed, whether the
// answer comes before the other entry or after it, and whether the other is in its place or
// before it.
func TestForwardedEntryIsReplaced(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, before := range []int{0, 2} {
			g := newGroup(t)
			g.elect(1)
			g.filter = func(m raft.Message) bool { // only the answer comes through
				reply, is := m.(*raft.ProposeReply)
				return m.Head().From == 2 || is && reply.To == 2 && !late
			}
			for i := range before {
				op := fmt.Sprint(i)
				g.turn(1, Events[string]{Submits: []Submission[string]{{Data: []byte(op), Waiter: op}}})
			}
			g.forward(2, "a")
			reply := last[*raft.ProposeReply](g)
			g.filter = nil
			g.depose(1, 3, true)
			if late {
				g.settle(3)
				g.deliver(reply)
			}
			g.want("a", "not the leader; the leader is n3", 0)
		}
	}
}

// Answers that come out of order give each its own result.
func TestForwardsAnsweredOutOfOrder(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = func(m raft.Message) bool { return m.Head().From == 2 || m.Head().To == 3 }
	for _, op := range []string{"a", "b", "c", "d"} {
		g.forward(2, op)
	}
	var replies []raft.Message
	for _, m := range g.sent {
		if m.Kind() == raft.KindProposeReply {
			replies = append(replies, m)
		}
	}
	for _, i := range []int{2, 0, 3, 1} {
		g.deliver(replies[i])
	}
	g.filter = nil
	g.settle(1)
	for _, op := range []string{"a", "b", "c", "d"} {
		g.want(op, "executed", 1)
	}
	if f := &g.replicas[2].forwards; f.bytes != 0 || len(f.list) != 0 {
		t.Errorf("%d bytes of %d operations wait", f.bytes, len(f.list))
	}
}

// One that leads no more is not named as the leader, though its followers still trust it.
func TestForwardToOneWhoSteppedDown(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = func(raft.Message) bool { return false }
	for g.replicas[1].core.Role() == raft.Leader {
		g.tick(1)
	}
	g.filter = nil
	g.forward(2, "a")
	g.want("a", "not the leader; no leader is known", 0)
}

// One that was deposed tells truly what it has done in its term, and refuses all else.
func TestForwardToOneWhoWasDeposed(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.ProposeReply]
	g.forward(2, "a")
	g.filter = loses[*raft.Propose]
	g.forward(2, "b")
	first, second := *g.sent[0].(*raft.Propose), *last[*raft.Propose](g)
	g.filter = nil
	g.depose(1, 3, false)
	g.sent = nil
	g.deliver(&first)
	if m := last[*raft.ProposeReply](g); m == nil || m.Refusal != raft.NotRefused {
		t.Errorf("of what it has proposed it says %v", m)
	}
	g.deliver(&second)
	if m := last[*raft.ProposeReply](g); m == nil || m.Refusal != raft.RefusedNotLeader {
		t.Errorf("of what it has not proposed it says %v", m)
	}
	g.want("b", "not the leader; the leader is n3", 0)
	// In another life it knows nothing.
	g.replicas[1].proposals = proposals{}
	g.sent = nil
	g.deliver(&second)
	if len(g.sent) > 0 {
		t.Errorf("after a restart it says %v", g.sent)
	}
}

// A refusal is remembered: a copy that comes when there is room is not proposed.
func TestForwardRefused(t *testing.T) {
	for outcome, hinder := range map[string]func(r *Replica[string]){
		"not the leader; no leader is known": func(r *Replica[string]) { _ = r.core.TransferLeadership(2) },
		ErrAlarm.Error():                     func(r *Replica[string]) { r.comparison.alarm = true },
	} {
		g := newGroup(t)
		g.elect(1)
		g.filter = loses[*raft.TimeoutNow]
		hinder(g.replicas[1])
		g.forward(2, "a")
		g.want("a", outcome, 0)
		g.replicas[1].comparison.alarm = false
		for range 2 * g.replicas[1].core.ElectionTimeoutTicks() { // a transfer is given up
			g.tick(1)
		}
		g.forward(2, "b")
		g.settle(1)
		g.want("b", "executed", 1)
		g.deliver(g.sent[0])
		g.settle(1)
		g.want("a", outcome, 0)
	}
	g := newGroup(t)
	g.elect(1)
	g.filter = func(m raft.Message) bool { _, is := m.(*raft.AppendEntries); return !is }
	for i := range 3 { // more than MaxPendingBytes, which nobody acknowledges
		op := fmt.Sprint(i)
		g.turn(2, Events[string]{Submits: []Submission[string]{{Data: make([]byte, 1<<19), Waiter: op, Forward: true}}})
	}
	g.want("2", ErrBusy.Error(), 0)
	large := make([]byte, 9<<20) // above the default of raft.Config.MaxEntryBytes
	g.turn(2, Events[string]{Submits: []Submission[string]{{Data: large, Waiter: "large", Forward: true}}})
	g.want("large", ErrTooLarge.Error(), 0)
}

// Answers count only from whom was asked, and of the term that was meant.
func TestForwardAnswersOfOthers(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.Propose]
	g.forward(2, "a")
	m := last[*raft.Propose](g)
	for _, reply := range []raft.ProposeReply{
		{Header: raft.Header{From: 3, To: 2, Term: m.Term}, ID: m.ID, Refusal: raft.RefusedBusy},
		{Header: raft.Header{From: 1, To: 2, Term: m.Term + 1}, ID: m.ID, Refusal: raft.RefusedBusy},
		{Header: raft.Header{From: 1, To: 2, Term: m.Term}, ID: m.ID + 1, Refusal: raft.RefusedBusy},
		{Header: raft.Header{From: 1, To: 2, Term: m.Term}, ID: m.ID - 1, Refusal: raft.RefusedBusy},
	} {
		g.deliver(&reply)
	}
	if out, ok := g.outcome["a"]; ok {
		t.Errorf("it ends with %s", out)
	}
	g.deliver(&raft.ProposeReply{Header: raft.Header{From: 1, To: 2, Term: m.Term}, ID: m.ID, Refusal: 99})
	g.want("a", ErrUnknown.Error(), 0)
}

// A Propose may be forgotten that came before the older generation began: it carries the
// round of that moment at most.
func TestOldestRound(t *testing.T) {
	p := proposals{recent: map[proposalName]proposalAnswer{{2, 1}: {}}, recentSince: 3}
	p.begin(5)
	if p.mayBeForgotten(&raft.Propose{}) {
		t.Error("nothing is forgotten yet")
	}
	p.begin(9)
	for round, want := range map[raft.Round]bool{4: true, 5: true, 6: false} {
		if got := p.mayBeForgotten(&raft.Propose{Round: round}); got != want {
			t.Errorf("of round %d: %t", round, got)
		}
	}
}

// Lives of one node do not take each other's answers, nor are their names confused.
func TestForwardsOfTwoLives(t *testing.T) {
	first := map[raft.ProposalID]bool{}
	for seed := range uint64(10) {
		cfg := raft.Config{ID: 1, Rand: rand.New(rand.NewPCG(seed, 1))}
		r, err := NewReplica[string](cfg, raft.State{Snapshot: raft.SnapshotMeta{Configuration: raft.NewConfiguration(1)}}, SnapshotPolicy{MaxRaftState: -1}, 0)
		if err != nil {
			t.Fatal(err)
		}
		first[r.forwards.nextID] = true
	}
	if len(first) != 10 {
		t.Errorf("ten lives begin with %d names", len(first))
	}
}

// TestForwardsAreBounded: in number and bytes, on both sides.
func TestForwardsAreBounded(t *testing.T) {
	g := newGroup(t)
	g.elect(1)
	g.filter = loses[*raft.Propose]
	r := g.replicas[2]
	busy := func(data []byte, n int) (refused int) {
		e := r.Turn(Events[string]{Submits: slices.Repeat([]Submission[string]{{Data: data, Forward: true}}, n)}, g.now)
		for _, c := range e.Completions {
			if !errors.Is(c.Err, ErrBusy) {
				t.Fatal(c.Err)
			}
			refused++
		}
		return refused
	}
	if n := busy(make([]byte, 1<<20), 100); n != 100-maxForwardBytes>>20 {
		t.Errorf("%d MiB of 100 are refused", n)
	}
	r.forwards.drain()
	if n := busy(nil, maxForwards+10); n != 10 {
		t.Errorf("%d of %d are refused", n, maxForwards+10)
	}

	leader := g.replicas[1]
	leader.comparison.alarm = true // or its log would grow
	ask := func(id int) int {
		m := &raft.Propose{Header: raft.Header{From: 2, To: 1, Term: leader.core.Term()}, ID: raft.ProposalID(id), Round: leader.core.Round()}
		return len(leader.Turn(Events[string]{Messages: []raft.Message{m}}, g.now).Messages)
	}
	g.settle(1)
	for id := range 2*maxProposals + 1 { // there was one new round, so there are two generations
		if answered := ask(id) > 0; answered != (id < 2*maxProposals) {
			t.Fatalf("answer to %d: %t", id, answered)
		}
	}
	g.settle(1)
	if ask(3*maxProposals) == 0 {
		t.Error("a new generation takes none")
	}
	if p := &leader.proposals; len(p.recent) != 1 || len(p.older) != maxProposals {
		t.Errorf("%d and %d names", len(p.recent), len(p.older))
	}
}
