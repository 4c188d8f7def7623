package raft

import (
	"math/rand/v2"
	"testing"
)

// A lost probe is sent again with the next heartbeat, even if reads ask for rounds all the time.
// The bad schedule: a follower comes back after its snapshot has failed, and clients read
// without pause. The leader sent it nothing for as long as they did.
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
	answer(&RequestVoteReply{Campaign: r.campaign, Granted: true})
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

// A probe ends even if each answer takes longer than a heartbeat, because of a slow network or a
// slow disk, and clients write all the time. The bad schedule: each heartbeat repeats the probe
// with the entries that came since, and each answer is to the probe before.
func TestProbesEndWithLateAnswers(t *testing.T) {
	const heartbeat, late, ticks = 5, 6, 200
	for _, slow := range []string{"network", "disk"} {
		leader, follower := elect(t, newCore(t, 1, 3, State{})), newCore(t, 2, 3, State{})
		for _, r := range []*Raft{leader, follower} {
			r.cfg.HeartbeatTicks, r.cfg.ElectionTimeoutTicks = heartbeat, 20*heartbeat
		}
		var due [ticks + late][]func() // by tick
		after := func(now int, slow bool, do func()) {
			if slow {
				due[now+late] = append(due[now+late], do)
			} else {
				do()
			}
		}
		proposed, sent := 0, 0
		for now := range ticks {
			leader.Tick(Instant(now))
			if _, err := leader.Propose(nil); err != nil {
				t.Fatal(err)
			}
			proposed++
			for _, do := range due[now] {
				do()
			}
			for _, m := range settle(leader) {
				a, ok := m.(*AppendEntries)
				switch {
				case ok && a.To == 2:
					sent += len(a.Entries)
					step(t, follower, a)
				case ok:
					step(t, leader, &AppendEntriesReply{Header: Header{From: 3, To: 1, Term: a.Term}, Match: a.PrevIndex + Index(len(a.Entries)), Round: a.Round})
				}
			}
			for e := follower.Effects(); !e.Empty(); e = follower.Effects() {
				after(now, slow == "network", func() {
					for _, m := range e.Messages {
						step(t, leader, m)
					}
				})
				if e.Persist != nil {
					after(now, slow == "disk", func() { follower.Persisted(e.Persist.Seq) })
				}
				if n := len(e.Committed); n > 0 {
					follower.Applied(e.Committed[n-1].Index)
				}
			}
		}
		if p := leader.peer(2); p.state != replicate || sent > 2*proposed {
			t.Errorf("with a slow %s the leader is in state %s and sent %d entries for %d", slow, p.state, sent, proposed)
		}
	}
}
