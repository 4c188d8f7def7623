package rsm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Members need not agree on election timeouts, nor on whether there are leases. Replica 1
// leads with a long timeout, is cut off, and the others elect another as soon as they may.
// No lease read at 1 misses what that one acknowledges.
func TestLeasesOfUnequalMembers(t *testing.T) {
	const short, long = 500 * time.Millisecond, 5 * time.Second
	type setting struct {
		timeout time.Duration
		leases  bool
	}
	for _, test := range []struct {
		name          string
		before, after setting // of the others, while 1 leads, and from a restart in the cut on
		restart       bool
		reset         bool // connections break, and all hear of it
		leased        bool // 1 has a lease
	}{
		{name: "shorter timeouts", before: setting{short, true}, leased: true},
		{name: "shorter timeouts, resets", before: setting{short, true}, reset: true, leased: true},
		{name: "no leases elsewhere", before: setting{short, false}},
		{name: "no leases elsewhere, resets", before: setting{short, false}, reset: true},
		{name: "leases turned off", before: setting{long, true}, after: setting{short, false}, restart: true, leased: true},
		{name: "timeouts made shorter", before: setting{long, true}, after: setting{short, true}, restart: true, leased: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, 3, -1, func(t *testing.T, c *cluster) {
				others := test.before
				c.settings = func(cfg *rsm.Config[int64, int64]) {
					cfg.ElectionTimeout, cfg.LeaseReads = long, true
					if cfg.ID != 1 {
						cfg.ElectionTimeout, cfg.LeaseReads = others.timeout, others.leases
					}
				}
				c.restartAll()
				if leader := c.leader(); leader != 1 {
					c.incAt(leader)
					if err := c.nodes[leader].TransferLeadership(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				}
				want := c.incAt(1) + 1
				time.Sleep(300 * time.Millisecond)
				if got := leaseRead(c, 1); got != test.leased {
					t.Fatalf("before the cut it reads by a lease: %t", got)
				}
				c.net.Disconnect(1)
				others = test.after
				for _, id := range []raft.NodeID{2, 3} {
					if test.restart {
						c.stop(id)
						c.start(id)
					}
					if test.reset {
						c.nodes[id].Unreachable(1)
					}
				}
				c.writeBy(want, 2, 3)
				if leaseRead(c, 1) && c.machines[1].get() != want {
					t.Errorf("a lease read at the old leader finds %d, after %d was acknowledged", c.machines[1].get(), want)
				}
			})
		})
	}
}

// leaseRead tells whether a replica answers a lease read at once.
func leaseRead(c *cluster, id raft.NodeID) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Microsecond)
	defer cancel()
	return c.nodes[id].Read(ctx, raft.ReadByLease) == nil
}

// writeBy adds one at whichever of these replicas leads first, with result want.
func (c *cluster) writeBy(want int64, ids ...raft.NodeID) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Millisecond) {
		for _, id := range ids {
			if got, err := c.nodes[id].Submit(c.t.Context(), 1); err == nil {
				if got != want {
					c.t.Fatalf("the sum is %d, want %d", got, want)
				}
				return
			}
		}
	}
	c.t.Fatal("nobody else is elected")
}

// A machine that was suspended wakes up with its ticks and timers as they were. The clock
// of leases shows that time has passed.
func TestLeaseEndsWhileTheMachineIsSuspended(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leaseholder()
		if !leaseRead(c, leader) {
			t.Fatal("the leader has no lease")
		}
		c.net.Disconnect(leader)
		c.suspended[leader].Store(int64(time.Second))
		if leaseRead(c, leader) {
			t.Error("its lease outlives a second of suspension")
		}
	})
}

// A replica that has stopped or failed answers no read, though its lease would last.
func TestNoLeaseReadsAfterTheEnd(t *testing.T) {
	end := map[string]func(c *cluster, leader raft.NodeID){
		"stopped": func(c *cluster, leader raft.NodeID) { c.stop(leader) },
		"failed": func(c *cluster, leader raft.NodeID) {
			c.disks[leader].mu.Lock()
			c.disks[leader].err = errors.New("the disk is gone")
			c.disks[leader].mu.Unlock()
			c.nodes[leader].SubmitFunc(1, func(int64, error) {})
		},
	}
	for name, end := range end {
		run(t, 3, -1, func(t *testing.T, c *cluster) {
			leader := c.leaseholder()
			n := c.nodes[leader]
			if err := n.Read(t.Context(), raft.ReadByLease); err != nil {
				t.Fatal(err)
			}
			end(c, leader)
			<-n.Done()
			if err := n.Read(t.Context(), raft.ReadByLease); !errors.Is(err, rsm.ErrStopped) {
				t.Errorf("a replica that has %s reads: %v", name, err)
			}
		})
	}
}
