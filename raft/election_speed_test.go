package raft

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var flagElections = flag.Int("elections", 50, "elections of each kind that TestElectionsAtAnyDiskSpeed measures")

// TestElectionsAtAnyDiskSpeed measures, in virtual time, how long a cluster is without a
// leader after its start, and after its leader has crashed under load, by how long a
// sync and a round trip take. The table is kept in docs/reliability.md:
//
//	go test ./raft -run TestElectionsAtAnyDiskSpeed -v -elections 400
func TestElectionsAtAnyDiskSpeed(t *testing.T) {
	t.Parallel()
	syncs := []time.Duration{100 * time.Microsecond, 10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second}
	trips := []time.Duration{200 * time.Microsecond, 20 * time.Millisecond, 100 * time.Millisecond}
	t.Logf("%8s %8s | %8s %8s %8s | %8s", "sync", "trip", "p50", "p99", "max", "goal")
	for _, sync := range syncs {
		for _, trip := range trips {
			var took []time.Duration
			for n := range *flagElections {
				took = append(took, measureElection(t, uint64(n+1), sync, trip)...)
			}
			slices.Sort(took)
			goal := 3*(sync+trip) + 2*500*time.Millisecond
			p99 := took[(len(took)*99+99)/100-1]
			line := fmt.Sprintf("%8v %8v | %8v %8v %8v | %8v", sync, trip, round(took[len(took)/2]), round(p99), round(took[len(took)-1]), goal)
			t.Log(line)
			if p99 > goal {
				t.Errorf("p99 beyond the goal: %s", line)
			}
		}
	}
}

// The disks of a minority hang for ever, or are far slower than those of the others. The others
// still elect one of theirs: a node whose disk hangs does not keep the votes that it was given.
func TestElectionsBesideDisksThatHang(t *testing.T) {
	const timeout, hung = 500 * time.Millisecond, time.Hour
	var took []time.Duration
	for seed := range uint64(2 * *flagElections) {
		draw := rand.New(rand.NewPCG(seed, 2))
		c := newCluster(t, options{
			seed: seed, nodes: []int{3, 5}[draw.IntN(2)], tick: 10 * time.Millisecond, heart: 5, election: 50,
			faults: faults{delay: time.Millisecond, busy: 100 * time.Microsecond},
		})
		bad := []time.Duration{hung, hung, 5 * time.Second, 700 * time.Millisecond}[draw.IntN(4)]
		c.sync = func(id NodeID) time.Duration {
			if int(id) <= (len(c.nodes)-1)/2 {
				return bad
			}
			return time.Millisecond
		}
		works := func() bool { return c.check.lastCommitted() > 0 }
		if !c.runUntil(time.Minute, works) {
			c.failf("nothing is committed with %d disks of %d hung", (len(c.nodes)-1)/2, len(c.nodes))
		}
		took = append(took, c.now)
	}
	slices.Sort(took)
	p50, p99, most := took[len(took)/2], took[(len(took)*99+99)/100-1], took[len(took)-1]
	t.Logf("first commit: p50 %v, p99 %v, max %v", round(p50), round(p99), round(most))
	if p99 > 6*timeout {
		t.Errorf("p99 %v is more than six election timeouts", p99)
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// measureElection returns how long the first election of a cluster took, and the one
// after its leader had crashed.
func measureElection(t *testing.T, seed uint64, sync, trip time.Duration) (took []time.Duration) {
	draw := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t, options{
		seed: seed, nodes: []int{3, 5}[draw.IntN(2)], tick: 10 * time.Millisecond, heart: 5, election: 50,
		faults: faults{delay: trip / 10, busy: 100 * time.Microsecond},
	})
	c.sync = func(NodeID) time.Duration { return sync + c.upTo(sync/5) }
	c.net.delay = func(Message) time.Duration { return trip / 2 }
	measure := func() {
		since := c.now
		if !c.runUntil(10*time.Minute, func() bool { return c.leader() != nil }) {
			c.failf("no leader after ten minutes: syncs of %v, round trips of %v", sync, trip)
		}
		took = append(took, c.now-since)
	}
	measure()
	for range 20 { // under load, for the crash finds the disks at work
		c.propose(c.leader().id, "x")
		c.run(sync/5 + trip)
		if c.leader() == nil {
			c.failf("the leader was deposed: syncs of %v, round trips of %v", sync, trip)
		}
	}
	c.crash(c.leader().id)
	measure()
	return took
}

// A candidate that gets no answer repeats its requests. A node that has voted for it does not wait
// longer for the outcome than if the candidate had asked once.
func TestARepeatedRequestPutsNothingOff(t *testing.T) {
	r := newCore(t, 1, 3, State{})
	m := &RequestVote{Header: Header{From: 2, To: 1, Term: 1}, Campaign: 7}
	for range 100 {
		step(t, r, m)
		if e := r.Effects(); e.Persist != nil {
			r.Persisted(e.Persist.Seq)
		}
		if r.Tick(0); r.Role() == PreCandidate {
			return
		}
	}
	t.Error("it waits for the candidate for ever")
}

// leader returns the leader of the highest term.
func (c *cluster) leader() (leader *node) {
	for _, n := range c.nodes {
		if n.raft != nil && n.raft.Role() == Leader && (leader == nil || n.raft.Term() > leader.raft.Term()) {
			leader = n
		}
	}
	return leader
}
