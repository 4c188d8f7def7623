package rsm

import (
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
