package replica_test

// The scenarios of 4B and 4C with a script in place of random clients.

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/raft"
)

func TestSpeed4B(t *testing.T) { speed(t, false) }

func TestSpeed4C(t *testing.T) { speed(t, true) }

// speed is 1,000 Puts, one after the other.
func speed(t *testing.T, snapshots bool) {
	const (
		puts    = 1000
		maxTime = 33 * time.Millisecond // for each
		maxRPCs = 3.2                   // for each, heartbeats included
	)
	var rpcs, messages float64
	var took time.Duration
	c := scenario{servers: 3, snapshots: snapshots}.inBubble(t, func(c *scenarioRun) {
		ck := c.clerk(0)
		c.get(0, ck, "x") // waits for a leader
		before, start := c.net.Counts(), time.Now()
		for version := range uint64(puts) {
			c.mustPut(0, ck, "x", fmt.Sprint(version), version)
		}
		took = time.Since(start)
		after := c.net.Counts()
		rpcs = float64(after.Requests-before.Requests) / puts
		messages = float64(after.Messages-before.Messages) / puts
		if kv := c.get(0, ck, "x"); kv.Version != puts || string(kv.Value) != fmt.Sprint(puts-1) {
			t.Errorf("after %d puts: %+v", puts, kv)
		}
		c.awaitSameState()
	})
	t.Logf("%.2f ms, %.3f RPCs and %.3f messages for each Put", float64(took.Microseconds())/puts/1000, rpcs, messages)
	if took > puts*maxTime {
		t.Errorf("%d puts took %v, want at most %v each", puts, took, maxTime)
	}
	if rpcs > maxRPCs {
		t.Errorf("%.3f RPCs for each Put, want at most %v", rpcs, maxRPCs)
	}
	if snapshots {
		c.checkLog(t)
	}
	c.history.Check(t, puts)
	c.pass(t)
}

// TestOnePartition4B: there is progress where the majority is, none elsewhere, and what
// was asked for there completes when the partition ends.
func TestOnePartition4B(t *testing.T) {
	c := scenario{servers: 5}.inBubble(t, func(c *scenarioRun) {
		c.net.Reliable(false)
		ck, a, b := c.clerk(0), c.clerk(1), c.clerk(2)
		c.increase(0, ck, "1", "13")
		old, term := c.leaderAfter(0)
		minority := []raft.NodeID{old, c.others(old)[0]}
		majority := c.others(minority...)
		c.net.Partition(minority, majority)
		c.net.ConnectClient("0", majority...)
		c.net.ConnectClient("1", minority...)
		c.net.ConnectClient("2", minority...)

		var completed atomic.Int64
		c.clients.Go(func() { // its version is of the future, when it comes true
			_ = c.put(1, a, "1", "15", 2)
			completed.Add(1)
		})
		c.clients.Go(func() {
			c.get(2, b, "1")
			completed.Add(1)
		})
		c.leaderAfter(term)
		for i := range 20 {
			c.increase(0, ck, "1", fmt.Sprint("14-", i))
		}
		time.Sleep(outage)
		if n := completed.Load(); n != 0 {
			t.Errorf("%d operations completed in a minority", n)
		}
		c.net.Heal()
		healed := time.Now()
		c.clients.Wait()
		if d := time.Since(healed); d > 3*time.Second {
			t.Errorf("the operations in the minority took %v after the partition", d)
		}
		c.increase(0, ck, "1", "16")
		c.awaitSameState()
	})
	if n := c.net.Counts().Lost; n < 20 {
		t.Errorf("the network lost %d messages", n)
	}
	c.history.Check(t, 40)
	c.pass(t)
}

// increase puts at the present version, as the only client who does, and reads what it put.
func (c *scenarioRun) increase(client int, ck *clerk.Clerk, key, value string) {
	version := c.get(client, ck, key).Version
	if err := c.put(client, ck, key, value, version); err != nil && !errors.Is(err, clerk.ErrMaybe) {
		c.t.Errorf("put %s=%s at version %d: %v", key, value, version, err)
	}
	if kv := c.get(client, ck, key); string(kv.Value) != value || kv.Version != version+1 {
		c.t.Errorf("after the put of %s=%s at version %d: %+v", key, value, version, kv)
	}
}

// TestSnapshotRPC4C: a server that was cut off while the others trimmed their logs
// catches up by a snapshot.
func TestSnapshotRPC4C(t *testing.T) {
	const puts = 200 // over maxLogBytes together
	c := scenario{servers: 3, snapshots: true}.inBubble(t, func(c *scenarioRun) {
		ck := c.clerk(0)
		c.mustPut(0, ck, "a", "A", 0)
		leader, _ := c.leaderAfter(0)
		lagging, other := c.others(leader)[0], c.others(leader)[1]
		last := c.running()[lagging].Node.Status().LastIndex
		c.net.Disconnect(lagging)
		for i := range puts {
			c.mustPut(0, ck, fmt.Sprint(i%10), fmt.Sprint("value ", i), uint64(i/10))
		}
		c.mustPut(0, ck, "b", "B", 0)
		time.Sleep(outage)
		for _, id := range []raft.NodeID{leader, other} {
			if s := c.running()[id].Node.Status(); s.FirstIndex <= last+1 || s.Snapshot.Index == 0 {
				t.Errorf("server %s has the log from %d on, and a snapshot at %d", id, s.FirstIndex, s.Snapshot.Index)
			}
		}
		if n := c.snapshots.Load(); n != 0 {
			t.Errorf("%d snapshots were sent already", n)
		}

		// From here on nothing can be done without the server that lags.
		c.net.Connect(lagging)
		c.net.Disconnect(other)
		c.mustPut(0, ck, "c", "C", 0)
		c.mustPut(0, ck, "d", "D", 0)
		c.net.Connect(other)
		if c.snapshots.Load() == 0 {
			t.Error("no snapshot was sent")
		}
		// And now with it and the one that missed those.
		c.net.Disconnect(leader)
		c.mustPut(0, ck, "e", "E", 0)
		c.net.Connect(leader)
		for i, key := range []string{"a", "b", "c", "d", "e"} {
			if got := string(c.get(0, ck, key).Value); got != string(rune('A'+i)) {
				t.Errorf("%s holds %q", key, got)
			}
		}
		c.awaitSameState()
	})
	c.checkLog(t)
	c.history.Check(t, puts)
	c.pass(t)
}

// TestSnapshotSize4C: what is on the disk is as large as the state and the history that is
// kept, whatever led to it.
func TestSnapshotSize4C(t *testing.T) {
	const (
		ops           = 800
		maxStateBytes = ops * 20 // half of the operations are puts, and no history was compacted
	)
	var largest int64
	c := scenario{servers: 3, snapshots: true}.inBubble(t, func(c *scenarioRun) {
		ck := c.clerk(0)
		for i := range ops / 2 {
			c.mustPut(0, ck, "x", fmt.Sprint(i), uint64(i))
			if got := string(c.get(0, ck, "x").Value); got != fmt.Sprint(i) {
				t.Errorf("x holds %s, want %d", got, i)
			}
		}
		c.awaitSameState()
		for id, m := range c.servers {
			s := m.replica.Node.Status()
			if s.Snapshot.Index < ops/4 {
				t.Errorf("server %s has a snapshot at %d only", id, s.Snapshot.Index)
			}
			size, err := m.disk.stateBytes()
			if err != nil {
				t.Error(err)
			}
			largest = max(largest, size)
		}
	})
	t.Logf("states of %d bytes", largest)
	if largest > maxStateBytes || largest == 0 {
		t.Errorf("a state has %d bytes, want at most %d", largest, maxStateBytes)
	}
	c.checkLog(t)
	c.history.Check(t, ops)
	c.pass(t)
}
