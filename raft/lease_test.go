package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = Instant(time.Millisecond)

// leaseCore returns node 1 of three, with the LeaseDuration given, when its clock shows now.
func leaseCore(t *testing.T, duration Instant, now Instant, hard HardState) *Raft {
	t.Helper()
	r, err := New(Config{
		ID: 1, LeaseDuration: Nanos(duration), MaxClockDrift: 0.1, Now: now, Rand: rand.New(rand.NewPCG(1, 1)),
	}, State{HardState: hard, Snapshot: SnapshotMeta{Configuration: NewConfiguration(1, 2, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// votes tells whether r, when its clock shows now, would campaign or give a vote. However many
// ticks come, only the clock counts.
func votes(t *testing.T, r *Raft, now Instant) bool {
	t.Helper()
	r.Clock(now)
	var sent []Message
	for range 50 {
		r.Tick(now)
		sent = append(sent, settle(r)...)
	}
	step(t, r, &PreVote{Header: Header{From: 3, To: 1, Term: r.term}, LastIndex: 100, LastTerm: r.term})
	for _, m := range append(sent, settle(r)...) {
		switch m := m.(type) {
		case *PreVote:
			return true
		case *PreVoteReply:
			return m.Granted
		}
	}
	return false
}

// The leader's own settings say nothing of how long a lease its followers grant.
func TestLeaseIsWhatFollowersPromise(t *testing.T) {
	for _, test := range []struct {
		promised [2]Instant
		want     Instant // after the round was sent
	}{
		{[2]Instant{500 * ms, 500 * ms}, 450 * ms},
		{[2]Instant{0, 500 * ms}, 450 * ms},
		{[2]Instant{200 * ms, 500 * ms}, 450 * ms}, // the leader and one follower are a quorum
		{[2]Instant{200 * ms, 0}, 180 * ms},
		{[2]Instant{0, 0}, 0},
	} {
		r := elect(t, leaseCore(t, 5000*ms, 0, HardState{}))
		sent := 1000 * ms
		r.Tick(sent)
		settle(r)
		r.Clock(sent + 7*ms)
		for k, grant := range test.promised {
			step(t, r, &AppendEntriesReply{
				Header: Header{From: NodeID(k + 2), To: 1, Term: r.term}, Match: r.log.last(), Round: r.leader.round, LeaseGrant: Nanos(grant),
			})
		}
		want := test.want
		if want > 0 {
			want += sent
		}
		if got := r.Lease(); got != want {
			t.Errorf("promised %v: lease until %v, want %v", test.promised, time.Duration(got), time.Duration(want))
		}
	}
}

// A round is answered after a thousand others of its term: the leader does not remember when it
// was sent. It remembers the latest.
func TestLeaseInATermOfManyRounds(t *testing.T) {
	r := elect(t, leaseCore(t, 500*ms, 0, HardState{}))
	say := func(from NodeID, round Round, grant Instant) {
		step(t, r, &AppendEntriesReply{Header: Header{From: from, To: 1, Term: r.term}, Match: r.log.last(), Round: round, LeaseGrant: Nanos(grant)})
	}
	answer := func(round Round) { say(2, round, 500*ms) }
	var last Instant
	for n := range Instant(3 * maxRoundTimes) {
		last = n * ms
		r.Tick(last)
		settle(r)
		say(3, r.leader.round, 0) // or it would step down
	}
	for round := Round(1); round+maxRoundTimes < r.leader.round; round += 100 {
		if answer(round); r.Lease() != 0 {
			t.Fatalf("round %d of %d renews the lease until %v", round, r.leader.round, time.Duration(r.Lease()))
		}
	}
	if answer(r.leader.round); r.Lease() != last+450*ms {
		t.Errorf("the last round, sent at %v, renews the lease until %v", time.Duration(last), time.Duration(r.Lease()))
	}
}

// A lease that was granted is counted by the clock, from when the acknowledgement is made: not
// from the last tick, which may be long ago, and not in ticks, of which many may come at once.
func TestLeaseGrantIsKeptByTheClock(t *testing.T) {
	r := leaseCore(t, 500*ms, 0, HardState{})
	settle(r)
	r.Tick(10 * ms)
	r.Clock(5000 * ms)
	step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Round: 1})
	if votes(t, r, 5499*ms) {
		t.Error("it votes before the lease ends")
	}
	if !votes(t, r, 5500*ms) {
		t.Error("it gives no vote after the lease has ended")
	}
}

// Node 1 asks for pre-votes, since nothing of what it has acknowledged is committed. Then it is, and node
// 1 grants a lease again. The answers to its question, which come now, elect it no more.
func TestLeaseGrantEndsTheQuestionForPreVotes(t *testing.T) {
	r := leaseCore(t, 500*ms, 0, HardState{Term: 1})
	now, round, asked := Instant(0), Round(0), false
	hear := func(prev, commit Index, entries ...Entry) {
		round++
		step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, PrevIndex: prev, PrevTerm: Term(prev), Entries: entries, Commit: commit, Round: round})
		asked = asked || slices.ContainsFunc(settle(r), func(m Message) bool { return m.Kind() == KindPreVote })
	}
	hear(0, 0, Entry{Index: 1, Term: 1})
	for range 100 {
		if asked {
			break
		}
		now += 100 * ms
		r.Tick(now)
		hear(1, 0)
	}
	if !asked {
		t.Fatal("it asks for no pre-votes under a leader that commits nothing")
	}
	hear(1, 1)
	if !r.leaseGranted() {
		t.Fatal("it grants no lease to a leader that commits")
	}
	step(t, r, &PreVoteReply{Header: Header{From: 3, To: 1, Term: 1}, Granted: true})
	if settle(r); r.Role() != Follower || r.Term() != 1 {
		t.Errorf("during the lease that it has granted it is %s of term %d", r.Role(), r.Term())
	}
}

// Connections to the leader break, which lets elections begin at once: but not before the
// end of the lease.
func TestLeaseGrantOutlivesConnections(t *testing.T) {
	r := leaseCore(t, 500*ms, 0, HardState{})
	settle(r)
	step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Round: 1})
	r.Unreachable(2)
	if votes(t, r, 499*ms) {
		t.Error("it votes before the lease ends")
	}
	if !votes(t, r, 500*ms) {
		t.Error("no election when it is over")
	}
}

// Whatever the settings are after a restart, a node keeps the lease that it may have granted
// before, by a clock that begins anew.
func TestLeaseGrantOutlivesARestart(t *testing.T) {
	for _, duration := range []Instant{0, 100 * ms, 500 * ms, 900 * ms} {
		const start = 7000 * ms
		r := leaseCore(t, duration, start, HardState{Term: 1, LeaseGrant: Nanos(500 * ms)})
		if votes(t, r, start+499*ms) {
			t.Errorf("with a setting of %v it votes before the lease ends", time.Duration(duration))
		}
		if !votes(t, r, start+500*ms) {
			t.Errorf("with a setting of %v it never votes again", time.Duration(duration))
		}
	}
}

// The hard state keeps a lease that was granted before a restart as long as it is in force: there
// may be another restart. Then it is forgotten.
func TestLongerLeaseGrantIsForgottenWhenItIsOver(t *testing.T) {
	r := leaseCore(t, 100*ms, 0, HardState{Term: 1, LeaseGrant: Nanos(500 * ms)})
	r.Tick(499 * ms)
	if p := r.Effects().Persist; p != nil {
		t.Fatalf("after 499 ms it writes %+v", p.HardState)
	}
	r.Tick(500 * ms)
	if p := r.Effects().Persist; p == nil || p.HardState == nil || p.HardState.LeaseGrant != Nanos(100*ms) {
		t.Errorf("after 500 ms it does not write that 100 ms will do: %+v", p)
	}
}

// A candidate forgets such a lease, and is elected before its disk knows that. Its vote is on
// disk, which is enough to lead.
func TestCandidateThatForgetsALeaseIsElected(t *testing.T) {
	r := leaseCore(t, 100*ms, 0, HardState{Term: 1, LeaseGrant: Nanos(500 * ms)})
	from := Header{From: 2, To: 1, Term: 1}
	step(t, r, &AppendEntries{Header: from, Round: 1})
	step(t, r, &TimeoutNow{Header: from})
	campaign := Campaign(0)
	for _, m := range settle(r) {
		if m, ok := m.(*RequestVote); ok {
			campaign = m.Campaign
		}
	}
	r.Tick(500 * ms)
	if p := r.Effects().Persist; p == nil || p.HardState == nil || p.HardState.LeaseGrant != Nanos(100*ms) {
		t.Fatalf("it forgets no lease: %+v", p)
	}
	step(t, r, &RequestVoteReply{Header: Header{From: 2, To: 1, Term: 2}, Campaign: campaign, Granted: true})
	if r.role != Leader {
		t.Errorf("it is a %s", r.role)
	}
}

// No acknowledgement grants a longer lease than the disk knows of.
func TestPromiseIsDurableBeforeItIsMade(t *testing.T) {
	r := leaseCore(t, 500*ms, 0, HardState{Term: 1})
	step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Round: 1})
	e := r.Effects()
	if len(e.Messages) > 0 {
		t.Fatalf("%s leaves before the promise is durable", e.Messages[0])
	}
	if e.Persist == nil || e.Persist.HardState == nil || e.Persist.HardState.LeaseGrant != Nanos(500*ms) {
		t.Fatalf("it is not to be written: %+v", e.Persist)
	}
	r.Persisted(e.Persist.Seq)
	e = r.Effects()
	if len(e.Messages) != 1 || e.Messages[0].(*AppendEntriesReply).LeaseGrant != Nanos(500*ms) {
		t.Errorf("no promise: %v", e.Messages)
	}
}
