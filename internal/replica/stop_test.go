package replica_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/replica"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// stopBound is how long Stop may take: the write to the disk that is in progress, and the
// snapshots, of which each takes slowSnapshot to begin.
const (
	stopBound    = 100 * time.Millisecond
	slowSnapshot = 30 * time.Millisecond
)

// moments are when a server may be stopped. Each brings one about.
var moments = []struct {
	name  string
	await func(c *cluster, load *sync.WaitGroup)
}{
	{"BeforeTheFirstElection", func(c *cluster, _ *sync.WaitGroup) {
		c.sleep(time.Second)
	}},
	{"UnderLoad", func(c *cluster, _ *sync.WaitGroup) {
		c.leader()
		c.sleep(500 * time.Millisecond)
	}},
	{"InAnElection", func(c *cluster, _ *sync.WaitGroup) {
		c.net.Disconnect(c.leader())
		c.sleep(1500 * time.Millisecond)
		if c.random.IntN(2) == 0 {
			c.net.Heal()
			c.sleep(20 * time.Millisecond)
		}
	}},
	{"WithASnapshotOnItsWay", func(c *cluster, _ *sync.WaitGroup) {
		behind := c.others(c.leader())[0]
		c.net.Disconnect(behind)
		time.Sleep(400 * time.Millisecond)
		c.net.Connect(behind)
		c.sleep(250 * time.Millisecond)
	}},
	{"InATransferOfLeadership", func(c *cluster, load *sync.WaitGroup) {
		leader := c.leader()
		time.Sleep(100 * time.Millisecond)
		node := c.server(leader).replica.Node
		load.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = node.TransferLeadership(ctx, raft.None) // whatever it comes to, it must end
		})
		c.sleep(30 * time.Millisecond)
	}},
	{"AfterARestart", func(c *cluster, _ *sync.WaitGroup) {
		c.leader()
		c.sleep(300 * time.Millisecond)
		id := c.ids[c.random.IntN(3)]
		m := c.server(id)
		m.replica.Stop()
		m.end.Stop()
		c.off(id, true)
		c.sleep(800 * time.Millisecond)
		c.start(id)
		c.sleep(100 * time.Millisecond)
	}},
}

// sleep lets up to d pass.
func (c *cluster) sleep(d time.Duration) { time.Sleep(time.Duration(c.random.Int64N(int64(d)))) }

// Servers may be stopped at any time: Stop returns soon, each request is answered once and
// truly, and nothing is left.
func TestStopAtAnyTime(t *testing.T) {
	const runs = 7 // of each moment
	for _, moment := range moments {
		for i := range runs {
			t.Run(fmt.Sprint(moment.name, i), func(t *testing.T) {
				t.Parallel()
				seed := nextSeed(t.Name())
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("seed %d", seed)
					}
				})
				synctest.Test(t, func(t *testing.T) { stopAt(t, seed, moment.await) })
			})
		}
	}
}

func stopAt(t *testing.T, seed uint64, await func(*cluster, *sync.WaitGroup)) {
	c := newCluster(t, options{servers: 3, seed: seed, maxRaftState: 4000, segmentSize: 4000})
	defer c.close()
	c.net.SetLatency(time.Duration(c.random.Int64N(int64(10 * time.Millisecond))))
	c.net.Reliable(c.random.IntN(2) == 0)
	c.start(c.ids...)
	slow := func() { time.Sleep(slowSnapshot) }
	for _, m := range c.servers {
		m.state.checkpoint.Store(&slow)
	}

	j := &journal{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	for i := range uint64(4) {
		load.Go(func() { j.client(ctx, seed+i, c.replicas) })
	}
	await(c, &load)

	victims := c.random.Perm(len(c.ids))[:1+c.random.IntN(len(c.ids))]
	for _, i := range victims {
		c.stopInSomeWay(j, c.ids[i], &load)
	}
	time.Sleep(500 * time.Millisecond) // what is left goes on
	cancel()
	load.Wait()
	for _, id := range c.ids {
		if m := c.server(id); m.replica != nil {
			c.stopInSomeWay(j, id, &load)
		}
	}
	load.Wait()
	j.settled(nil)

	c.net.Heal()
	c.net.Reliable(true)
	c.net.SetLatency(time.Millisecond)
	for _, id := range c.ids {
		c.off(id, c.random.IntN(2) == 0)
	}
	c.start(c.ids...)
	c.converge()
	j.check(c.server(1).replica.State)
	t.Log(j.count())
}

// stopInSomeWay begins to stop a server: once or twice, by one or by two, with its network
// or without. Clients that do not know go on to ask it.
func (c *cluster) stopInSomeWay(j *journal, id raft.NodeID, stopping *sync.WaitGroup) {
	m := c.server(id)
	endFirst, times := c.random.IntN(2) == 0, 1+c.random.IntN(2)
	stop := func() {
		began := time.Now()
		if endFirst {
			m.end.Stop()
		}
		m.replica.Stop()
		if d := time.Since(began); d > stopBound {
			c.t.Errorf("to stop server %s took %v", id, d)
		}
		j.settled(m.replica)
	}
	for range 1 + c.random.IntN(2) {
		stopping.Go(func() {
			for range times {
				stop()
			}
			m.end.Stop()
		})
	}
}

// A start that opens a large state takes long, and must not hold up who stops the server meanwhile.
func TestAnOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := crashfs.NewMem()
		m := state.New(state.Config{FS: mem, Dir: stateDir})
		if _, _, err := m.Open(); err != nil {
			t.Fatal(err)
		}
		m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: "a", Unconditional: true}})
		position := raft.SnapshotMeta{Index: 5, Term: 1, Configuration: raft.NewConfiguration(1)}
		if _, err := m.Checkpoint(position)(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		released := make(chan struct{})
		slow := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.Contains(op.Path, "run-") {
				<-released
			}
			return nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			r, err := replica.New(ctx, replica.Config{
				ID: 1, Log: rsm.NewMemoryStorage(raft.NewConfiguration(1)), Transport: nowhere{}, Seed: 1, State: state.Config{FS: slow, Dir: stateDir},
			})
			if err == nil {
				r.Stop()
			}
			ended <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(released)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
}

// Also where there is nothing to be opened that would look at the context: what runs on would be interrupted already.
func TestAnOpenThatIsTooLateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, err := replica.New(ctx, replica.Config{
			ID: 1, Log: rsm.NewMemoryStorage(raft.NewConfiguration(1)), Transport: nowhere{}, Seed: 1, State: state.Config{FS: crashfs.NewMem(), Dir: stateDir},
		})
		if err == nil {
			r.Stop()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
}
