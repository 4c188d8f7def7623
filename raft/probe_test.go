package raft

import (
	"math/rand/v2"
	"testing"
)

// A probe that was lost is sent again with the heartbeat, also where reads ask for
// rounds all the time. The schedule: a follower comes back after its snapshot failed,
// and clients read without pause; it was left alone for as long as they did.
func TestReadsDoNotPutOffProbes(t *testing.T) {
	cfg := Config{ID: 1, HeartbeatTicks: 3, Rand: rand.New(rand.NewPCG(1, 1))}
	r, err := New(cfg, State{Snapshot: SnapshotMeta{Configuration: NewConfiguration(1, 2, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(m Message) {
		t.Helper()
		h := m.Head()
		h.From, h.To, h.Term = 2, 1, r.Term()
		if err := r.Step(m); err != nil {
			t.Fatal(err)
		}
	}
	for r.Role() != PreCandidate {
		r.Tick(1)
	}
	settle(r)
	answer(&PreVoteReply{Granted: true})
	settle(r)
	answer(&RequestVoteReply{Granted: true})
	probes := 0
	for range 30 {
		for _, m := range settle(r) {
			a, ok := m.(*AppendEntries)
			switch {
			case ok && a.To == 2:
				answer(&AppendEntriesReply{Match: r.log.stable, Round: a.Round})
			case ok && len(a.Entries) > 0:
				probes++ // 3 never answers
			}
		}
		if _, err := r.ReadIndex(1, ReadByIndex); err != nil {
			t.Fatal(err)
		}
		settle(r)
		r.Tick(1)
	}
	if r.Role() != Leader || probes < 8 {
		t.Errorf("as %s, %d probes in 10 heartbeats", r.Role(), probes)
	}
}
