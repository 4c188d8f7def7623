package rsm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
	"balsa.example/rsm"
)

// join starts a replica that knows no member.
func (c *cluster) join(id raft.NodeID) {
	c.ids = append(c.ids, id)
	c.suspend(id)
	c.disks[id] = &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.Configuration{})}
	c.start(id)
}

// change changes the members through whoever leads, and tries again while it is certain that
// nothing has changed.
func (c *cluster) change(edit func(*raft.Configuration)) raft.Configuration {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		for _, id := range c.ids {
			n := c.nodes[id]
			if n == nil {
				continue
			}
			conf, err := n.ChangeConfiguration(ctx, func(conf raft.Configuration) (raft.Configuration, error) {
				edit(&conf)
				return conf, nil
			})
			if err == nil {
				return conf
			}
			if !certain(err) {
				c.t.Fatalf("change the members at %s: %v", id, err)
			}
			if !errors.Is(err, rsm.ErrWrongLeader) {
				last = err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatalf("the members do not change in 20 s: %v", last)
	return raft.Configuration{}
}

// certain tells whether err says that nothing has changed and nothing will.
func certain(err error) bool {
	for _, known := range []error{
		rsm.ErrWrongLeader, rsm.ErrBusy, raft.ErrTransferring, raft.ErrNotReady, raft.ErrChangePending, raft.ErrNotCaughtUp, raft.ErrBadConfiguration,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func addLearner(id raft.NodeID) func(*raft.Configuration) {
	return func(c *raft.Configuration) {
		if !c.Contains(id) {
			c.Learners = append(slices.Clone(c.Learners), id)
		}
	}
}

func promote(id raft.NodeID) func(*raft.Configuration) {
	return func(c *raft.Configuration) {
		c.Learners = without(c.Learners, id)
		c.Voters.Incoming = quorum.NewMajority(append(slices.Clone(c.Voters.Incoming), id)...)
	}
}

func remove(id raft.NodeID) func(*raft.Configuration) {
	return func(c *raft.Configuration) {
		c.Learners = without(c.Learners, id)
		c.Voters.Incoming = without(c.Voters.Incoming, id)
	}
}

func without(ids []raft.NodeID, id raft.NodeID) []raft.NodeID {
	return slices.DeleteFunc(slices.Clone(ids), func(other raft.NodeID) bool { return other == id })
}

// gone waits until a replica has stopped because it was removed.
func (c *cluster) gone(id raft.NodeID) {
	c.t.Helper()
	select {
	case <-c.nodes[id].Done():
		if err := c.nodes[id].Err(); !errors.Is(err, rsm.ErrRemoved) {
			c.t.Fatalf("%s was removed, and stopped because of %v", id, err)
		}
	case <-time.After(10 * time.Second):
		c.t.Fatalf("%s was removed, and goes on", id)
	}
	c.stop(id)
	c.ids = without(c.ids, id)
}

func TestMemberJoinsVotesAndLeaves(t *testing.T) {
	run(t, 3, 2000, func(t *testing.T, c *cluster) {
		for range 100 {
			c.inc()
		}
		c.join(4)
		time.Sleep(5 * time.Second)
		if s := c.nodes[4].Status(); s.Term != 0 || s.Role != raft.Follower {
			t.Fatalf("a replica without a configuration is %s in term %d", s.Role, s.Term)
		}
		if conf := c.change(addLearner(4)); conf.Part(4) != raft.Learner {
			t.Fatalf("the members are %s", conf)
		}
		if conf := c.change(promote(4)); conf.Part(4) != raft.Voter || conf.Voters.IsJoint() {
			t.Fatalf("the members are %s", conf)
		}
		c.everywhere(100)
		c.stop(2) // three of four
		if got := c.inc(); got != 101 {
			t.Fatalf("the counter is %d", got)
		}
		c.start(2)
		c.change(remove(3))
		c.gone(3)
		c.inc()
		c.everywhere(102)
		if latest, committed := c.nodes[4].Configuration(); !latest.Equal(committed) || fmt.Sprint(latest) != "[n1 n2 n4]" {
			t.Errorf("4 knows the members %s, committed %s", latest, committed)
		}
	})
}

// The leader removes itself: it hands over, so that nobody waits for an election.
func TestLeaderRemovesItself(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		n := c.nodes[leader]
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 { // what was submitted to it before is answered
				if _, err := n.Submit(t.Context(), 1); err != nil && !errors.Is(err, rsm.ErrBusy) && !errors.Is(err, rsm.ErrWrongLeader) {
					t.Errorf("submit: %v", err)
				}
			}
		})
		began := time.Now()
		if _, err := n.ChangeConfiguration(t.Context(), func(conf raft.Configuration) (raft.Configuration, error) {
			remove(leader)(&conf)
			return conf, nil
		}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		c.gone(leader)
		c.inc()
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("the removal of the leader took %v", took)
		}
	})
}

// A leader that removes itself, and executes slowly, answers all that it has taken. What comes later
// it refuses: nothing ends with an unknown outcome.
func TestRemovedLeaderLeavesNoOutcomeUnknown(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		n, gate := c.nodes[leader], make(chan struct{})
		c.machines[leader].hold(gate)
		var executed atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for {
					_, err := n.Submit(t.Context(), 1)
					switch {
					case err == nil:
						executed.Add(1)
					case errors.Is(err, rsm.ErrBusy):
						time.Sleep(time.Millisecond)
					case errors.Is(err, rsm.ErrWrongLeader):
						return
					default:
						t.Errorf("submit: %v", err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			for n.Err() == nil {
				select {
				case gate <- struct{}{}:
				case <-n.Done():
				}
				time.Sleep(time.Millisecond)
			}
			close(gate)
		})
		if _, err := n.ChangeConfiguration(t.Context(), func(conf raft.Configuration) (raft.Configuration, error) {
			remove(leader)(&conf)
			return conf, nil
		}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		c.gone(leader)
		if got, want := c.inc(), executed.Load()+2; got != want {
			t.Errorf("the counter is %d, want %d", got, want)
		}
	})
}

// All members are replaced one by one, whoever leads.
func TestAllMembersAreReplaced(t *testing.T) {
	run(t, 3, 1000, func(t *testing.T, c *cluster) {
		for old := raft.NodeID(1); old <= 3; old++ {
			for range 30 {
				c.inc()
			}
			c.join(old + 10)
			c.change(addLearner(old + 10))
			c.change(func(conf *raft.Configuration) {
				promote(old + 10)(conf)
				remove(old)(conf)
			})
			c.gone(old)
		}
		c.everywhere(c.inc())
		c.restartAll()
		if got := c.inc(); got != 92 {
			t.Errorf("the counter is %d, want 92", got)
		}
		if latest, _ := c.nodes[11].Configuration(); fmt.Sprint(latest) != "[n11 n12 n13]" {
			t.Errorf("the members are %s", latest)
		}
	})
}

// A cluster of one grows to three, and shrinks to another one.
func TestClusterOfOneGrowsAndShrinks(t *testing.T) {
	run(t, 1, 1000, func(t *testing.T, c *cluster) {
		for range 100 {
			c.inc()
		}
		for _, id := range []raft.NodeID{2, 3} {
			c.join(id)
			c.change(addLearner(id))
			c.change(promote(id))
		}
		c.stop(2)
		c.inc()
		c.start(2)
		for _, id := range []raft.NodeID{1, 2} {
			c.change(remove(id))
			c.gone(id)
		}
		if got := c.inc(); got != 102 {
			t.Errorf("the counter is %d", got)
		}
		c.restartAll()
		c.everywhere(c.inc())
	})
}

// A member that is down when it is removed, and was never told, disturbs nobody when it comes back.
func TestRemovedMemberThatWasNotToldDisturbsNobody(t *testing.T) {
	run(t, 4, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		gone := c.others(leader)[0]
		c.stop(gone)
		c.change(remove(gone))
		time.Sleep(20 * time.Second) // the leader gives up telling it
		before := c.nodes[leader].Status()
		c.start(gone)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			c.incAt(leader)
		}
		if after := c.nodes[leader].Status(); after.Term != before.Term || after.Role != raft.Leader {
			t.Errorf("term %d became %d", before.Term, after.Term)
		}
		if s := c.nodes[gone].Status(); s.Role == raft.Leader || s.Term > before.Term {
			t.Errorf("it is %s in term %d", s.Role, s.Term)
		}
	})
}

// All replicas stop in a joint phase, and leave it when they run again. The change was committed by
// then, so that it happens although its caller heard no more than ErrStopped.
func TestJointPhaseSurvivesARestart(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		c.join(4)
		c.change(addLearner(4))
		c.everywhere(1)
		time.Sleep(time.Second) // it catches up
		leader := c.leader()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.nodes[leader].ChangeConfiguration(t.Context(), func(conf raft.Configuration) (raft.Configuration, error) {
				promote(4)(&conf)
				return conf, nil
			})
			if !errors.Is(err, rsm.ErrStopped) {
				t.Errorf("a change at a replica that stops returns %v", err)
			}
		})
		for joint := 0; joint < 2; { // two have it, and nobody can commit what follows
			time.Sleep(100 * time.Microsecond)
			joint = 0
			for _, n := range c.nodes {
				if latest, _ := n.Configuration(); latest.Voters.IsJoint() {
					joint++
				}
			}
		}
		for _, id := range c.ids {
			c.net.Disconnect(id)
		}
		time.Sleep(10 * time.Millisecond)
		for _, id := range c.ids {
			c.stop(id)
		}
		wg.Wait()
		c.net.Heal()
		for _, id := range c.ids {
			c.start(id)
		}
		c.inc()
		c.everywhere(2)
		for _, id := range c.ids {
			for range 100 {
				if latest, committed := c.nodes[id].Configuration(); latest.Equal(committed) && !latest.Voters.IsJoint() {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if latest, committed := c.nodes[id].Configuration(); fmt.Sprint(latest) != "[n1 n2 n3 n4]" || !latest.Equal(committed) {
				t.Errorf("%s knows the members %s, committed %s", id, latest, committed)
			}
		}
	})
}

// What ChangeConfiguration refuses has changed nothing.
func TestChangesAreRefused(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		n := c.nodes[leader]
		mistake := errors.New("a mistake")
		for _, x := range []struct {
			at   raft.NodeID
			edit func(*raft.Configuration)
			err  error
			want error
		}{
			{c.others(leader)[0], addLearner(4), nil, rsm.ErrWrongLeader},
			{leader, addLearner(4), mistake, mistake},
			{leader, promote(4), nil, raft.ErrNotCaughtUp},
			{leader, func(c *raft.Configuration) { *c = raft.Configuration{} }, nil, raft.ErrBadConfiguration},
			{leader, func(*raft.Configuration) {}, nil, nil},
		} {
			_, err := c.nodes[x.at].ChangeConfiguration(t.Context(), func(conf raft.Configuration) (raft.Configuration, error) {
				x.edit(&conf)
				return conf, x.err
			})
			if !errors.Is(err, x.want) {
				t.Errorf("a change returned %v, want %v", err, x.want)
			}
		}
		if latest, _ := n.Configuration(); fmt.Sprint(latest) != "[n1 n2 n3]" {
			t.Errorf("the members are %s", latest)
		}
		c.net.Partition([]raft.NodeID{leader}, c.others(leader))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := n.ChangeConfiguration(t.Context(), func(conf raft.Configuration) (raft.Configuration, error) {
				addLearner(4)(&conf)
				return conf, nil
			}); !errors.Is(err, rsm.ErrWrongLeader) {
				t.Errorf("a change that another entry has replaced returned %v", err)
			}
		})
		c.leader(c.others(leader)...)
		c.incAt(c.others(leader)...)
		c.net.Heal()
		c.everywhere(2)
		wg.Wait()
	})
}

// A learner for good serves reads, and what is submitted to it is forwarded.
func TestLearnerServes(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		c.join(4)
		c.change(addLearner(4))
		n := c.nodes[4]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if got, _, err := n.SubmitAnywhere(ctx, 1); err != nil || got != 2 {
			t.Fatalf("a learner returned %d, %v", got, err)
		}
		if _, err := n.ReadAnywhere(ctx, raft.ReadByIndex); err != nil || c.machines[4].get() != 2 {
			t.Fatalf("a learner reads %d, %v", c.machines[4].get(), err)
		}
		leader := c.leader()
		if p := c.peer(leader, 4); p.Part != raft.Learner || p.Behind != 0 || !p.Active {
			t.Errorf("the leader knows of it: %+v", p)
		}
		for _, id := range []raft.NodeID{1, 2, 3} {
			if id != leader {
				c.stop(id)
			}
		}
		submitCtx, cancelSubmit := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelSubmit()
		if _, err := c.nodes[leader].Submit(submitCtx, 1); err == nil {
			t.Error("a leader commits with a learner alone")
		}
	})
}

// watchedTransport tells of the members that messages are for.
type watchedTransport struct {
	rsm.Transport
	sends func(to raft.NodeID)
}

func (w watchedTransport) Send(ms []raft.Message) {
	for _, m := range ms {
		w.sends(m.Head().To)
	}
	w.Transport.Send(ms)
}

// A shell hears of a new member before there are messages for it.
func TestOnConfigurationComesBeforeTheFirstMessage(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		var mu sync.Mutex
		known := map[raft.NodeID]raft.Configuration{}
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			id := cfg.ID
			cfg.OnConfiguration = func(latest, _ raft.Configuration) {
				mu.Lock()
				defer mu.Unlock()
				known[id] = latest
			}
			cfg.Transport = watchedTransport{cfg.Transport, func(to raft.NodeID) {
				mu.Lock()
				defer mu.Unlock()
				if !known[id].Contains(to) {
					t.Errorf("%s sends to %s, and knows of %s", id, to, known[id])
				}
			}}
		}
		c.restartAll()
		c.change(addLearner(9))
		c.inc()
	})
}

func (c *cluster) peer(leader, id raft.NodeID) raft.PeerStatus {
	for _, p := range c.nodes[leader].Status().Peers {
		if p.ID == id {
			return p
		}
	}
	return raft.PeerStatus{}
}

// OnConfiguration is told of the start, and then of each change in order.
func TestOnConfigurationIsToldOfEachChange(t *testing.T) {
	var mu sync.Mutex
	told := map[raft.NodeID][]string{}
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			id := cfg.ID
			cfg.OnConfiguration = func(latest, committed raft.Configuration) {
				mu.Lock()
				defer mu.Unlock()
				told[id] = append(told[id], fmt.Sprint(latest, ", committed ", committed))
			}
		}
		c.restartAll()
		c.change(addLearner(9))
		c.inc()
		c.everywhere(1)
		mu.Lock()
		defer mu.Unlock()
		want := []string{"[n1 n2 n3], committed [n1 n2 n3]", "[n1 n2 n3] learners[n9], committed [n1 n2 n3]", "[n1 n2 n3] learners[n9], committed [n1 n2 n3] learners[n9]"}
		for id, got := range told {
			if len(got) < 2 || got[0] != want[0] || got[len(got)-1] != want[2] {
				t.Errorf("%s was told of %q", id, got)
			}
		}
	})
}
