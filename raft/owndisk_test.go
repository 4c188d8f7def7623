package raft

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A message that waits for the disk replaces one to the same peer alone: each of two nodes that
// send appends of an earlier term gets an answer of the present term.
func TestPendingMessagesToOtherPeersStay(t *testing.T) {
	r := newCore(t, 1, 3, State{})
	step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 5}, Round: 1})
	for _, from := range []NodeID{2, 3, 2} {
		step(t, r, &AppendEntries{Header: Header{From: from, To: 1, Term: 4}})
	}
	r.Effects()
	r.Persisted(r.persist.lastSeq)
	told := map[NodeID]int{}
	for _, m := range r.Effects().Messages {
		if m.Kind() == KindAppendEntriesReject {
			told[m.Head().To]++
		}
	}
	if told[2] != 1 || told[3] != 1 {
		t.Errorf("of two old leaders are told: %v", told)
	}
}

// diskCluster is a cluster in which each member's disk has a speed of its own.
func diskCluster(t *testing.T, nodes int, seed uint64, sync func(c *cluster, id NodeID) time.Duration) *cluster {
	c := newCluster(t, options{
		seed: seed, nodes: nodes, tick: 10 * time.Millisecond, heart: 5, election: 50,
		faults: faults{delay: time.Millisecond, busy: 100 * time.Microsecond},
	})
	c.sync = func(id NodeID) time.Duration { return sync(c, id) }
	return c
}

func (c *cluster) awaitLeader(limit time.Duration) *node {
	c.t.Helper()
	if !c.runUntil(limit, func() bool { return c.leader() != nil }) {
		c.failf("nobody leads after %v", limit)
	}
	return c.leader()
}

// hangs are disks that hang until a time, and are fast after it.
type hangs map[NodeID]time.Duration

func (h hangs) sync(c *cluster, id NodeID) time.Duration {
	return max(time.Millisecond, h[id]-c.now)
}

// A disk hung for a minute, and works again. The elections in which its node has voted meanwhile
// are decided or given up. The node does not wait another minute for their outcome.
func TestElectionAfterADiskHung(t *testing.T) {
	for _, inTime := range []bool{true, false} {
		for seed := range uint64(5) {
			hung := hangs{}
			c := diskCluster(t, 3, seed, hung.sync)
			first := c.awaitLeader(time.Minute)
			c.run(time.Second)
			end := c.now + time.Minute
			hung[first.id] = end
			gone := false
			die := func() bool { // the successor, or who is about to be it
				for _, n := range c.nodes {
					role := Candidate
					if inTime {
						role = Leader
					}
					if !gone && n != first && n.raft.Role() == role && (!inTime || c.now > end+time.Second) {
						c.crash(n.id)
						gone = true
					}
				}
				return gone
			}
			for !die() && c.now < end+2*time.Second {
				if l := c.leader(); l != nil {
					c.propose(l.id, "x")
				}
				c.runUntil(50*time.Millisecond, die)
			}
			if !gone {
				t.Fatalf("seed %d: nobody took over", seed)
			}
			c.run(max(0, end-c.now))
			since := c.now
			c.awaitLeader(time.Minute)
			// A candidate that has died is waited for as long as is reasonable for a slow disk.
			if took, most := c.now-since, map[bool]time.Duration{true: 3 * time.Second, false: 12 * time.Second}[inTime]; took > most {
				t.Errorf("seed %d: two of three are healthy, and nobody leads for %v", seed, took)
			}
		}
	}
}

// Only n1 reaches all others, and its disk is slow. No other node can be elected. So n1 must not
// transfer leadership again and again before it has committed anything.
func TestTransferByTheOnlyNodeThatCanLead(t *testing.T) {
	c := diskCluster(t, 5, 1, func(_ *cluster, id NodeID) time.Duration {
		if id == 2 || id == 3 {
			return time.Millisecond
		}
		return 700 * time.Millisecond
	})
	for a := NodeID(2); a <= 5; a++ {
		for b := NodeID(2); b <= 5; b++ {
			c.net.setLink(a, b, a == b)
		}
	}
	if !c.runUntil(time.Minute, func() bool { return c.check.lastCommitted() >= 1 }) {
		t.Errorf("nothing is committed in a minute: term %d", c.node(1).raft.Term())
	}
}

// If the speeds of all disks differ by at most a tenth, leadership stays where it is.
func TestEquallySlowDisks(t *testing.T) {
	for _, sync := range []time.Duration{150 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		for _, every := range []time.Duration{400 * time.Millisecond, time.Second} {
			draw := rand.New(rand.NewPCG(uint64(sync), uint64(every)))
			c := diskCluster(t, 3, 1, func(*cluster, NodeID) time.Duration {
				return sync*9/10 + time.Duration(draw.Int64N(int64(sync/5)))
			})
			c.awaitLeader(time.Minute)
			c.run(3 * sync)
			first := c.awaitLeader(time.Minute).raft.Term()
			for end := c.now + 4*time.Minute; c.now < end; {
				if l := c.leader(); l != nil {
					c.propose(l.id, "x")
				}
				c.run(time.Duration(draw.ExpFloat64() * float64(every)))
			}
			if elections := c.awaitLeader(time.Minute).raft.Term() - first; elections > 0 {
				t.Errorf("syncs of %v, a put each %v: %d elections in 4 minutes", sync, every, elections)
			}
		}
	}
}

// The snapshots of all members take very long, so that all logs become full. Writes have to wait
// for that, but reads do not, under any leader. And leadership does not move again and again.
func TestFullLogs(t *testing.T) {
	c := diskCluster(t, 3, 1, func(*cluster, NodeID) time.Duration { return time.Millisecond })
	for _, n := range c.nodes {
		n.raft.LimitLog(20_000)
	}
	c.awaitLeader(time.Minute)
	for range 60 * 50 {
		c.propose(c.awaitLeader(time.Minute).id, "0123456789012345678901234567890123456789")
		c.run(20 * time.Millisecond)
	}
	l := c.leader()
	if _, err := l.raft.Propose([]byte("x")); err != ErrBusy {
		t.Fatalf("the log of %s is not full: %v", l.id, err)
	}
	before := l.raft.Term()
	c.run(30 * time.Minute)
	c.propose(c.awaitLeader(time.Minute).id, "x")
	between := c.awaitLeader(time.Minute).raft.Term()
	c.run(10 * time.Minute)
	if first, later := between-before, c.awaitLeader(time.Minute).raft.Term()-between; first > 60 || later > restlessTerms {
		t.Errorf("there were %d terms in half an hour, and %d in ten minutes then", first, later)
	}
	for range 2 {
		c.read(l.id, ReadByIndex)
		c.run(200 * time.Millisecond)
		if len(l.reads) > 0 || !l.raft.committedOwnTerm() {
			t.Errorf("no read of %s ends in term %d", l.id, l.raft.Term())
		}
		c.crash(l.id)
		c.awaitLeader(time.Minute)
		c.start(l.id)
		c.node(l.id).raft.LimitLog(20_000)
		c.run(200 * time.Millisecond)
		l = c.awaitLeader(time.Minute)
	}
}

// The leader's disk hangs, one follower lacks entries that only the leader could give it, and the disk of
// the other takes somewhat longer than an election timeout. Three times as long after that a majority
// commits under that one.
func TestALeaderWhoseDiskHangsHandsOverAsSoonAsAnotherDiskIsBetter(t *testing.T) {
	for seed := range uint64(10) {
		hung := hangs{}
		slow := NodeID(0)
		c := diskCluster(t, 3, seed, func(c *cluster, id NodeID) time.Duration {
			if id == slow {
				return 600 * time.Millisecond
			}
			return hung.sync(c, id)
		})
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		behind := leader%3 + 1
		slow = behind%3 + 1
		hung[leader] = c.now + time.Hour
		c.net.lose = func(m Message) bool {
			a, ok := m.(*AppendEntries)
			if !ok || a.From != leader || a.To != behind || len(a.Entries) == 0 {
				return false
			}
			c.deliverLater(&AppendEntries{Header: a.Header, PrevIndex: a.PrevIndex, PrevTerm: a.PrevTerm, Commit: a.Commit, Round: a.Round})
			return true
		}
		start := c.now
		c.propose(leader, "x")
		if !c.runUntil(2500*time.Millisecond, func() bool { return c.leader() != nil && c.leader().id != leader }) {
			t.Errorf("seed %d: after %v nobody but %s leads", seed, c.now-start, leader)
		} else if !c.commits(2 * time.Second) {
			t.Errorf("seed %d: nothing is committed under %s", seed, c.leader().id)
		}
	}
}
