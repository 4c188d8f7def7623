package rsm_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

func TestSubmitEntryTellsTheEntry(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.nodes[c.leader()]
		before := leader.Status()
		for i := range raft.Index(3) {
			_, entry, err := leader.SubmitEntry(t.Context(), 1)
			if want := (rsm.EntryID{Index: before.LastIndex + i + 1, Term: before.Term}); err != nil || entry != want {
				t.Errorf("%v, %v, want %v", entry, err, want)
			}
		}
	})
}

// Whoever is asked serves, from before the first election on, each operation once.
func TestSubmitAnywhere(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		sums, entries := map[int64]bool{}, map[rsm.EntryID]bool{}
		for _, id := range c.ids {
			for range 50 {
				wg.Go(func() {
					sum, entry, err := c.nodes[id].SubmitAnywhere(t.Context(), 1)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					sums[sum], entries[entry] = true, true
				})
			}
		}
		wg.Wait()
		c.ops += 150
		c.everywhere(150)
		if len(sums) != 150 || len(entries) != 150 {
			t.Errorf("%d results, %d entries", len(sums), len(entries))
		}
	})
}

// The leader tells a follower that forwards something of the commit at once, and the others after a
// tick. A heartbeat later would be too late for clients that wait.
func TestCommitsAreToldToFollowersSoon(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		const heartbeat, tick = 50 * time.Millisecond, 10 * time.Millisecond // the defaults
		leader := c.leader()
		for _, id := range c.ids {
			var waited, late time.Duration
			for i := range 20 {
				time.Sleep(2*heartbeat + time.Duration(i)*heartbeat/20)
				start := time.Now()
				if _, _, err := c.nodes[id].SubmitAnywhere(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				waited = max(waited, time.Since(start))
				c.ops++
				for _, m := range c.machines {
					for m.get() < int64(c.ops) {
						time.Sleep(time.Millisecond)
					}
				}
				late = max(late, time.Since(start))
			}
			t.Logf("%s, leader %s: the outcome after %v, everywhere after %v", id, leader, waited, late)
			if waited > tick {
				t.Errorf("by way of %s, which leads: %t, the outcome takes %v", id, id == leader, waited)
			}
			if late > 3*tick {
				t.Errorf("by way of %s, which leads: %t, it takes %v until all have executed it", id, id == leader, late)
			}
		}
	})
}

// A leader need not take what others forward, and says so.
func TestForwardedOperationsNeedAdmission(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.settings = func(cfg *rsm.Config[int64, int64]) { cfg.Admit = func([]byte) bool { return !full.Load() } }
		for _, id := range c.ids {
			c.stop(id)
			c.start(id)
		}
		leader := c.leader()
		for _, id := range c.ids {
			_, _, err := c.nodes[id].SubmitAnywhere(t.Context(), 1)
			if want := id != leader; errors.Is(err, rsm.ErrNotAdmitted) != want || errors.Is(err, rsm.ErrBusy) != want {
				t.Errorf("%s: %v", id, err)
			}
		}
		full.Store(false)
		for _, id := range c.ids {
			if _, _, err := c.nodes[id].SubmitAnywhere(t.Context(), 1); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		c.ops += 4
		c.everywhere(4)
	})
}

// What a new leader has to say comes before the first operation, whichever replica took that, and once. What must not be
// proposed is not proposed first either.
func TestWhatALeaderProposesFirst(t *testing.T) {
	for _, by := range []string{"the leader", "another"} {
		for first, refused := range map[int64]bool{100: false, 200: true} {
			run(t, 3, -1, func(t *testing.T, c *cluster) {
				c.settings = func(cfg *rsm.Config[int64, int64]) {
					counter := cfg.Machine.(*counter)
					cfg.First = func() (int64, bool) { return first, counter.get() < 100 }
					cfg.Refuse = func(op int64) error {
						if op >= 200 {
							return errors.New("not all members know it")
						}
						return nil
					}
				}
				for _, id := range c.ids {
					c.stop(id)
					c.start(id)
				}
				id := c.leader()
				if by != "the leader" {
					id = c.others(id)[0]
				}
				before := first
				if refused {
					before = 0
				}
				for i := range int64(3) {
					sum, _, err := c.nodes[id].SubmitAnywhere(t.Context(), 1)
					for errors.Is(err, rsm.ErrBusy) { // entries of earlier terms are not executed yet
						time.Sleep(time.Millisecond)
						sum, _, err = c.nodes[id].SubmitAnywhere(t.Context(), 1)
					}
					if err != nil || sum != before+1+i {
						t.Errorf("by %s: the sum is %d, %v, want %d", by, sum, err, before+1+i)
					}
				}
			})
		}
	}
}

// While leadership is handed over nobody is turned away.
func TestSubmitAnywhereDuringTransfers(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var done atomic.Int64
		for _, id := range c.ids {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, _, err := c.nodes[id].SubmitAnywhere(t.Context(), 1); err != nil {
						t.Errorf("at %s: %v", id, err)
					}
					done.Add(1)
				}
			})
		}
		transfers := 0
		for ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			leader, err := c.nodes[1].AwaitLeader(ctx)
			if err == nil && c.nodes[leader].TransferLeadership(ctx, raft.None) == nil {
				transfers++
			}
		}
		wg.Wait()
		c.ops += int(done.Load())
		c.everywhere(done.Load())
		if transfers < 10 {
			t.Errorf("only %d transfers", transfers)
		}
		t.Logf("%d transfers", transfers)
	})
}

// On a network that loses and reorders messages, with leaders that are cut off, each error
// tells truly whether the operation was executed.
func TestSubmitAnywhereIsTruthful(t *testing.T) {
	run(t, 5, -1, func(t *testing.T, c *cluster) {
		c.net.Reliable(false)
		c.net.LongReordering(true)
		var done, unknown atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for _, id := range c.ids {
			for range 4 {
				wg.Go(func() {
					for ctx.Err() == nil {
						switch _, _, err := c.nodes[id].SubmitAnywhere(ctx, 1); {
						case err == nil:
							done.Add(1)
						case !errors.Is(err, rsm.ErrWrongLeader) && !errors.Is(err, rsm.ErrBusy):
							unknown.Add(1)
						}
					}
				})
			}
		}
		for ctx.Err() == nil {
			time.Sleep(2 * time.Second)
			leader := c.leader()
			c.net.Disconnect(leader)
			time.Sleep(2 * time.Second)
			c.net.Connect(leader)
		}
		wg.Wait()
		c.net.Reliable(true)
		c.net.LongReordering(false)
		time.Sleep(10 * time.Second) // a replica asks for what was given up for four election timeouts more
		c.ops += int(done.Load())
		sum, _, err := c.nodes[1].SubmitAnywhere(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		c.everywhere(sum)
		t.Logf("%d done, %d unknown, sum %d", done.Load(), unknown.Load(), sum)
		if least, most := done.Load()+1, done.Load()+1+unknown.Load(); sum < least || sum > most {
			t.Errorf("the sum is %d, want %d to %d", sum, least, most)
		}
		if done.Load() < 100 {
			t.Errorf("only %d are done", done.Load())
		}
	})
}

// Without a leader it waits, until ctx ends: then it is certain that nothing was executed.
func TestSubmitAnywhereWithoutALeader(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		one := c.others(c.leader())[0]
		c.net.Disconnect(one)
		time.Sleep(5 * time.Second) // it knows no leader any more
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := c.nodes[one].SubmitAnywhere(ctx, 1)
		if !errors.Is(err, rsm.ErrWrongLeader) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a submit: %v", err)
		}
		if _, err = c.nodes[one].ReadAnywhere(ctx, raft.ReadByIndex); !errors.Is(err, rsm.ErrWrongLeader) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read: %v", err)
		}
		late := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(late) })
		_, _, err = c.nodes[one].SubmitAnywhereUntil(t.Context(), late, 1)
		if !errors.Is(err, rsm.ErrWrongLeader) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a submit, until late: %v", err)
		}
		_, err = c.nodes[one].ReadAnywhereUntil(t.Context(), late, raft.ReadByIndex)
		if !errors.Is(err, rsm.ErrWrongLeader) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read that begins late: %v", err)
		}
		stopped := make(chan error)
		go func() {
			_, _, err := c.nodes[one].SubmitAnywhere(t.Context(), 1)
			stopped <- err
		}()
		synctest.Wait()
		n := c.nodes[one]
		c.stop(one)
		if err := <-stopped; !errors.Is(err, rsm.ErrWrongLeader) || !errors.Is(err, rsm.ErrStopped) {
			t.Errorf("a submit at one that stops: %v", err)
		}
		if _, err := n.AwaitLeader(t.Context()); !errors.Is(err, rsm.ErrStopped) {
			t.Errorf("at one that has stopped: %v", err)
		}
		c.everywhere(1)
	})
}

func TestReadAnywhere(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		_, entry, err := c.nodes[1].SubmitAnywhere(t.Context(), 1) // there is no leader yet
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range c.ids {
			index, err := c.nodes[id].ReadAnywhere(t.Context(), raft.ReadByIndex)
			if err != nil || index < entry.Index || c.machines[id].get() != 1 {
				t.Errorf("at %s: %d, %v, and reads %d; the operation is at %d", id, index, err, c.machines[id].get(), entry.Index)
			}
		}
		leader := c.leaseholder()
		index, err := c.nodes[leader].ReadAnywhere(t.Context(), raft.ReadByLease)
		if err != nil || index < entry.Index {
			t.Errorf("by a lease: %d, %v", index, err)
		}
	})
}

func TestAwaitLeader(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leaders := map[raft.NodeID]bool{}
		for _, id := range c.ids {
			leader, err := c.nodes[id].AwaitLeader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leaders[leader] = true
		}
		leader := c.leader()
		if len(leaders) != 1 || !leaders[leader] {
			t.Errorf("they know %v, and %s leads", leaders, leader)
		}
		one := c.others(leader)[0]
		c.net.Disconnect(one)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if leader, err := c.nodes[one].AwaitLeader(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that is cut off: %s, %v", leader, err)
		}
		c.net.Connect(one)
		if got, err := c.nodes[one].AwaitLeader(t.Context()); err != nil || got == raft.None {
			t.Errorf("one that is back: %s, %v", got, err)
		}
	})
}

func TestAwaitLeaderChange(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		leader := c.leader()
		one := c.others(leader)[0]
		changes := func(known, want raft.NodeID) {
			t.Helper()
			for known != want { // by way of none, perhaps
				now, err := c.nodes[one].AwaitLeaderChange(t.Context(), known)
				if err != nil || now == known {
					t.Fatalf("after %s: %s, %v", known, now, err)
				}
				known = now
			}
		}
		changes(raft.None, leader)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if now, err := c.nodes[one].AwaitLeaderChange(ctx, leader); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s leads all the time: %s, %v", leader, now, err)
		}
		if err := c.nodes[leader].TransferLeadership(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		changes(leader, one)
		c.net.Disconnect(one)
		changes(one, raft.None) // it has lost its quorum
		c.net.Connect(one)
		known, err := c.nodes[one].AwaitLeaderChange(t.Context(), raft.None)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, c.nodes[one].Stop)
		if now, err := c.nodes[one].AwaitLeaderChange(t.Context(), known); !errors.Is(err, rsm.ErrStopped) {
			t.Errorf("it was stopped: %s, %v", now, err)
		}
	})
}

// A transfer that is given up ends with an error, when it is given up.
func TestTransferLeadershipFails(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		to := c.others(leader)[0]
		c.net.Disconnect(to)
		began := time.Now()
		err := c.nodes[leader].TransferLeadership(t.Context(), to)
		if took := time.Since(began); !errors.Is(err, raft.ErrTransferFailed) || took < 400*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		if err := c.nodes[leader].TransferLeadership(t.Context(), 99); !errors.Is(err, raft.ErrNotVoter) {
			t.Errorf("to nobody: %v", err)
		}
		if err := c.nodes[leader].TransferLeadership(t.Context(), leader); err != nil || c.leader() != leader {
			t.Errorf("to the one that leads: %v, and %s leads", err, c.leader())
		}
		if err := c.nodes[to].TransferLeadership(t.Context(), to); !errors.Is(err, raft.ErrNotLeader) {
			t.Errorf("to the one that is asked, and does not lead: %v", err)
		}
	})
}

// Refused operations are not proposed, whichever way they are submitted: the error is that of Refuse.
func TestRefusedOperationsAreNotProposed(t *testing.T) {
	run(t, 1, -1, func(t *testing.T, c *cluster) {
		refusal := errors.New("not yet")
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			cfg.Refuse = func(op int64) error {
				if op > 1 {
					return refusal
				}
				return nil
			}
		}
		c.stop(1)
		c.start(1)
		n := c.nodes[c.leader()]
		_, err1 := n.Submit(t.Context(), 2)
		_, _, err2 := n.SubmitAnywhere(t.Context(), 2)
		err3 := errors.New("not called")
		n.SubmitFunc(2, func(_ int64, err error) { err3 = err })
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, refusal) {
				t.Errorf("%v", err)
			}
		}
		if sum, err := n.Submit(t.Context(), 1); err != nil || sum != 1 {
			t.Errorf("%d, %v", sum, err)
		}
	})
}

// A few large operations take all of the room. So the others wait for it, and those of which the caller gives up
// were not executed. Small ones do not wait.
func TestLargeOperationsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}
		machine := new(opaque)
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[[]byte, int]{
			ID: 1, Machine: machine, Codec: raw{}, Log: disk, Snapshots: disk, Transport: net.Node(1),
			MaxRaftState: -1, MaxPendingBytes: 8 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		hang := make(chan struct{})
		if _, _, err := n.SubmitAnywhere(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		disk.mu.Lock()
		disk.hang = hang
		disk.mu.Unlock()
		large := make([]byte, 3<<20)
		var wg sync.WaitGroup
		submit := func(ctx context.Context, op []byte, want error) {
			wg.Go(func() {
				if _, _, err := n.SubmitAnywhere(ctx, op); !errors.Is(err, want) || want == rsm.ErrBusy && errors.Is(err, rsm.ErrWrongLeader) {
					t.Errorf("an operation of %d bytes: %v, want %v", len(op), err, want)
				}
			})
		}
		for range 10 {
			submit(t.Context(), large, nil)
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 1010*time.Millisecond) // between two attempts
		defer cancel()
		submit(short, large, rsm.ErrBusy)
		begun := time.Now()
		if _, _, err := n.SubmitAnywhere(t.Context(), large[:2<<20]); !errors.Is(err, rsm.ErrBusy) || time.Since(begun) > time.Millisecond {
			t.Errorf("a small operation waits for %v, and gets %v", time.Since(begun), err)
		}
		time.Sleep(2 * time.Second)
		close(hang)
		wg.Wait()
		n.Stop()
		if machine.n != 1+10 {
			t.Errorf("%d operations were executed", machine.n)
		}
	})
}
