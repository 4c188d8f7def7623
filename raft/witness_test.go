package raft

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// newWitness returns the witness 3 of the voters 1, 2 and 3.
func newWitness(t *testing.T, maxBytes int) *Raft {
	t.Helper()
	cfg := Config{ID: 3, Rand: rand.New(rand.NewPCG(1, 3)), Witness: true, MaxWitnessBytes: maxBytes, MaxPendingBytes: 100}
	r, err := New(cfg, State{Snapshot: SnapshotMeta{Configuration: withWitness(NewConfiguration(1, 2, 3), 3)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func withWitness(c Configuration, ids ...NodeID) Configuration {
	c.Witnesses = ids
	return c
}

// sendEntries sends r entries of leader 1 in term 1, all of them committed.
func sendEntries(t *testing.T, r *Raft, entries ...Entry) (executed []Entry) {
	t.Helper()
	prev := r.log.last()
	for i := range entries {
		entries[i].Term, entries[i].Index = 1, prev+1+Index(i)
	}
	term, _ := r.log.term(prev)
	step(t, r, &AppendEntries{
		Header: Header{From: 1, To: r.id, Term: 1}, PrevIndex: prev, PrevTerm: term, Entries: entries, Commit: prev + Index(len(entries)), Round: r.Round() + 1,
	})
	return executedBy(r)
}

func executedBy(r *Raft) (executed []Entry) {
	for {
		e := r.Effects()
		if e.Empty() {
			return executed
		}
		if e.Persist != nil {
			r.Persisted(e.Persist.Seq)
		}
		if n := len(e.Committed); n > 0 {
			r.Applied(e.Committed[n-1].Index)
		}
		executed = append(executed, e.Committed...)
	}
}

func command(bytes int) Entry { return Entry{Kind: EntryCommand, Data: make([]byte, bytes)} }

// A witness gets to execute, which is to drop, what every full voter has; committed is not enough.
func TestWitnessKeepsWhatAFullVoterLacks(t *testing.T) {
	r := newWitness(t, 0)
	if got := sendEntries(t, r, command(1), command(1), command(1)); len(got) > 0 || r.commit != 3 {
		t.Fatalf("committed %d, it executes %v", r.commit, got)
	}
	step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: 2})
	if got := executedBy(r); len(got) != 2 {
		t.Errorf("released up to 2, it executes %v", got)
	}
	step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: 1}) // a late one
	step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: 99})
	if got := executedBy(r); len(got) != 1 || r.applied != r.commit {
		t.Errorf("released beyond the commit index, it executes %v", got)
	}
}

// It takes operations up to its bound and a little more, and whatever is none.
func TestWitnessHasABound(t *testing.T) {
	r := newWitness(t, 1000)
	full := func() (full bool) {
		t.Helper()
		step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: 0})
		for _, m := range r.Effects().Messages {
			if reply, ok := m.(*ReleaseReply); ok {
				full = reply.Full
			}
		}
		return full
	}
	for range 100 {
		was := r.tailBytes()
		sendEntries(t, r, command(26))
		if full() != (r.tailBytes() > 1000) {
			t.Fatalf("with %d bytes it says that it is full: %t", r.tailBytes(), full())
		}
		if r.tailBytes() == was {
			break
		}
	}
	if n := r.tailBytes(); n <= 1050 || n > 1100 {
		t.Errorf("it has taken %d bytes", n)
	}
	last := r.log.last()
	sendEntries(t, r, Entry{Kind: EntryNoop})
	sendEntries(t, r, Entry{Kind: EntryConfiguration, Data: AppendConfiguration(nil, r.configuration().toward(withWitness(NewConfiguration(1, 3), 3)))})
	if r.log.last() != last+2 {
		t.Errorf("its log ends at %d, want %d", r.log.last(), last+2)
	}
	step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: last})
	executedBy(r)
	if sendEntries(t, r, command(26)); full() || r.log.last() != last+3 {
		t.Errorf("with room again its log ends at %d", r.log.last())
	}
	step(t, r, &Release{Header: Header{From: 1, To: 3, Term: 1}, Index: last + 3})
	executedBy(r)
	if sendEntries(t, r, command(2000)); r.log.last() != last+4 {
		t.Errorf("with nothing to keep it refuses a large entry: its log ends at %d", r.log.last())
	}
}

// A bound that is to be none is none.
func TestWitnessWithoutABoundTakesAll(t *testing.T) {
	r := newWitness(t, math.MaxInt)
	for i := range Index(3) {
		if sendEntries(t, r, command(1000)); r.log.last() != i+1 {
			t.Fatalf("%d entries of %d are taken", r.log.last(), i+1)
		}
	}
}

// All are started again while the witness is full. The new leader has entries of the term before, which the
// witness lacks, in front of its first one. Without them nothing would ever be committed again, although
// nobody is missing: not even the change that removes the voter which had been away.
func TestAFullWitnessTakesWhatANewTermNeeds(t *testing.T) {
	old := newWitness(t, 1000)
	for range 100 {
		sendEntries(t, old, command(26))
	}
	s := State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Configuration: old.configuration()}, Entries: old.log.slice(1, old.log.last())}
	cfg := old.cfg
	cfg.Rand = rand.New(rand.NewPCG(1, 4))
	r, err := New(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	round := Round(0)
	send := func(term Term, entries ...Entry) (match Index) {
		t.Helper()
		prev := r.log.last()
		prevTerm, _ := r.log.term(prev)
		for i := range entries {
			entries[i].Term, entries[i].Index = term, prev+1+Index(i)
		}
		round++
		step(t, r, &AppendEntries{Header: Header{From: 1, To: 3, Term: 2}, PrevIndex: prev, PrevTerm: prevTerm, Entries: entries, Round: round})
		for e := r.Effects(); !e.Empty(); e = r.Effects() {
			if e.Persist != nil {
				r.Persisted(e.Persist.Seq)
			}
		}
		return r.log.last()
	}
	full := r.log.last()
	if send(1, command(26)) != full+1 || send(1, command(26)) != full+2 || send(2, Entry{Kind: EntryNoop}) != full+3 {
		t.Fatalf("its log ends at %d, and the first entry of the new term is at %d", r.log.last(), full+3)
	}
	if send(2, command(26)) != full+3 {
		t.Error("it takes an operation of the new term")
	}
}

// A witness that has to lead brings another voter up to date, and hands over. It takes nothing.
func TestWitnessLeadsOnlyToHandOver(t *testing.T) {
	r := newWitness(t, 0)
	sendEntries(t, r, command(1), command(1))
	elect(t, r)
	refused := func() {
		t.Helper()
		if _, err := r.Propose([]byte("x")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a proposal: %v", err)
		}
		if _, err := r.ProposeForwarded(2, []byte("x")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a forwarded proposal: %v", err)
		}
		if _, err := r.ProposeConfiguration(r.configuration()); err == nil {
			t.Error("it changes the members")
		}
		if _, err := r.ReadIndex(1, ReadByIndex); !errors.Is(err, ErrNoLeader) {
			t.Errorf("a read: %v", err)
		}
		step(t, r, &ReadIndex{Header: Header{From: 2, To: 3, Term: r.term}, ID: 7})
		if r.Lease() > 0 || len(r.leader.reads)+len(r.leader.deferredReads) > 0 {
			t.Errorf("lease until %d, reads %v", r.Lease(), r.leader.reads)
		}
	}
	refused()
	r.cfg.LeaseDuration = 1e9
	settle(r)
	ack(t, r, 2)
	r.peer(2).leaseUntil = 1 << 60
	if r.commit != r.log.last() || r.Transferring() != 2 {
		t.Errorf("committed %d of %d, it hands over to %s", r.commit, r.log.last(), r.Transferring())
	}
	r.leader.transfer.timeoutNowSent = false
	r.peer(2).leaseUntil = 1 << 60
	refused()
	for range 2 * r.cfg.ElectionTimeoutTicks { // nobody takes over
		r.Tick(0)
		settle(r)
		if r.Role() == Leader {
			ack(t, r, 2)
		}
	}
	if r.Role() == Leader {
		t.Error("it leads on after a transfer that failed")
	}
}

// A leader releases what all full voters have on disk and is committed, itself included, as far as
// it trusts them.
func TestLeaderReleasesWhatIsEverywhere(t *testing.T) {
	r := lead(t, withWitness(NewConfiguration(1, 2, 3), 3))
	released := func() (index Index) {
		r.Tick(0)
		for _, m := range settle(r) {
			if release, ok := m.(*Release); ok {
				if release.To != 3 {
					t.Errorf("%s is no witness", release.To)
				}
				index = release.Index
			}
		}
		return index
	}
	for range 3 {
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	settle(r)
	for _, c := range []struct {
		id    NodeID
		match Index
		want  Index
	}{{3, 4, 1}, {2, 2, 2}, {2, 3, 3}} {
		if ackAt(t, r, c.id, c.match); released() != c.want {
			t.Errorf("after %s has %d, committed %d, released is %d, want %d", c.id, c.match, r.commit, released(), c.want)
		}
	}
	r.suspect(r.peer(2))
	ackAt(t, r, 2, 3)
	r.peer(2).suspectedRound, r.peer(2).match = 1<<40, 4
	if got := released(); got != 3 {
		t.Errorf("released is %d by a member that may have lost its log", got)
	}
}

// A full voter that is about to leave counts until that is committed: its leaving may be taken back.
func TestWhoLeavesCountsUntilThatIsCommitted(t *testing.T) {
	r := lead(t, withWitness(NewConfiguration(1, 2, 3), 3))
	has := r.peer(2).match
	change(t, r, withWitness(NewConfiguration(1, 3), 3))
	ack(t, r, 3)
	if r.configuration().Voters.IsJoint() || r.confs.latestIndex() <= r.commit {
		t.Fatalf("the leave is not under way: %s, committed %d", r.configuration(), r.commit)
	}
	r.release()
	if r.commit <= has || r.leader.everywhere > has {
		t.Errorf("released up to %d of %d, and 2 has %d", r.leader.everywhere, r.commit, has)
	}
	ack(t, r, 3)
	r.release()
	if r.leader.everywhere != r.commit || r.commit < r.confs.latestIndex() {
		t.Errorf("released up to %d of %d when 2 has left", r.leader.everywhere, r.commit)
	}
}

// What an earlier leader left may be replaced, even if all full voters have it, until it is committed.
func TestWhatIsNotCommittedIsNotReleased(t *testing.T) {
	conf := withWitness(NewConfiguration(1, 2, 3), 3)
	r := newCore(t, 1, 0, State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Configuration: conf}, Entries: []Entry{{Term: 1, Index: 1}, {Term: 1, Index: 2}}})
	elect(t, r)
	settle(r)
	ackAt(t, r, 2, 2)
	r.Tick(0)
	if settle(r); r.leader.everywhere > 0 || r.commit > 0 {
		t.Errorf("committed %d, released %d", r.commit, r.leader.everywhere)
	}
}

// A witness that lacks what the leader has compacted gets a position only where all full voters have
// what is before.
func TestWitnessGetsAPositionWhereNothingIsLost(t *testing.T) {
	two, three := withWitness(NewConfiguration(1, 2, 9), 9), withWitness(NewConfiguration(1, 2, 3, 9), 9)
	learner := withWitness(withLearners(NewConfiguration(1, 2, 3), 9), 9)
	replaced := withWitness(NewConfiguration(1, 3, 9), 9)
	const base = 50
	for _, c := range []struct {
		name       string
		conf       Configuration // committed at the base
		next       Configuration // behind it, and not committed
		everywhere Index
		matches    []NodeID // those that are known to have the base
		want       bool
	}{
		{name: "two full voters", conf: two, want: true},
		{name: "three full voters", conf: three, want: true},
		{name: "two witnesses", conf: withWitness(NewConfiguration(1, 2, 8, 9), 8, 9), want: true},
		{name: "four full voters", conf: withWitness(NewConfiguration(1, 2, 3, 4, 9), 9)},
		{name: "four full voters that have it", conf: withWitness(NewConfiguration(1, 2, 3, 4, 9), 9), everywhere: base, want: true},
		{name: "four full voters of which it knows that they have it", conf: withWitness(NewConfiguration(1, 2, 3, 4, 9), 9), matches: []NodeID{2, 3, 4}, want: true},
		{name: "a full voter is to be replaced, and the new one has it", conf: two, next: two.toward(replaced), matches: []NodeID{3}, want: true},
		{name: "a full voter is to be replaced", conf: two, next: two.toward(replaced)},
		{name: "a full voter is being replaced: the others may have left without it", conf: two.toward(replaced), matches: []NodeID{3}},
		{name: "a full voter is replaced by the witness", conf: NewConfiguration(1, 2, 3).toward(two)},
		{name: "it is a learner", conf: learner},
		{name: "it is a learner, and they have it", conf: learner, everywhere: base, want: true},
		{name: "it is a learner beside two that can do nothing alone", conf: withWitness(withLearners(NewConfiguration(1, 2), 9), 9), want: true},
		{name: "it is to vote", conf: learner, next: learner.toward(three)},
		{name: "it is to be removed, which may be taken back", conf: learner, next: NewConfiguration(1, 2, 3)},
		{name: "it is to be removed, and they have it", conf: learner, next: NewConfiguration(1, 2, 3), matches: []NodeID{2, 3}, want: true},
		{name: "it is to vote, and they have it", conf: learner, next: learner.toward(three), matches: []NodeID{2, 3}, want: true},
	} {
		s := State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Index: base, Term: 1, Configuration: c.conf}}
		if c.next.HasVoters() {
			s.Entries = []Entry{{Term: 1, Index: base + 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, c.next)}}
		}
		r := newCore(t, 1, 0, s)
		r.role = Leader
		r.updatePeers(r.confs)
		r.leader.everywhere = c.everywhere
		for _, id := range c.matches {
			r.peer(id).match = base
		}
		if got := r.maySendSnapshot(r.peer(9)); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
		if !r.maySendSnapshot(&progress{id: 2}) {
			t.Errorf("%s: no snapshot for a full voter", c.name)
		}
		if m, ok := r.WitnessPosition(9); !ok || m.Index != base || m.Term != 1 || !m.Configuration.Equal(c.conf) {
			t.Errorf("%s: the position is %v, %t", c.name, m, ok)
		}
		if _, ok := r.WitnessPosition(2); ok {
			t.Errorf("%s: 2 is no witness", c.name)
		}
		r.cfg.Witness = true
		if r.maySendSnapshot(&progress{id: 2}) {
			t.Errorf("%s: a witness has no snapshot", c.name)
		}
		if !r.maySendSnapshot(r.peer(9)) {
			t.Errorf("%s: a witness that leads has dropped only what all full voters have, and so may another", c.name)
		}
	}
}

// A witness that lags behind does not become a voter, where it would be waited for: one that has no
// room takes nothing, and one from before the log may have to wait for a full voter.
func TestWitnessThatLagsBehindDoesNotVote(t *testing.T) {
	r := lead(t, withWitness(withLearners(NewConfiguration(1, 2, 3), 4), 4))
	catchUpAll(t, r, 2, 3, 4)
	next := withWitness(NewConfiguration(1, 2, 3, 4), 4)
	p := r.peer(4)
	refused := func(why string) {
		t.Helper()
		if _, err := r.ProposeConfiguration(next); !errors.Is(err, ErrNotCaughtUp) {
			t.Errorf("%s: %v", why, err)
		}
	}
	p.witnessFull = true
	refused("it is full")
	p.witnessFull = false
	r.Compact(p.match)
	p.match--
	refused("it needs a position")
	p.match++
	change(t, r, next)
	ack(t, r, 2)
	ack(t, r, 3)
	// What is committed behind the base may be missing where the base is known to be.
	if m, ok := r.WitnessPosition(4); !ok || m.Index != r.log.base || m.Index >= r.commit {
		t.Errorf("its position is %s, the log begins behind %d, and %d is committed", m, r.log.base, r.commit)
	}
}

// No member becomes a witness or ceases to be one. In a joint phase the witnesses of both sets are
// known.
func TestWitnessesStayWhatTheyAre(t *testing.T) {
	r := lead(t, withLearners(withWitness(NewConfiguration(1, 2, 3), 3, 4), 4, 5))
	catchUpAll(t, r, 2, 3, 4, 5)
	for _, next := range []Configuration{
		withWitness(NewConfiguration(1, 2, 3)),
		withWitness(NewConfiguration(1, 2, 3), 2, 3),
		withWitness(withLearners(NewConfiguration(1, 2, 3), 5), 3, 5),
	} {
		if _, err := r.ProposeConfiguration(next); !errors.Is(err, ErrBadConfiguration) {
			t.Errorf("%s: %v", next, err)
		}
	}
	change(t, r, withWitness(NewConfiguration(1, 2, 4), 4))
	joint := r.configuration()
	if joint.Part(3) != Witness || joint.Part(4) != Witness || len(joint.fullVoters()) != 2 {
		t.Errorf("in the joint phase: %s", joint)
	}
	if left := joint.left(); left.String() != "[n1 n2 n4] witnesses[n4]" {
		t.Errorf("after it: %s", left)
	}
}

// A member that lacks what witnesses may have dropped does not become a full voter.
func TestNewFullVoterHasWhatWitnessesDropped(t *testing.T) {
	r := lead(t, withLearners(withWitness(NewConfiguration(1, 2, 3), 3), 4))
	catchUpAll(t, r, 2, 3, 4)
	next := withWitness(NewConfiguration(1, 4, 3), 3)
	p := r.peer(4)
	match := p.match
	p.match, r.leader.everywhere = match-1, match
	if _, err := r.ProposeConfiguration(next); !errors.Is(err, ErrNotCaughtUp) {
		t.Error(err)
	}
	p.match = match
	change(t, r, next)
}

// A leader refuses operations while it needs a witness that is full, and only then.
func TestLeaderRefusesWhatAFullWitnessWouldHaveToTake(t *testing.T) {
	r := lead(t, withWitness(NewConfiguration(1, 2, 3), 3))
	full := func(full bool) {
		step(t, r, &ReleaseReply{Header: Header{From: 3, To: 1, Term: r.term}, Full: full})
	}
	try := func(want error) {
		t.Helper()
		if _, err := r.Propose([]byte("x")); !errors.Is(err, want) {
			t.Errorf("a proposal: %v, want %v", err, want)
		}
		settle(r)
	}
	full(true)
	try(nil) // the other full voter answers
	for range 30 {
		r.Tick(0)
		settle(r)
		ack(t, r, 3)
	}
	try(ErrBusy)
	change(t, r, withWitness(NewConfiguration(1, 3), 3)) // the way out
	full(false)
	try(nil)
}
