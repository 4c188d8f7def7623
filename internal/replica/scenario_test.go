package replica_test

// The scenarios of Lab 4B and 4C, under their names: the service as it ships, but for
// its network faces, with real Clerks, on a network in memory, in virtual time. A
// server's disk is the real log on a file system that loses what was not synced.
//
// A run follows from its PRNG's seed except for the order of goroutines, so the same
// seed gives much the same faults but not the same run. With -count=N each repetition
// has a seed of its own. BALSA_TEST_LOG=1 prints the servers' logs.

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the scenarios; 0: each has its own")

// Limits that the Lab's tests set.
const (
	maxRaftState = 1000             // of the scenarios with snapshots, in bytes
	maxLogBytes  = 8 * maxRaftState // what the log may have at any time
)

const rounds = 3

// roundTime is long enough for faults to come and go, and for enough operations where
// those slow them down.
func (s scenario) roundTime() time.Duration {
	d := 5 * time.Second
	if s.partitions {
		d *= 2
	}
	if s.unreliable {
		d *= 2
	}
	return d
}

// scenario is what the clients of one test meet.
type scenario struct {
	servers, clients int
	keys             int  // default 1
	unreliable       bool // the network delays and loses
	partitions       bool // the servers are split in two again and again
	restarts         bool // the power fails after each round
	snapshots        bool // a log over maxRaftState bytes gives way to a snapshot
	latency          time.Duration
	least            int // operations, fewer of which prove nothing
}

func TestBasic4B(t *testing.T) {
	scenario{servers: 5, clients: 1, latency: 2 * time.Millisecond, least: 1000}.run(t)
}

func TestConcurrent4B(t *testing.T) {
	scenario{servers: 5, clients: 5, latency: 10 * time.Millisecond, least: 1000}.run(t)
}

func TestUnreliable4B(t *testing.T) {
	scenario{servers: 5, clients: 5, unreliable: true, least: 1000}.run(t)
}

func TestManyPartitionsOneClient4B(t *testing.T) {
	scenario{servers: 5, clients: 1, partitions: true, latency: 3 * time.Millisecond, least: 500}.run(t)
}

func TestManyPartitionsManyClients4B(t *testing.T) {
	scenario{servers: 5, clients: 5, partitions: true, latency: 10 * time.Millisecond, least: 500}.run(t)
}

func TestPersistOneClient4B(t *testing.T) {
	scenario{servers: 5, clients: 1, restarts: true, latency: 2 * time.Millisecond, least: 1000}.run(t)
}

func TestPersistConcurrent4B(t *testing.T) {
	scenario{servers: 5, clients: 5, restarts: true, latency: 10 * time.Millisecond, least: 1000}.run(t)
}

func TestPersistConcurrentUnreliable4B(t *testing.T) {
	scenario{servers: 5, clients: 5, restarts: true, unreliable: true, least: 1000}.run(t)
}

func TestPersistPartition4B(t *testing.T) {
	scenario{servers: 5, clients: 5, restarts: true, partitions: true, latency: 10 * time.Millisecond, least: 500}.run(t)
}

func TestPersistPartitionUnreliable4B(t *testing.T) {
	scenario{servers: 5, clients: 5, restarts: true, partitions: true, unreliable: true, least: 500}.run(t)
}

func TestPersistPartitionUnreliableLinearizable4B(t *testing.T) {
	scenario{
		servers: 7, clients: 15, keys: 100,
		restarts: true, partitions: true, unreliable: true, least: 1000,
	}.run(t)
}

func TestSnapshotRecover4C(t *testing.T) {
	scenario{servers: 5, clients: 1, snapshots: true, restarts: true, latency: 2 * time.Millisecond, least: 1000}.run(t)
}

func TestSnapshotRecoverManyClients4C(t *testing.T) {
	scenario{servers: 5, clients: 20, snapshots: true, restarts: true, latency: 20 * time.Millisecond, least: 1000}.run(t)
}

func TestSnapshotUnreliable4C(t *testing.T) {
	scenario{servers: 5, clients: 5, snapshots: true, unreliable: true, least: 1000}.run(t)
}

func TestSnapshotUnreliableRecover4C(t *testing.T) {
	scenario{servers: 5, clients: 5, snapshots: true, restarts: true, unreliable: true, least: 1000}.run(t)
}

func TestSnapshotUnreliableRecoverConcurrentPartition4C(t *testing.T) {
	scenario{
		servers: 5, clients: 5,
		snapshots: true, restarts: true, partitions: true, unreliable: true, least: 500,
	}.run(t)
}

func TestSnapshotUnreliableRecoverConcurrentPartitionLinearizable4C(t *testing.T) {
	scenario{
		servers: 7, clients: 15, keys: 100,
		snapshots: true, restarts: true, partitions: true, unreliable: true, least: 1000,
	}.run(t)
}

// run is the one engine: three rounds in which clients put and get while the faults
// come and go, and then all servers must agree.
func (s scenario) run(t *testing.T) {
	s.keys = max(s.keys, 1)
	c := s.inBubble(t, func(c *scenarioRun) {
		c.net.SetLatency(max(s.latency, time.Millisecond))
		c.net.Reliable(!s.unreliable)
		for round := range rounds {
			s.round(c, round)
		}
		c.awaitSameState()
		last := s.clients + 1
		for k, ck := 0, c.clerk(last); k < s.keys; k++ {
			c.get(last, ck, keyName(k))
		}
	})
	s.checkFaults(t, c)
	c.history.Check(t, s.least)
	if n := c.history.Len(); c.history.Maybes()*s.maybeShare() > n {
		t.Errorf("%d of %d operations ended in ErrMaybe", c.history.Maybes(), n)
	}
	c.pass(t)
}

// maybeShare is such that at most one operation in so many may end in ErrMaybe. An
// unreliable network loses a fifth of the attempts, and a client that sends a Put again
// on a key that all write to has most likely lost the race, and cannot know.
func (s scenario) maybeShare() int {
	if s.unreliable {
		return 5
	}
	return 10
}

func (s scenario) round(c *scenarioRun, round int) {
	var partitioner sync.WaitGroup
	clientsDone, partitionsDone := make(chan struct{}), make(chan struct{})
	for number := range s.clients {
		c.clients.Go(func() { c.client(number, round, s.keys, clientsDone) })
	}
	if s.partitions {
		c.clients.Go(func() { c.reader(s.clients, s.keys, clientsDone) })
		partitioner.Go(func() { c.partitioner(round, partitionsDone) })
	}
	time.Sleep(s.roundTime())
	close(partitionsDone)
	partitioner.Wait()
	if s.restarts { // in the midst of operations, and of a partition
		c.killAll(round%2 == 0)
		c.crashes += len(c.ids)
		time.Sleep(outage)
	}
	c.net.Heal()
	if s.restarts {
		c.start(c.ids...)
	}
	close(clientsDone)
	c.clients.Wait()
}

// partitioner splits the servers in two again and again. The first time it leaves the
// leader with a minority until there is another.
func (c *scenarioRun) partitioner(round int, done <-chan struct{}) {
	random := rand.New(rand.NewPCG(c.seed, uint64(round)))
	leader, term := c.leaderAfter(0)
	minority := c.others(leader)
	random.Shuffle(len(minority), func(i, k int) { minority[i], minority[k] = minority[k], minority[i] })
	minority = append(minority[:len(c.ids)/2-1], leader)
	c.net.Partition(minority)
	c.partitions++
	c.leaderAfter(term)
	for {
		select {
		case <-done:
			return
		case <-c.ctx.Done():
			return
		case <-time.After(outage + time.Duration(random.Int64N(int64(outage/5)))):
		}
		var group []raft.NodeID
		for _, id := range c.ids {
			if random.IntN(2) == 0 {
				group = append(group, id)
			}
		}
		c.net.Partition(group)
		c.partitions++
	}
}

// inBubble runs a cluster in virtual time.
func (s scenario) inBubble(t *testing.T, f func(c *scenarioRun)) (c *scenarioRun) {
	t.Helper()
	t.Parallel()
	seed := nextSeed(t.Name())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again, in another order of goroutines: go test ./internal/replica -run '^%s$' -seed %d", t.Name(), seed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c = startScenario(t, s, seed)
		defer c.close()
		f(c)
		c.took = time.Since(c.began)
	})
	return c
}

var (
	repetitions   = map[string]uint64{}
	repetitionsMu sync.Mutex
)

// nextSeed follows from the test's name and from how often it has run.
func nextSeed(name string) uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	repetitionsMu.Lock()
	defer repetitionsMu.Unlock()
	repetitions[name]++
	h := fnv.New32a()
	fmt.Fprint(h, name, repetitions[name])
	return uint64(h.Sum32()) + 1
}

// checkFaults fails a run in which the faults did not happen that the scenario is about.
func (s scenario) checkFaults(t *testing.T, c *scenarioRun) {
	counts := c.net.Counts()
	if share := float64(counts.Lost) / float64(counts.Messages); s.unreliable && share < 0.03 {
		t.Errorf("the network lost %d messages of %d", counts.Lost, counts.Messages)
	}
	if s.partitions && c.partitions < 2*rounds {
		t.Errorf("only %d partitions", c.partitions)
	}
	if s.restarts && c.crashes != rounds*s.servers {
		t.Errorf("%d servers crashed", c.crashes)
	}
	if forced := rounds; (s.partitions || s.restarts) && len(c.leaders) <= forced {
		t.Errorf("only %d terms with a leader", len(c.leaders))
	}
	if s.snapshots {
		c.checkLog(t)
	}
}

// checkLog fails if a log was too long, or a server took no snapshot. What a leader without
// a majority cannot commit no snapshot can replace, and a record on disk is longer than
// its entry: while there are faults there may be twice as much on disk.
func (c *scenarioRun) checkLog(t *testing.T) {
	t.Helper()
	if n := len(c.snapshotAt); n != len(c.ids) {
		t.Errorf("only %d servers had snapshots", n)
	}
	if s := c.seen; s.logBytes > maxLogBytes || s.restBytes > maxLogBytes || s.storedBytes > 2*maxLogBytes {
		t.Errorf("a log had %d bytes, %d on disk, and %d in the end; the limit is %d", s.logBytes, s.storedBytes, s.restBytes, maxLogBytes)
	}
}

// pass prints the closing line of the Lab's tests: time, servers, RPCs, operations.
func (c *scenarioRun) pass(t *testing.T) {
	if t.Failed() {
		return
	}
	t.Logf("  ... Passed -- %4.1f  %d %5d %4d", c.took.Seconds(), len(c.ids), c.net.Counts().Requests, c.history.Len())
	t.Logf("%d ErrMaybe, %d terms, %d snapshots sent, log up to %d bytes, %d on disk, %d in the end",
		c.history.Maybes(), len(c.leaders), c.snapshots.Load(), c.seen.logBytes, c.seen.storedBytes, c.seen.restBytes)
}
