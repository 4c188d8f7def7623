package sim

import (
	"strings"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/history"
	"balsa.example/internal/roster"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// quiet is a world of three nodes in which nothing goes wrong, after a while.
func quiet(t *testing.T) *world {
	t.Helper()
	w := newWorld(Options{Seed: 7, Faults: []Fault{}, Disk: ModelledDisk, Edit: func(m *Mix) {
		m.Voters, m.Learners, m.Clients, m.Streams, m.Keys, m.Snapshots.MaxRaftState = 3, 0, 3, 1, 3, -1
		m.Reads = 0.4
		m.Think, m.Distance, m.Latency, m.DiskWrite, m.Apply = 50*time.Millisecond, 0, time.Millisecond, time.Millisecond, 0
	}})
	for _, n := range w.nodes {
		n.start()
	}
	for _, c := range w.clients {
		c.next()
	}
	w.runUntil(5*time.Second, nil)
	w.closing = true
	w.runUntil(8*time.Second, nil)
	if !w.check.converged() {
		t.Fatalf("not at rest: %s", w.describe())
	}
	return w
}

// violations break each invariant once.
var violations = []struct {
	invariant string
	breakIt   func(w *world, leader, follower *node)
}{
	{"hard state", func(w *world, l, _ *node) {
		w.check.hardState(l, w.check.view(l), &raft.Status{Term: 0})
	}},
	{"hard state", func(w *world, l, f *node) {
		v := w.check.view(l)
		w.check.hardState(l, v, &raft.Status{Term: v.hard.Term, Vote: f.id})
	}},
	{"log order", func(w *world, l, _ *node) {
		last := w.check.view(l).last()
		w.check.persisting(l, w.check.view(l), &raft.Persist{Entries: []raft.Entry{{Index: last + 2, Term: 9}}})
	}},
	{"log order", func(w *world, _, f *node) {
		v := w.check.view(f)
		w.check.persisting(f, v, &raft.Persist{Entries: []raft.Entry{{Index: v.commit, Term: 9}}})
	}},
	{"leader append-only", func(w *world, l, _ *node) {
		v := w.check.view(l)
		v.commit--
		w.check.persisting(l, v, &raft.Persist{Entries: []raft.Entry{{Index: v.last(), Term: 9}}})
	}},
	{"log matching", func(w *world, l, _ *node) {
		e := w.check.committed[5].entry
		e.Data = []byte("something else")
		w.check.logMatching(l, []raft.Entry{e})
	}},
	{"log matching", func(w *world, _, f *node) {
		v := w.check.view(f)
		v.log[4].Term = 77
		w.check.logMatching(f, []raft.Entry{w.check.committed[5].entry})
	}},
	{"election safety", func(w *world, l, f *node) {
		w.check.elected(f, w.check.view(f), w.check.view(l).hard.Term)
	}},
	{"leader completeness", func(w *world, _, f *node) {
		v := w.check.view(f)
		v.log = v.log[:len(v.log)-1]
		w.check.elected(f, v, 99)
	}},
	{"commit monotonic", func(w *world, _, f *node) {
		w.check.commitIndex(f, w.check.view(f), &raft.Status{Commit: 1})
	}},
	{"commit", func(w *world, _, f *node) {
		w.check.commitIndex(f, w.check.view(f), &raft.Status{Commit: w.check.lastCommitted() + 1})
	}},
	{"state machine safety", func(w *world, _, f *node) {
		v := w.check.view(f)
		v.commit -= 2
		v.log[len(v.log)-1].Term++
		w.check.commitIndex(f, v, &raft.Status{Commit: v.commit + 2})
	}},
	{"figure 8", func(w *world, l, _ *node) {
		commitOneMore(w, l, l.disk.hard.Term+1)
	}},
	{"durability", func(w *world, l, _ *node) {
		commitOneMore(w, l, w.check.view(l).hard.Term)
	}},
	{"promise", func(w *world, l, f *node) {
		w.check.promise(l, w.check.view(l), &raft.AppendEntries{Header: raft.Header{From: l.id, To: f.id, Term: 99}})
	}},
	{"promise", func(w *world, l, f *node) {
		v := w.check.view(f)
		f.disk.entries = f.disk.entries[:3]
		w.check.promise(f, v, &raft.AppendEntriesReply{Header: raft.Header{From: f.id, To: l.id, Term: v.hard.Term}, Match: v.last()})
	}},
	{"promise", func(w *world, l, f *node) {
		h := raft.Header{From: f.id, To: f.id, Term: f.disk.hard.Term}
		delete(w.check.votes, ballot{f.id, h.Term})
		w.check.promise(f, w.check.view(f), &raft.RequestVoteReply{Header: h, Granted: true})
	}},
	{"one vote", func(w *world, l, f *node) {
		m := &raft.RequestVoteReply{Header: raft.Header{From: f.id, To: f.id, Term: 0}, Granted: true}
		w.check.votes[ballot{f.id, 0}] = l.id
		w.check.promise(f, w.check.view(f), m)
	}},
	{"apply", func(w *world, _, f *node) {
		w.check.applied(f, raft.Entry{Index: w.check.lastCommitted() + 1}, state.Result{})
	}},
	{"state machine safety", func(w *world, _, f *node) {
		e := w.check.committed[3].entry
		e.Term++
		w.check.applied(f, e, state.Result{})
	}},
	{"equal results", func(w *world, _, f *node) {
		c := w.check.committed[len(w.check.committed)-1]
		c.result.Version++
		w.check.applied(f, c.entry, c.result)
	}},
	{"equal states", func(w *world, _, f *node) {
		c := w.check.committed[len(w.check.committed)-1]
		f.machine.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: "x", Unconditional: true}})
		w.check.applied(f, c.entry, c.result)
	}},
	{"equal states", func(w *world, _, f *node) {
		w.check.restored(f, raft.SnapshotMeta{Index: 3, Term: w.check.committed[2].entry.Term, Configuration: w.conf()})
	}},
	{"state machine safety", func(w *world, _, f *node) {
		w.check.restored(f, raft.SnapshotMeta{Index: 3, Term: 99, Configuration: w.conf()})
	}},
	{"stale read", func(w *world, _, f *node) {
		w.check.ended(f, &waiter{read: true, floor: w.check.lastCommitted()}, nil)
		w.check.ended(f, &waiter{read: true, floor: w.check.lastCommitted() + 1}, nil)
	}},
	{"leases overlap", func(w *world, l, _ *node) {
		w.check.leaderTerm++
		w.check.ended(l, &waiter{read: true, mode: raft.ReadByLease, asked: w.events}, nil)
	}},
	{"waiters", func(w *world, l, _ *node) {
		x := &waiter{read: true, done: func(state.Result, error) {}}
		l.await(x)
		l.end(x, state.Result{}, nil)
		l.end(x, state.Result{}, nil)
	}},
	{"executed twice", func(w *world, _, _ *node) { executeAgain(w, false) }},
	{"refused but executed", func(w *world, _, _ *node) { executeAgain(w, true) }},
	{"content", func(w *world, _, f *node) {
		f.machine.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: "x", Unconditional: true}})
		w.check.content(f)
	}},
	{"log time", func(w *world, _, _ *node) { w.check.stamped(5, 6+int64(w.mix.ElectionTimeout)) }},
	{"log time", func(w *world, _, _ *node) { w.check.stamped(3*int64(w.now), 3*int64(w.now)+1) }},
	{"lease", func(w *world, _, _ *node) {
		w.check.leaseLives.lives[5] = &history.Lease{
			ID: 5, TTL: 1e9, Kept: []history.Interval{{Called: 100, Returned: 200}}, Gone: []history.Interval{{Called: 300, Returned: 300}},
		}
		w.check.leases()
	}},
	{"watch", func(w *world, _, f *node) {
		v := &viewer{w: w, next: w.check.truth.Revision() + 1}
		v.begin(2) // of which it was told nothing
		w.viewers = []*viewer{v}
		f.watch.hub = watch.New(nil, 1, 0, watchLimits, nil)
		w.viewersSeeAll()
	}},
	{"result of another entry", func(w *world, _, f *node) {
		c := w.check.committed[len(w.check.committed)-1].entry
		w.check.executed(f, &waiter{data: []byte("another")}, rsm.EntryID{Index: c.Index, Term: c.Term})
	}},
	{"refused but executed", func(w *world, l, _ *node) {
		w.check.logged["x"] = true
		w.check.ended(l, &waiter{data: []byte("x"), unique: true}, rsm.ErrWrongLeader)
	}},
	{"configuration", func(w *world, l, _ *node) {
		v := w.check.view(l)
		v.confs = append(v.confs, confAt{v.last(), raft.NewConfiguration(l.id)})
		w.check.configurations(l, v, statusOf(l))
	}},
	{"configuration", func(w *world, _, f *node) {
		v := w.check.view(f)
		v.confs[0].conf = raft.NewConfiguration(f.id)
		v.confs = append(v.confs, confAt{v.last() + 1, w.conf()})
		w.check.configurations(f, v, statusOf(f))
	}},
	{"configuration", func(w *world, _, f *node) {
		w.check.snapshotConf(f, raft.SnapshotMeta{Index: 3, Configuration: raft.NewConfiguration(f.id)})
	}},
	{"one change at a time", func(w *world, l, _ *node) {
		propose(w, l, w.check.lastCommitted()+1, w.conf(), w.conf())
	}},
	{"change before the own term", func(w *world, l, _ *node) {
		w.check.view(l).hard.Term++
		propose(w, l, 1, w.conf(), w.conf())
	}},
	{"quorums intersect", func(w *world, l, f *node) {
		propose(w, l, 1, w.conf(), raft.NewConfiguration(f.id))
	}},
	{"election safety", func(w *world, _, f *node) {
		w.check.electedBy(f, w.check.view(f), 99)
	}},
	{"election safety", func(w *world, _, f *node) {
		w.check.votes[ballot{f.id, 99}] = f.id
		w.check.view(f).confs = []confAt{{0, raft.NewConfiguration(f.id%3 + 1)}}
		w.check.electedBy(f, w.check.view(f), 99)
	}},
	{"lease without a majority", func(w *world, l, _ *node) {
		clear(w.check.leaseGrants.until)
		w.check.leaseGrants.lease(l, w.check.view(l).hard.Term, rsm.Lease{Until: l.now() + 1})
	}},
	{"pre-vote", func(w *world, l, f *node) {
		w.check.preVotes.turned(f, true)
		w.check.promise(f, w.check.view(f), &raft.PreVoteReply{Header: raft.Header{From: f.id, To: f.id, Term: 0}, Granted: true})
	}},
	{"removed", func(_ *world, _, f *node) { f.leave() }},
	{"removed members", func(w *world, _, f *node) {
		w.check.ousted[f.id] = ousted{w.check.view(f).last() + 1, w.now - time.Minute}
		w.check.promise(f, w.check.view(f), &raft.RequestVote{})
	}},
	{"change", func(w *world, l, _ *node) { w.check.changeMade(l, &waiter{change: 5}, w.conf()) }},
	{"refused but executed", func(w *world, l, _ *node) {
		c := w.conf()
		c.Context = contextOf(5, roster.Roster{})
		w.check.confs = append(w.check.confs, confAt{1, c})
		w.check.ended(l, &waiter{change: 5}, rsm.ErrWrongLeader)
	}},
	{"refused but executed", func(w *world, l, _ *node) {
		w.check.ended(l, &waiter{change: 5}, raft.ErrNotCaughtUp)
		c := w.conf()
		c.Context = contextOf(5, roster.Roster{})
		w.check.committedConf(raft.Entry{Kind: raft.EntryConfiguration, Data: raft.AppendConfiguration(nil, c)})
	}},
	{"admission", func(w *world, l, f *node) {
		f.incarnation[1]++
		w.check.rosterCommitted(w.conf())
	}},
	{"change not completed", func(w *world, l, _ *node) {
		v := w.check.view(l)
		v.confs = append(v.confs, confAt{v.last() + 1, w.conf()})
		w.membersSettle()
	}},
	{"witness drops", func(w *world, l, f *node) {
		f.disk.entries = f.disk.entries[:3]
		witnessTurns(w, l, raft.Follower, rsm.Effects[*waiter]{})
	}},
	{"witness serves", func(w *world, l, _ *node) {
		witnessTurns(w, l, raft.Leader, rsm.Effects[*waiter]{Lease: rsm.Lease{Until: 1}})
	}},
	{"witness serves", func(w *world, l, _ *node) {
		e := raft.Entry{Kind: raft.EntryForwarded, Term: w.check.view(l).hard.Term}
		witnessTurns(w, l, raft.Leader, rsm.Effects[*waiter]{DiskTask: rsm.DiskTask{Persist: &raft.Persist{Entries: []raft.Entry{e}}}})
	}},
	{"witness serves", func(w *world, _, f *node) {
		f.witness = true
		w.check.ended(f, &waiter{read: true}, nil)
	}},
	{"witness serves", func(w *world, l, f *node) {
		f.witness = true
		w.check.promise(l, w.check.view(l), &raft.TimeoutNow{Header: raft.Header{To: f.id}})
	}},
	{"log bound", func(w *world, l, _ *node) {
		v := w.check.view(l)
		v.applying = v.base
		w.mix.MaxWitness, w.mix.MaxPendingBytes = 10, 10
		witnessTurns(w, l, raft.Follower, rsm.Effects[*waiter]{DiskTask: rsm.DiskTask{Persist: &raft.Persist{Entries: v.log[len(v.log)-1:]}}})
	}},
	{"progress during faults", func(w *world, _, _ *node) {
		w.attention = newAttention(w)
		w.look()
		w.look()
		w.now += w.patience() + lookInterval
		w.look()
	}},
	{"refused but executed", func(w *world, l, _ *node) {
		r := someWrite(w)
		w.check.ended(l, &waiter{attempt: attempt{r, r.logged[0]}}, rsm.ErrWrongLeader)
	}},
}

// A checker that cannot fail proves nothing. Each case shows one of them a world in
// which its invariant is broken.
func TestInvariantsCanFail(t *testing.T) {
	for _, tt := range violations {
		t.Run(tt.invariant, func(t *testing.T) {
			w := quiet(t)
			leader := w.leader()
			follower := w.node(leader.id%3 + 1)
			expect(t, tt.invariant, func() { tt.breakIt(w, leader, follower) })
		})
	}
}

// witnessTurns lets a node be a witness, and checks a turn of it.
func witnessTurns(w *world, n *node, role raft.Role, e rsm.Effects[*waiter]) {
	n.witness, w.mix.Witnesses = true, 1
	v := w.check.view(n)
	w.check.witnessTurned(n, v, &e, &raft.Status{Role: role, Term: v.hard.Term, Commit: v.commit})
}

// propose lets a leader append a configuration behind one at an index.
func propose(w *world, l *node, at raft.Index, was, is raft.Configuration) {
	v := w.check.view(l)
	v.confs = append(v.confs, confAt{at, was}, confAt{v.last() + 1, is})
	w.check.proposed(l, v, len(v.confs)-1)
}

func (k *checker) view(n *node) *view { return &k.views[n.id] }

// expect demands that f breaks an invariant.
func expect(t *testing.T, invariant string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		v, ok := recover().(*Violation)
		if !ok || v.Invariant != invariant {
			t.Errorf("got %v, want a violation of %s", v, invariant)
		}
	}()
	f()
}

// commitOneMore lets a leader commit an entry that only it has, and not on disk.
func commitOneMore(w *world, l *node, in raft.Term) {
	v := w.check.view(l)
	v.log = append(v.log, raft.Entry{Index: v.last() + 1, Term: v.hard.Term})
	w.check.commitIndex(l, v, &raft.Status{Commit: v.last(), Term: in, Role: raft.Leader})
}

// someWrite is one whose result was read.
func someWrite(w *world) *record {
	read := map[uint64]bool{}
	for _, r := range w.records {
		if !r.write() && r.seen() {
			read[r.reply.GetModRevision()] = true
		}
	}
	for _, r := range w.records {
		if r.write() && len(r.executed) == 1 && r.verdict == clerk.Answered && read[r.reply.Revision] && r.req.Kind == api.Request_PUT {
			return r
		}
	}
	panic("no write")
}

// executeAgain has an attempt committed a second time, or one that was refused.
func executeAgain(w *world, refused bool) {
	r := someWrite(w)
	e := r.executed[0]
	data, _ := rsm.Operation(w.check.committed[e.index-1].entry)
	c, err := state.Codec{}.Decode(data)
	if err != nil {
		panic(err)
	}
	if refused {
		r.refused, r.logged = r.logged, nil
	}
	w.check.execute(c.Op, e.index, e.result)
}

// TestHistoryChecksCanFail changes what clients saw.
func TestHistoryChecksCanFail(t *testing.T) {
	aRead := func(w *world) *record {
		for i := len(w.records) - 1; i >= 0; i-- {
			if r := w.records[i]; !r.write() && r.reply.GetCode() == api.Reply_OK && r.reply.Version > 1 && r.key[0] == 'p' && r.seen() {
				return r
			}
		}
		panic("no read")
	}
	tests := []struct {
		name    string
		breakIt func(w *world)
		want    []string // all of them, in the order of the checks
	}{
		{"a write that never was", func(w *world) { r := someWrite(w); r.executed = nil }, []string{"acknowledged but lost"}},
		{"a refusal without a quota", func(w *world) { r := someWrite(w); r.executed, r.reply.Code = nil, api.Reply_QUOTA }, []string{"wrong answer", "", ""}},
		{"a write twice", func(w *world) { r := someWrite(w); r.executed = append(r.executed, r.executed[0]) }, []string{"executed twice"}},
		{"a dropped write", func(w *world) { someWrite(w).verdict = clerk.Dropped }, []string{"dropped but executed"}},
		{"a wrong version", func(w *world) { someWrite(w).reply.Version++ }, []string{"wrong answer", "order of revisions", "linearizability"}},
		{"a read of an older version", func(w *world) { aRead(w).reply.Version-- }, []string{"", "order of revisions", "linearizability"}},
		{"a read of another's value", func(w *world) {
			r := aRead(w)
			r.reply = &api.Reply{
				Value: append([]byte{200}, r.reply.Value[1:]...), Version: r.reply.Version,
				ModRevision: r.reply.ModRevision, Revision: r.reply.Revision,
			}
		}, []string{"", "order of revisions", "linearizability"}},
		{"a read that saw nothing", func(w *world) {
			r := aRead(w)
			r.reply = &api.Reply{Code: api.Reply_NO_KEY, Revision: r.reply.Revision}
		}, []string{"", "order of revisions", "linearizability"}},
		{"a read of what had gone before it began", func(w *world) {
			for _, r := range w.records {
				if !r.write() && r.reply.GetCode() == api.Reply_OK && r.seen() {
					r.called, r.returned = w.now-2, w.now-1
					return
				}
			}
		}, []string{"", "order of revisions", "linearizability"}},
		{"a write that ended before it began", func(w *world) {
			r := someWrite(w)
			r.called, r.returned = 0, 0
			last := w.records[len(w.records)-1]
			last.called, last.returned = 0, 0
		}, []string{"wrong answer", "order of revisions", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, want := range tt.want {
				w := quiet(t)
				tt.breakIt(w)
				check := []func(){
					func() {
						for _, r := range w.records {
							if r.write() {
								w.check.verdict(r)
							}
						}
					},
					w.check.replay, w.check.linearizable,
				}[i]
				if want == "" {
					continue // not what this check is about
				}
				expect(t, want, check)
			}
		})
	}
}

// TestEmptyRunsAreNoProof: totals in which something never happened are refused.
func TestEmptyRunsAreNoProof(t *testing.T) {
	problems := strings.Join((&Totals{Seeds: 10}).Empty(), "\n")
	for _, want := range []string{"no power-loss", "0 elections", "0 operations done", "0 lease reads"} {
		if !strings.Contains(problems, want) {
			t.Errorf("nothing says %q in:\n%s", want, problems)
		}
	}
	unknown := &Totals{Outcomes: Outcomes{Done: 80, Maybe: 20}}
	if problems := strings.Join(unknown.Empty(), "\n"); !strings.Contains(problems, "unknown outcome") {
		t.Errorf("nothing is said of 20 %% unknown outcomes:\n%s", problems)
	}
}

func statusOf(n *node) *raft.Status {
	s := n.replica.OwnStatus()
	return &s.Status
}
