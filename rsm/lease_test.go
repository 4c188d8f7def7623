package rsm

import (
	"context"
	"io"
	"testing"
	"time"

	"balsa/raft"
)

// A follower's silence is what a leader's lease stands on. Its ticks are those of a
// time.Ticker, which keeps one for a loop that is late: so right after a message may come
// the tick that waited, and right after that the next one, which is on time.
func TestLeaseEndsBeforeTheShortestSilence(t *testing.T) {
	cfg := Config[int, int]{ID: 2, LeaseReads: true, HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond, MaxClockDrift: 0.1}
	rc := cfg.raftConfig()
	follower, err := raft.New(rc, raft.State{Snapshot: raft.SnapshotMeta{Configuration: raft.NewConfiguration(1, 2, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	must := func(m raft.Message) {
		t.Helper()
		if err := follower.Step(m); err != nil {
			t.Fatal(err)
		}
	}
	must(&raft.AppendEntries{Header: raft.Header{From: 1, To: 2, Term: 1}, Round: 1})
	e := follower.Effects()
	follower.Persisted(e.Persist.Seq)
	follower.Effects()
	votes := func() bool {
		must(&raft.PreVote{Header: raft.Header{From: 3, To: 2, Term: 1}})
		return len(follower.Effects().Messages) > 0
	}
	ticks := 0
	for !votes() {
		ticks++
		follower.Tick(raft.Instant(ticks))
	}
	silence := time.Duration(ticks-2) * cfg.tick()
	if lease := time.Duration(rc.LeaseNanos); float64(lease) > float64(silence)*(1-cfg.MaxClockDrift) {
		t.Errorf("a lease of %v may outlive a silence of %v where clocks differ by a share of %v", lease, silence, cfg.MaxClockDrift)
	}
}

// sendFunc is a Transport.
type sendFunc func([]raft.Message)

func (f sendFunc) Send(ms []raft.Message) { f(ms) }

func (f sendFunc) SendSnapshot(context.Context, *raft.InstallSnapshot, io.Reader) error {
	return nil
}

// A Lease, and the end of one, is known before anybody can learn what went with it: of a
// commit, or that another one may be elected.
func TestLeaseIsKnownBeforeMessagesLeave(t *testing.T) {
	n := &Node[int, int]{}
	n.inbox.wake, n.disk.wake, n.apply.wake = newWake(), newWake(), newWake()
	now := func() raft.Instant { return 50 }
	var want, sent bool
	check := func() {
		t.Helper()
		if got := n.lease.serves(now); got != want {
			t.Errorf("the lease serves: %t, want %t", got, want)
		}
	}
	n.cfg.Transport = sendFunc(func([]raft.Message) { sent = true; check() })
	for _, step := range []struct {
		lease   Lease
		applied uint64
		serves  bool
	}{
		{Lease{Until: 100, Commit: 7}, 7, true},
		{Lease{Until: 100, Commit: 8}, 7, false}, // 8 is acknowledged with what is sent now
		{Lease{Until: 100, Commit: 8}, 8, true},
		{Lease{}, 8, false}, // TimeoutNow leaves now
		{Lease{Until: 50, Commit: 8}, 8, false},
	} {
		n.lease.applied.Store(step.applied)
		want, sent = step.serves, false
		fates := 0
		n.perform(Effects[waiter[int]]{
			Lease: step.lease, Messages: []raft.Message{&raft.AppendEntries{}},
			Fates: []Fate[waiter[int]]{{Waiter: func(int, error) { fates++; check() }}},
		})
		if !sent || fates != 1 {
			t.Fatalf("sent: %t, fates: %d", sent, fates)
		}
	}
}

// What is read of a lease is one lease, though another comes meanwhile: here one with an
// earlier commit index that lasts longer.
func TestReadersSeeWholeLeases(t *testing.T) {
	var s sharedLease
	s.applied.Store(5)
	s.set(Lease{Until: 100, Commit: 9})
	if s.serves(func() raft.Instant { s.set(Lease{Until: 200, Commit: 5}); return 50 }) {
		t.Error("the end of one lease went with the commit index of another")
	}
	s.set(Lease{Until: 100, Commit: 5})
	if s.serves(func() raft.Instant { s.set(Lease{Until: 200, Commit: 5}); return 150 }) {
		t.Error("a lease was over when its read was answered")
	}
}
