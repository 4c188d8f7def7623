package rsm_test

// The scenarios of Lab 4A, and of 4C for rsm, under their names.

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

func TestBasic4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.leader()
		for i := int64(1); i <= 10; i++ {
			if got := c.inc(); got != i {
				t.Fatalf("increment %d returned %d", i, got)
			}
			c.everywhere(i)
		}
	})
}

func TestConcurrent4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.nodes[c.leader()]
		var wg sync.WaitGroup
		seen := make([]atomic.Bool, 51)
		for range 50 {
			wg.Go(func() {
				got, err := leader.Submit(t.Context(), 1)
				if err != nil || got < 1 || got > 50 || seen[got].Swap(true) {
					t.Errorf("submit returned %d, %v", got, err)
				}
			})
		}
		wg.Wait()
		c.ops += 50
		c.everywhere(50)
	})
}

func TestLeaderFailure4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		c.net.Disconnect(leader)
		c.leader(c.others(leader)...)
		if got := c.incAt(c.others(leader)...); got != 2 {
			t.Fatalf("after the leader was cut off the counter is %d", got)
		}
		c.net.Connect(leader)
		c.everywhere(2)
	})
}

// A leader that is cut off must neither execute nor give up what it was given. When
// the others have moved on, it learns that its entries lost their places.
func TestLeaderPartition4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		old := c.leader()
		others := c.others(old)
		c.net.Partition([]raft.NodeID{old}, others)
		var returned atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := c.nodes[old].Submit(t.Context(), 1)
				if !errors.Is(err, rsm.ErrWrongLeader) {
					t.Errorf("a submit to the leader that was cut off returned %v", err)
				}
				returned.Add(1)
			})
		}
		c.leader(others...)
		for range 10 {
			c.incAt(others...)
		}
		time.Sleep(time.Second)
		if n := returned.Load(); n != 0 {
			t.Fatalf("%d submits returned without a majority", n)
		}
		c.net.Heal()
		healed := time.Now()
		wg.Wait()
		if d := time.Since(healed); d > time.Second {
			t.Errorf("the submits returned %v after healing", d)
		}
		c.everywhere(11)
	})
}

func TestRestartReplay4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		for range 100 {
			c.inc()
		}
		c.everywhere(100)
		c.restartAll()
		if got := c.inc(); got != 101 {
			t.Fatalf("after the restart the counter is %d", got)
		}
		c.everywhere(101)
		for id, m := range c.machines {
			if m.executed != 101 {
				t.Errorf("%s executed %d operations, want 101", id, m.executed)
			}
		}
	})
}

func TestShutdown4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		c.net.Partition([]raft.NodeID{leader}, c.others(leader))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := c.nodes[leader].Submit(t.Context(), 1); !errors.Is(err, rsm.ErrStopped) {
					t.Errorf("submit returned %v", err)
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		for _, id := range c.ids {
			n := c.nodes[id]
			c.ends[id].Stop()
			n.Stop()
		}
		wg.Wait()
		if _, err := c.nodes[leader].Submit(t.Context(), 1); !errors.Is(err, rsm.ErrStopped) {
			t.Errorf("submit after the stop returned %v", err)
		}
	})
}

func TestRestartSubmit4A(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		for range 100 {
			c.inc()
		}
		c.everywhere(100)
		c.restartAll()
		c.inc()
		c.everywhere(101)
		// Submits under way when all replicas stop: each returns, and those that said
		// they were executed have been.
		leader := c.nodes[c.leader()]
		var wg sync.WaitGroup
		var executed atomic.Int64
		for range 100 {
			wg.Go(func() {
				if _, err := leader.Submit(t.Context(), 1); err == nil {
					executed.Add(1)
				}
			})
		}
		time.Sleep(3 * time.Millisecond)
		c.restartAll()
		wg.Wait()
		got := c.inc()
		if n := executed.Load(); got < 102+n || got > 202 {
			t.Errorf("the counter is %d after 101, %d of 100 known to be executed, and 1", got, n)
		}
		c.everywhere(got)
	})
}

func TestSnapshot4C(t *testing.T) {
	const maxRaftState = 1000
	run(t, 3, maxRaftState, func(t *testing.T, c *cluster) {
		checkLogs := func() {
			t.Helper()
			for id, d := range c.disks {
				if size := d.LogBytes(); size > 2*maxRaftState {
					t.Errorf("%s has a log of %d bytes", id, size)
				}
			}
		}
		for range 100 {
			c.inc()
		}
		c.everywhere(100)
		time.Sleep(time.Second)
		checkLogs()
		c.restartAll()
		if got := c.inc(); got != 101 {
			t.Fatalf("after the restart the counter is %d", got)
		}
		for id, m := range c.machines {
			if m.executed >= 100 {
				t.Errorf("%s replayed %d operations in spite of its snapshot", id, m.executed)
			}
		}
		for range 99 {
			c.inc()
		}
		c.everywhere(200)
		time.Sleep(time.Second)
		checkLogs()
	})
}

// A follower that needs a snapshot needs one: while it stores that, others go on and the
// leader takes the next, and what is between them stays in the leader's log.
func TestCatchUpTakesOneSnapshot(t *testing.T) {
	const maxRaftState = 4000
	run(t, 3, maxRaftState, func(t *testing.T, c *cluster) {
		leader := c.leader()
		follower := c.others(leader)[0]
		snapshot := func() raft.Index { return c.nodes[leader].Status().Snapshot.Index }
		until := func(what string, true func() bool) {
			t.Helper()
			for range 1000 {
				if true() {
					return
				}
				c.incAt(leader)
			}
			t.Fatalf("never: %s", what)
		}
		c.stop(follower)
		until("a log that begins later", func() bool { return c.nodes[leader].Status().FirstIndex > 10 })

		arrives, stored := make(chan raft.Index), make(chan struct{})
		c.disks[follower].snapshot = func(meta raft.SnapshotMeta) {
			select {
			case arrives <- meta.Index:
				<-stored
			case <-stored:
			}
		}
		c.start(follower)
		sent := <-arrives
		until("another snapshot", func() bool { return snapshot() > sent })
		if first := c.nodes[leader].Status().FirstIndex; first > sent+1 {
			t.Errorf("the leader's log begins at %d, and the follower will have a snapshot of %d", first, sent)
		}
		close(stored)
		c.everywhere(c.incAt(leader))
		if n := c.machines[follower].restored; n != 1 {
			t.Errorf("the follower restored %d snapshots, want 1", n)
		}

		// One that is away holds nothing back.
		c.stop(follower)
		behind := c.nodes[leader].Status().LastIndex
		time.Sleep(2 * time.Second) // until the leader has noticed
		until("a log that has been cut", func() bool { return c.nodes[leader].Status().FirstIndex > behind })
		if size := c.disks[leader].LogBytes(); size > 2*maxRaftState {
			t.Errorf("the leader has a log of %d bytes", size)
		}
	})
}

func (c *cluster) others(id raft.NodeID) (ids []raft.NodeID) {
	for _, other := range c.ids {
		if other != id {
			ids = append(ids, other)
		}
	}
	return ids
}

// incAt is inc at some of the replicas only.
func (c *cluster) incAt(ids ...raft.NodeID) int64 {
	c.t.Helper()
	for range 500 {
		for _, id := range ids {
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
			got, err := c.nodes[id].Submit(ctx, 1)
			cancel()
			if err == nil {
				c.ops++
				return got
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("no agreement among %v", ids)
	return 0
}

// A leader answers lease reads at once, from whatever goroutine asks, as long as its
// lease lasts and its state machine has executed all that is committed; and asks nobody.
func TestLeaseReadsAskNobody(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leaseholder()
		atOnce := func(id raft.NodeID) bool {
			answers := make(chan error, 1)
			c.nodes[id].ReadFunc(raft.ReadByLease, func(err error) { answers <- err })
			select {
			case err := <-answers:
				if err != nil {
					t.Errorf("lease read at %s: %v", id, err)
				}
				return true
			default:
				<-answers
				return false
			}
		}
		if !atOnce(leader) {
			t.Error("the leader's lease is not used")
		}
		if id := c.others(leader)[0]; atOnce(id) {
			t.Errorf("%s has no lease and answers at once", id)
		}

		// One that is cut off may do so no more when another can have been elected.
		c.net.Disconnect(leader)
		if !atOnce(leader) {
			t.Error("a lease ends with the connection")
		}
		next := c.leader(c.others(leader)...)
		c.incAt(next)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.nodes[leader].Read(ctx, raft.ReadByLease); err == nil {
			t.Error("a leader answers by its lease although another has been elected")
		}
	})
}

// A leader whose state machine is behind waits for it: what is committed may have been
// acknowledged by another.
func TestLeaseReadsWaitForWhatIsCommitted(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leaseholder()
		held := make(chan struct{})
		c.machines[leader].hold(held)
		go c.nodes[leader].Submit(t.Context(), 1)
		time.Sleep(100 * time.Millisecond) // it is committed, and executed elsewhere
		if got := c.machines[c.others(leader)[0]].get(); got != 2 {
			t.Fatalf("another replica holds %d", got)
		}
		read := make(chan error, 1)
		c.nodes[leader].ReadFunc(raft.ReadByLease, func(err error) { read <- err })
		time.Sleep(100 * time.Millisecond)
		select {
		case err := <-read:
			t.Errorf("a read ended with %v before what is committed was executed", err)
		default:
		}
		close(held)
		if err := <-read; err != nil || c.machines[leader].get() != 2 {
			t.Errorf("then it ended with %v, at %d", err, c.machines[leader].get())
		}
	})
}

// The announcement of a snapshot without its data, from a member with a fault, costs nobody the log.
func TestASnapshotWithoutDataHasNoEffect(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		c.inc()
		c.everywhere(1)
		term := c.nodes[leader].Status().Term
		for _, id := range c.others(leader) {
			c.nodes[id].Receive(&raft.InstallSnapshot{
				Header: raft.Header{From: leader, To: id, Term: term},
				Meta:   raft.SnapshotMeta{Index: 1000, Term: term, Configuration: raft.NewConfiguration(c.ids...)},
			})
		}
		c.inc()
		c.everywhere(2)
		for _, id := range c.ids {
			if s := c.nodes[id].Status(); s.Commit >= 1000 {
				t.Errorf("%s believes that %d is committed", id, s.Commit)
			}
		}
	})
}
