package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// lead makes node 1 the leader of a cluster of voters 1 to n, which has committed in its term.
func lead(t *testing.T, conf Configuration) *Raft {
	r := elect(t, newCore(t, 1, 0, State{Snapshot: SnapshotMeta{Configuration: conf}}))
	settle(r)
	for _, id := range conf.Voters.IDs() {
		ack(t, r, id)
	}
	if !r.committedOwnTerm() {
		t.Fatalf("it has not committed: %+v", r.Status())
	}
	return r
}

// ack acknowledges all of the log and the latest round, unless id is r itself.
func ack(t *testing.T, r *Raft, id NodeID) {
	t.Helper()
	if id != r.id {
		ackAt(t, r, id, r.log.last())
	}
}

func ackAt(t *testing.T, r *Raft, id NodeID, match Index) {
	t.Helper()
	step(t, r, &AppendEntriesReply{Header: Header{From: id, To: r.id, Term: r.term}, Match: match, Round: r.leader.round})
	settle(r)
}

// change proposes, and fails the test if that is refused.
func change(t *testing.T, r *Raft, next Configuration) {
	t.Helper()
	if _, err := r.ProposeConfiguration(next); err != nil {
		t.Fatal(err)
	}
	settle(r)
}

func withLearners(c Configuration, ids ...NodeID) Configuration {
	c.Learners = ids
	return c
}

// catchUpAll lets the given learners follow for some rounds.
func catchUpAll(t *testing.T, r *Raft, ids ...NodeID) {
	for range 3 {
		r.Tick(0)
		settle(r)
		for _, id := range ids {
			ack(t, r, id)
		}
	}
}

func TestChangeWaitsForTheFirstCommitOfTheTerm(t *testing.T) {
	r := elect(t, newCore(t, 1, 3, State{}))
	settle(r)
	if _, err := r.ProposeConfiguration(withLearners(r.configuration(), 4)); !errors.Is(err, ErrNotReady) {
		t.Errorf("before: %v", err)
	}
	ack(t, r, 2)
	if _, err := r.ProposeConfiguration(withLearners(r.configuration(), 4)); err != nil {
		t.Errorf("after: %v", err)
	}
}

// Clients that keep the queue of proposals full do not keep an operator from changing the members.
func TestChangeFindsRoomBesideProposals(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	r.cfg.MaxPendingBytes = 100
	var err error
	for range 100 {
		if _, err = r.Propose(make([]byte, 1)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrBusy) {
		t.Fatalf("the queue is not full: %v", err)
	}
	if _, err := r.ProposeConfiguration(withLearners(r.configuration(), 4)); err != nil {
		t.Errorf("a change: %v", err)
	}
	if _, err := r.Propose(make([]byte, 1)); !errors.Is(err, ErrBusy) {
		t.Errorf("a proposal behind it: %v", err)
	}
}

func TestOneChangeAtATime(t *testing.T) {
	r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	refused := func(when string) {
		t.Helper()
		if _, err := r.ProposeConfiguration(NewConfiguration(1, 2, 3)); !errors.Is(err, ErrChangePending) {
			t.Errorf("%s: %v", when, err)
		}
	}
	catchUpAll(t, r, 2, 3, 4)
	change(t, r, NewConfiguration(1, 2, 3, 4))
	refused("the joint configuration is not committed")
	ack(t, r, 2)
	if !r.configuration().Voters.IsJoint() {
		t.Fatalf("two of four make a majority: %s", r.configuration())
	}
	ack(t, r, 3) // the leader leaves the joint phase at once
	if r.configuration().Voters.IsJoint() {
		t.Fatalf("committed %d, and still %s", r.commit, r.configuration())
	}
	refused("the new configuration is not committed")
	ack(t, r, 2)
	ack(t, r, 3)
	change(t, r, NewConfiguration(1, 2, 3, 4))
}

// A learner may vote when a round of replication took less than an election timeout.
func TestLearnerCatchesUpInRounds(t *testing.T) {
	r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	next := NewConfiguration(1, 2, 3, 4)
	try := func() error {
		_, err := r.ProposeConfiguration(next)
		return err
	}
	tick := func(n int, ids ...NodeID) {
		for range n {
			r.Tick(0)
			settle(r)
			for _, id := range ids {
				ack(t, r, id)
			}
		}
	}
	tick(5, 2, 3)
	if err := try(); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("it has not answered: %v", err)
	}
	match := r.log.last()
	if _, err := r.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	tick(15, 2, 3)
	ackAt(t, r, 4, match)
	tick(1, 2, 3)
	if err := try(); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("its round took 20 ticks: %v", err)
	}
	ack(t, r, 4)
	tick(1, 2, 3)
	if err := try(); err != nil {
		t.Errorf("its round took a tick: %v", err)
	}

	r = lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	tick(2, 2, 3, 4)
	match = r.log.last()
	if _, err := r.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		tick(1, 2, 3)
		ackAt(t, r, 4, match)
	}
	if err := try(); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("it answers, and lags: %v", err)
	}

	r = lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	tick(2, 2, 3, 4)
	tick(25, 2, 3)
	if err := try(); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("it has stopped answering: %v", err)
	}
}

// A leader that removes itself commits without itself, and only by the new set.
func TestRemovedLeaderDoesNotCountItself(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	change(t, r, NewConfiguration(2, 3))
	ack(t, r, 2) // joint: two of the old and both of the new
	if !r.configuration().Voters.IsJoint() {
		t.Fatal("the joint configuration is committed by n1 and n2, of which only n2 is in the new set")
	}
	ack(t, r, 3)
	if r.configuration().Voters.IsJoint() || r.commit == r.log.last() {
		t.Fatalf("committed %d of %d, members %s", r.commit, r.log.last(), r.configuration())
	}
	ack(t, r, 2)
	if r.commit == r.log.last() || r.Removed() > 0 {
		t.Fatal("it commits its removal with itself")
	}
	at := r.log.last()
	ack(t, r, 3)
	if r.commit != at || r.Role() != Leader || r.Transferring() == None || r.Removed() != at {
		t.Errorf("after the commit of its removal: %+v, removed at %d", r.Status(), r.Removed())
	}
}

// Nor does it for reads, leases and CheckQuorum.
func TestRemovedLeaderIsNoVoiceOfAQuorum(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	r.cfg.LeaseDuration = 1e9
	change(t, r, NewConfiguration(2, 3))
	ack(t, r, 2)
	ack(t, r, 3)
	if r.configuration().Voters.Contains(1) {
		t.Fatal("it is a voter still")
	}
	if _, err := r.ReadIndex(1, ReadByIndex); err != nil {
		t.Fatal(err)
	}
	settle(r)
	grant := func(id NodeID) []ReadState {
		step(t, r, &AppendEntriesReply{Header: Header{From: id, To: 1, Term: r.term}, Round: r.leader.round, LeaseGrant: 1e9})
		return r.Effects().Reads
	}
	if reads := grant(2); len(reads) > 0 || r.Lease() > 0 {
		t.Errorf("with one of two: reads %v, lease until %d", reads, r.Lease())
	}
	if reads := grant(3); len(reads) != 1 || r.Lease() == 0 {
		t.Errorf("with both: reads %v, lease until %d", reads, r.Lease())
	}
	for range 25 {
		r.Tick(1)
		r.Effects()
		step(t, r, &AppendEntriesReply{Header: Header{From: 2, To: 1, Term: r.term}, Round: r.leader.round})
	}
	if r.Role() == Leader {
		t.Error("it leads with one of two")
	}
}

// With no successor that could take over, a leader that is no member any more steps down.
func TestRemovedLeaderStepsDownWhereNoneCanTakeOver(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	change(t, r, NewConfiguration(2, 3))
	ack(t, r, 2)
	ack(t, r, 3)
	ack(t, r, 2)
	ack(t, r, 3)
	for range 2 * r.cfg.ElectionTimeoutTicks {
		r.Tick(0)
		settle(r)
		if r.Role() == Leader {
			ack(t, r, 2)
			ack(t, r, 3)
		}
	}
	if r.Role() == Leader {
		t.Errorf("it leads after a transfer that failed: %+v", r.Status())
	}
	for range 50 {
		r.Tick(0)
		if m := settle(r); len(m) > 0 {
			t.Fatalf("a removed node sends %v", m)
		}
	}
}

// A new leader leaves the joint phase that an earlier one began, once.
func TestNextLeaderLeavesTheJointPhase(t *testing.T) {
	joint := NewConfiguration(1, 2, 3).toward(NewConfiguration(1, 2, 4))
	entry := Entry{Term: 1, Index: 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, joint)}
	r := newCore(t, 1, 3, State{HardState: HardState{Term: 1}, Entries: []Entry{entry}})
	elect(t, r)
	settle(r)
	for _, id := range []NodeID{2, 3, 4, 2, 3, 4} {
		ack(t, r, id)
	}
	if got := r.configuration(); got.String() != "[n1 n2 n4]" || r.log.last() != 3 || r.commit != 3 {
		t.Errorf("members %s, log to %d, committed %d", got, r.log.last(), r.commit)
	}
}

// So does one that finds the joint configuration in its snapshot.
func TestJointPhaseOfASnapshotIsLeft(t *testing.T) {
	joint := NewConfiguration(1, 2, 3).toward(NewConfiguration(1, 2, 4))
	r := newCore(t, 1, 0, State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Index: 5, Term: 1, Configuration: joint}})
	if got := elect(t, r).configuration(); !got.Voters.IsJoint() {
		t.Fatalf("it has forgotten the joint phase: %s", got)
	}
	settle(r)
	ack(t, r, 2)
	ack(t, r, 4)
	if got := r.configuration(); got.String() != "[n1 n2 n4]" {
		t.Errorf("members %s", got)
	}
}

// The schedule at mayCampaign: 2 has the new configuration in its log, and is not in it.
func TestVoterThatIsRemovedMayBeTheOnlyOneToElect(t *testing.T) {
	old, next := NewConfiguration(1, 2, 3), NewConfiguration(4, 5, 6)
	joint := old.toward(next)
	entry := func(i Index, c Configuration) Entry {
		return Entry{Term: 1, Index: i, Kind: EntryConfiguration, Data: AppendConfiguration(nil, c)}
	}
	state := State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Configuration: old}, Entries: []Entry{entry(1, joint), entry(2, joint.left())}}
	r := elect(t, newCore(t, 2, 0, state))
	settle(r)
	for _, id := range []NodeID{4, 5} {
		ack(t, r, id)
	}
	if r.commit != 3 {
		t.Errorf("committed %d, want 3", r.commit)
	}
	if r.Removed() != 2 {
		t.Errorf("it was removed at %d, want 2", r.Removed())
	}
}

// The second schedule at mayCampaign: 1 needs the vote of the learner 4, which has the first entry of a later term.
func TestALearnerWhoseVoteIsNeededMayBeTheOnlyOneToElect(t *testing.T) {
	for _, asked := range []bool{true, false} {
		state := State{
			HardState: HardState{Term: 3}, Snapshot: SnapshotMeta{Configuration: withLearners(NewConfiguration(1, 2, 3), 4, 5)},
			Entries: []Entry{{Term: 2, Index: 1}, {Term: 3, Index: 2}},
		}
		r := newCore(t, 4, 0, state)
		if asked {
			step(t, r, &PreVote{Header: Header{From: 1, To: 4, Term: 3}, LastIndex: 3, LastTerm: 2})
		}
		for ticks := 0; ticks < 5*r.cfg.ElectionTimeoutTicks && r.role != Leader; ticks++ {
			r.Tick(0)
			for _, m := range settle(r) {
				reply := Header{From: m.Head().To, To: 4, Term: m.Head().Term}
				switch m := m.(type) {
				case *PreVote:
					step(t, r, &PreVoteReply{Header: reply, Granted: reply.From != 3})
				case *RequestVote:
					step(t, r, &RequestVoteReply{Header: reply, Campaign: m.Campaign, Granted: reply.From != 3})
				}
			}
		}
		if (r.role == Leader) != asked {
			t.Errorf("asked %t: it is %s of term %d", asked, r.role, r.term)
		}
	}
}

// When the new configuration is known to be committed, that ends.
func TestRemovedNodeDoesNotCampaign(t *testing.T) {
	old, next := NewConfiguration(1, 2, 3), NewConfiguration(1, 2)
	joint := old.toward(next)
	var entries []Entry
	for i, c := range []Configuration{joint, joint.left()} {
		entries = append(entries, Entry{Term: 1, Index: Index(i + 1), Kind: EntryConfiguration, Data: AppendConfiguration(nil, c)})
	}
	r := newCore(t, 3, 3, State{})
	for commit := range Index(3) {
		step(t, r, &AppendEntries{Header: Header{From: 1, To: 3, Term: 1}, Entries: entries, Commit: commit, Round: 1})
		settle(r)
		if may := commit < 2; r.mayCampaign() != may || (r.Removed() > 0) == may {
			t.Errorf("committed %d: it may campaign: %t, removed at %d", commit, r.mayCampaign(), r.Removed())
		}
	}
	for range 50 {
		r.Tick(0)
		if m := settle(r); len(m) > 0 {
			t.Fatalf("it sends %v", m)
		}
	}
}

// A removed peer gets the log until it must know of that. One that does not answer is given up.
func TestRemovedPeerIsTold(t *testing.T) {
	for _, answers := range []bool{true, false} {
		r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
		catchUpAll(t, r, 2, 3, 4)
		change(t, r, NewConfiguration(1, 2, 3))
		if len(r.Status().Peers) != 2 {
			t.Errorf("status shows %v", r.Status().Peers)
		}
		ticks, told := 0, Index(0)
		for ; r.peer(4) != nil && ticks < 1000; ticks++ {
			r.Tick(0)
			for _, m := range settle(r) {
				if a, ok := m.(*AppendEntries); ok && m.Head().To == 4 {
					told = max(told, a.Commit)
				}
			}
			ack(t, r, 2)
			ack(t, r, 3)
			if answers {
				ack(t, r, 4)
			}
		}
		if told < r.confs.latestIndex() {
			t.Errorf("answers %t: it was told of the commit of %d", answers, told)
		}
		if limit := maxRemovalTimeouts * r.cfg.ElectionTimeoutTicks; answers && ticks > 5 || !answers && (ticks < limit || ticks > limit+5) {
			t.Errorf("answers %t: it was given up after %d ticks", answers, ticks)
		}
	}
}

// A removed peer that is far behind gets the log for as long as it gets further.
func TestARemovedPeerThatIsBehindIsTold(t *testing.T) {
	r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	catchUpAll(t, r, 2, 3, 4)
	behind, slow := r.peer(4).match, 0
	for range 5 {
		if _, err := r.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		settle(r)
	}
	change(t, r, NewConfiguration(1, 2, 3))
	for ticks := 1; r.peer(4) != nil && ticks < 10_000; ticks++ {
		r.Tick(0)
		settle(r)
		ack(t, r, 2)
		ack(t, r, 3)
		if ticks%(maxRemovalTimeouts*r.cfg.ElectionTimeoutTicks-1) == 0 && behind < r.log.last() {
			behind, slow = behind+1, slow+1
			step(t, r, &AppendEntriesReply{Header: Header{From: 4, To: 1, Term: r.term}, Match: behind, Round: r.leader.round})
		}
	}
	if behind < r.confs.latestIndex() || slow < 5 {
		t.Errorf("it was given up at %d; %d removes it", behind, r.confs.latestIndex())
	}
}

// A new leader tells those whom an earlier leader has removed and perhaps not told.
func TestNextLeaderTellsRemovedPeers(t *testing.T) {
	old := withLearners(NewConfiguration(1, 2, 3), 4)
	entry := Entry{Term: 1, Index: 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, NewConfiguration(1, 2, 3))}
	r := newCore(t, 1, 0, State{HardState: HardState{Term: 1}, Snapshot: SnapshotMeta{Configuration: old}, Entries: []Entry{entry}})
	elect(t, r)
	if p := r.peer(4); p == nil || p.removed.index != 1 {
		t.Errorf("of the removed peer it knows %+v", p)
	}
}

// The peers of a leader do not grow with the changes.
func TestPeersOfManyChangesAreBounded(t *testing.T) {
	r := lead(t, NewConfiguration(1, 2, 3))
	for id := NodeID(10); id < 500; id++ {
		change(t, r, withLearners(NewConfiguration(1, 2, 3), id))
		ack(t, r, 2)
		ack(t, r, 3)
		r.Tick(0)
		settle(r)
		r.Applied(r.commit)
		r.Compact(r.commit)
	}
	if n, most := len(r.leader.peers), 3+maxRemovalTimeouts*r.cfg.ElectionTimeoutTicks+1; n > most {
		t.Errorf("%d peers, at most %d", n, most)
	}
	if n := len(r.confs); n > 1 {
		t.Errorf("%d configurations", n)
	}
}

// A member that was a sole voter waits as long as others once there are others.
func TestSoleVoterThatIsNotAloneAnyMore(t *testing.T) {
	waits := func(r *Raft) {
		t.Helper()
		settle(r)
		for range r.cfg.ElectionTimeoutTicks - 1 {
			r.Tick(0)
		}
		if r.Role() != Follower || r.Leader() != 2 {
			t.Errorf("it is a %s of %s", r.Role(), r.Leader())
		}
	}
	for _, before := range []Configuration{{}, NewConfiguration(1)} {
		r, err := New(Config{ID: 1, Rand: rand.New(rand.NewPCG(1, 1))}, State{Snapshot: SnapshotMeta{Configuration: before}})
		if err != nil {
			t.Fatal(err)
		}
		next := before.toward(NewConfiguration(1, 2, 3))
		if !before.HasVoters() {
			next = NewConfiguration(1, 2, 3)
		}
		entry := Entry{Term: 1, Index: 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, next)}
		step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Entries: []Entry{entry}, Round: 1})
		waits(r)
	}
	r := newCore(t, 1, 1, State{})
	step(t, r, &InstallSnapshot{Header: Header{From: 2, To: 1, Term: 1}, Meta: SnapshotMeta{Index: 9, Term: 1, Configuration: NewConfiguration(1, 2, 3)}})
	waits(r)
}

// A node that joins takes the log from its first entry on: no configuration before its own counts as
// its removal, and it is not bounded by snapshots that it cannot make.
func TestNodeThatJoins(t *testing.T) {
	r, err := New(Config{ID: 4, Rand: rand.New(rand.NewPCG(1, 1))}, State{})
	if err != nil {
		t.Fatal(err)
	}
	r.LimitLog(10)
	for range 100 {
		r.Tick(0)
		if m := settle(r); len(m) > 0 {
			t.Fatalf("it sends %v", m)
		}
	}
	entries := []Entry{
		{Term: 1, Index: 1, Kind: EntryCommand, Data: make([]byte, 100)},
		{Term: 1, Index: 2, Kind: EntryConfiguration, Data: AppendConfiguration(nil, withLearners(NewConfiguration(1, 2), 3))},
		{Term: 1, Index: 3, Kind: EntryConfiguration, Data: AppendConfiguration(nil, withLearners(NewConfiguration(1, 2), 3, 4))},
		{Term: 1, Index: 4, Kind: EntryCommand},
	}
	for i := range entries {
		step(t, r, &AppendEntries{Header: Header{From: 1, To: 4, Term: 1}, PrevIndex: Index(i), PrevTerm: min(1, Term(i)), Entries: entries[i : i+1], Commit: Index(i + 1), Round: 1})
		settle(r)
		if r.Removed() > 0 {
			t.Errorf("removed at %d, which is before its time", r.Removed())
		}
		if i == 1 {
			if r.logFull() == false {
				t.Error("with a configuration its log has its own bound")
			}
			r.LimitLog(0)
		}
	}
	if r.Removed() > 0 || r.commit != 4 || r.configuration().Part(4) != Learner {
		t.Errorf("removed at %d, committed %d, members %s", r.Removed(), r.commit, r.configuration())
	}
}

// Leadership is not handed to a voter that is about to be none.
func TestTransferInAJointPhase(t *testing.T) {
	r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	catchUpAll(t, r, 2, 3, 4)
	change(t, r, NewConfiguration(1, 2, 4))
	ack(t, r, 3)
	if err := r.TransferLeadership(3); !errors.Is(err, ErrNotVoter) {
		t.Errorf("to a voter that leaves: %v", err)
	}
	if best := r.bestSuccessor(); best == 3 || best == None {
		t.Errorf("the best successor is %s", best)
	}
	if err := r.TransferLeadership(4); err != nil {
		t.Errorf("to a voter that comes: %v", err)
	}
	ack(t, r, 2)
	if _, err := r.ProposeConfiguration(NewConfiguration(1, 2)); !errors.Is(err, ErrTransferring) {
		t.Errorf("a change during a transfer: %v", err)
	}
}

// A snapshot whose last entry is in the log changes nothing: its configuration may be older than
// that of the log.
func TestOlderSnapshotDoesNotBringBackItsConfiguration(t *testing.T) {
	r := newCore(t, 3, 3, State{})
	conf := withLearners(NewConfiguration(1, 2, 3), 4)
	entries := []Entry{{Term: 1, Index: 1}, {Term: 1, Index: 2, Kind: EntryConfiguration, Data: AppendConfiguration(nil, conf)}}
	step(t, r, &AppendEntries{Header: Header{From: 1, To: 3, Term: 1}, Entries: entries, Round: 1})
	settle(r)
	step(t, r, &InstallSnapshot{Header: Header{From: 1, To: 3, Term: 1}, Meta: SnapshotMeta{Index: 1, Term: 1, Configuration: NewConfiguration(1, 2, 3)}})
	settle(r)
	if got := r.configuration(); !got.Equal(conf) {
		t.Errorf("members %s", got)
	}
	later := SnapshotMeta{Index: 9, Term: 1, Configuration: NewConfiguration(1, 2)}
	step(t, r, &InstallSnapshot{Header: Header{From: 1, To: 3, Term: 1}, Meta: later})
	settle(r)
	if latest, committed, _ := r.Configurations(); !latest.Equal(later.Configuration) || !committed.Equal(later.Configuration) || r.Removed() != 9 {
		t.Errorf("members %s, committed %s, removed at %d", latest, committed, r.Removed())
	}
}

// The version changes with each change of the latest or the committed configuration.
func TestVersionOfConfigurations(t *testing.T) {
	r := newCore(t, 3, 3, State{})
	seen := map[uint64]string{}
	look := func() {
		latest, committed, version := r.Configurations()
		now := fmt.Sprint(latest, committed)
		if was, ok := seen[version]; ok && was != now {
			t.Errorf("version %d is %s and %s", version, was, now)
		}
		seen[version] = now
	}
	look()
	entry := Entry{Term: 1, Index: 1, Kind: EntryConfiguration, Data: AppendConfiguration(nil, withLearners(NewConfiguration(1, 2, 3), 4))}
	for _, m := range []Message{
		&AppendEntries{Header: Header{From: 1, To: 3, Term: 1}, Entries: []Entry{entry}, Round: 1},
		&AppendEntries{Header: Header{From: 2, To: 3, Term: 2}, Entries: []Entry{{Term: 2, Index: 1}}, Round: 1},
		&AppendEntries{Header: Header{From: 2, To: 3, Term: 2}, PrevIndex: 1, PrevTerm: 2, Entries: []Entry{{Term: 2, Index: 2, Kind: EntryConfiguration, Data: entry.Data}}, Round: 1},
		&AppendEntries{Header: Header{From: 2, To: 3, Term: 2}, PrevIndex: 2, PrevTerm: 2, Commit: 2, Round: 2},
		&InstallSnapshot{Header: Header{From: 2, To: 3, Term: 2}, Meta: SnapshotMeta{Index: 9, Term: 2, Configuration: NewConfiguration(1, 2, 3)}},
	} {
		step(t, r, m)
		look()
		settle(r)
		look()
	}
	if len(seen) < 6 {
		t.Errorf("only %d versions: %v", len(seen), seen)
	}
}

// A learner that may have lost what it had acknowledged cannot be promoted.
func TestMemberThatLostItsLogMayNotVote(t *testing.T) {
	r := lead(t, withLearners(NewConfiguration(1, 2, 3), 4))
	catchUpAll(t, r, 2, 3, 4)
	if !slices.ContainsFunc(r.Status().Peers, func(p PeerStatus) bool { return p.ID == 4 && p.CaughtUp }) {
		t.Fatalf("%+v", r.Status().Peers)
	}
	r.suspect(r.peer(4))
	if _, err := r.ProposeConfiguration(NewConfiguration(1, 2, 3, 4)); !errors.Is(err, ErrNotCaughtUp) {
		t.Error(err)
	}
}
