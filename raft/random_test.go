package raft

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"
	"time"

	"balsa.example/raft/quorum"
)

var (
	flagSeed  = flag.Uint64("seed", 0, "run only this seed of the randomized test, and trace it")
	flagSeeds = flag.Uint64("seeds", 100, "number of seeds of the randomized test")
	flagFirst = flag.Uint64("first-seed", 1, "first seed of the randomized test")
)

// TestRandomFaults mixes all faults, differently for each seed. After a while all
// of them end; then the cluster must agree and make progress.
func TestRandomFaults(t *testing.T) {
	first, count := *flagFirst, *flagSeeds
	if *flagSeed != 0 {
		first, count = *flagSeed, 1
	} else if testing.Short() {
		count = 50
	}
	var sum totals
	for seed := first; seed < first+count; seed++ {
		sum.add(runRandom(t, seed))
	}
	t.Logf("%d seeds: %s", count, sum)
	sum.demand(t)
}

// totals count what happened in all runs, so that a test fails if something never did.
type totals struct {
	simulated                                                                                  time.Duration
	steps, commands, elections, reads, restores, ahead, crashes, cuts, moved, shunned, changes int
}

func (s *totals) add(c *chaos) {
	s.simulated += c.now
	s.steps += c.steps
	s.commands += c.check.proposals
	s.elections += c.check.elections
	s.reads += c.check.reads
	s.restores += c.check.restores
	s.ahead += c.check.ahead
	s.crashes += c.crashes
	s.cuts += c.cuts
	s.moved += c.transfers
	s.shunned += c.shunned
	s.changes += c.changes
}

func (s totals) String() string {
	return fmt.Sprintf("%v simulated, %d events, %d commands, %d elections, %d reads, %d restores, %d applied ahead of the own disk, %d crashes, %d partitions, %d transfers, %d shunned, %d changes of members",
		s.simulated.Round(time.Second), s.steps, s.commands, s.elections, s.reads, s.restores, s.ahead, s.crashes, s.cuts, s.moved, s.shunned, s.changes)
}

// demand fails the test if a kind of event never happened.
func (s totals) demand(t *testing.T) {
	if *flagSeed != 0 {
		return
	}
	for _, n := range []int{s.commands, s.elections, s.reads, s.restores, s.ahead, s.crashes, s.cuts, s.moved, s.shunned, s.changes} {
		if n < 20 {
			t.Errorf("too little happened: %s", s)
		}
	}
}

// chaos is a cluster with random work and random faults.
type chaos struct {
	*cluster
	client                   time.Duration // between two things that clients do
	calm                     time.Duration // between two disturbances
	crashes, cuts, transfers int
	shunned, changes         int
	stillUntil               time.Duration // nobody writes before
	next                     int
	healed, done             bool
}

func runRandom(t *testing.T, seed uint64) (c *chaos) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("replay: go test ./raft -run 'TestRandomFaults$' -v -seed %d", seed)
		}
		if p := recover(); p != nil {
			t.Fatalf("at %v, seed %d: %v\n%s", c.now, seed, p, debug.Stack())
		}
	}()
	c = newChaos(t, seed, nil)
	c.disturbLater()
	c.workLater()
	if c.chance(0.5) {
		c.changeLater()
	}
	c.run(8 * time.Second)
	c.healAndConverge()
	return c
}

// newChaos draws a mix of faults. In each run some are absent and some are strong: faults that
// are always present hide what others would show.
func newChaos(t *testing.T, seed uint64, edit func(*options)) *chaos {
	c := &chaos{cluster: &cluster{}}
	opt := options{seed: seed, tick: 10 * time.Millisecond}
	draw := newCluster(t, options{seed: seed}) // only its chance
	opt.nodes = []int{1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5, 7}[draw.rand.IntN(12)]
	some := func(limit time.Duration) time.Duration {
		return [...]time.Duration{0, limit / 100, limit / 10, limit}[draw.rand.IntN(4)]
	}
	share := func(limit float64) float64 { return [...]float64{0, 0, limit / 10, limit}[draw.rand.IntN(4)] }
	opt.faults = faults{
		delay: some(60 * time.Millisecond), slow: time.Second, slowShare: share(0.1),
		loss: share(0.3), duplicate: share(0.3),
		write: some(80 * time.Millisecond), apply: some(100 * time.Millisecond), busy: some(20 * time.Millisecond),
		crashStored: share(0.5),
	}
	opt.inflight = []int{0, 1, 4}[draw.rand.IntN(3)]
	opt.batch = []int{0, 1, 60}[draw.rand.IntN(3)]
	if draw.chance(0.5) {
		opt.heart = 2
	}
	if draw.chance(0.5) {
		opt.drift = 0.1
		opt.lease = 10 * opt.tick
	}
	opt.config = someConfiguration(draw.rand, opt.nodes)
	if edit != nil {
		edit(&opt)
	}
	c.cluster = newCluster(t, opt)
	if opt.lease > 0 && draw.chance(0.5) {
		c.settings = c.unequal
	}
	c.trace = *flagSeed != 0
	c.client = 1 + some(200*time.Millisecond) + 5*time.Millisecond
	c.calm = time.Duration(1+draw.rand.IntN(10)) * 100 * time.Millisecond
	c.tracef("%+v", opt)
	return c
}

// unequal draws settings that differ between members, as while an operator changes them.
func (c *chaos) unequal(cfg *Config) {
	cfg.LeaseDuration *= Nanos(c.rand.IntN(4))
	cfg.ElectionTimeoutTicks = 10 * (1 + c.rand.IntN(3))
}

// someConfiguration draws a configuration: mostly all nodes vote; in some one is a learner, in some
// there are two sets of voters, and in some a node is to join later.
func someConfiguration(rng *rand.Rand, nodes int) Configuration {
	var ids []NodeID
	for id := range NodeID(nodes) {
		ids = append(ids, id+1)
	}
	conf := NewConfiguration(ids...)
	if nodes < 3 {
		return conf
	}
	switch rng.IntN(6) {
	case 0:
		conf = NewConfiguration(ids[1:]...)
		conf.Learners = ids[:1]
	case 1:
		cut := 1 + rng.IntN(nodes-1)
		conf.Voters.Incoming, conf.Voters.Outgoing = quorum.NewMajority(ids[:cut]...), quorum.NewMajority(ids[cut/2:]...)
	case 2:
		conf = NewConfiguration(ids[1:]...)
	}
	return conf
}

func (c *chaos) someone() NodeID { return NodeID(1 + c.rand.IntN(len(c.nodes))) }

// workLater schedules a client that proposes or reads, at a leader or at any node.
func (c *chaos) workLater() {
	c.after(c.upTo(c.client), func() {
		if !c.done {
			c.work()
			c.workLater()
		}
	})
}

func (c *chaos) work() {
	id := c.someone()
	switch c.rand.IntN(6) {
	case 0:
		c.read(id, c.someMode())
	case 1:
		for _, n := range c.leaders() {
			c.read(n.id, c.someMode())
		}
	case 2:
		if !c.healed || c.rand.IntN(4) == 0 {
			c.takeSnapshot(c.node(id))
		}
	default:
		leaders := c.leaders()
		if c.stillUntil > c.now && len(leaders) < 2 {
			return
		}
		for _, n := range leaders {
			c.next++
			c.propose(n.id, fmt.Sprintf("x%d", c.next))
		}
	}
}

// disturbLater schedules a random fault.
func (c *chaos) disturbLater() {
	c.after(c.upTo(c.calm), func() {
		if !c.healed {
			c.disturb()
			c.disturbLater()
		}
	})
}

func (c *chaos) disturb() {
	id := c.someone()
	switch c.rand.IntN(10) {
	case 0:
		if leaders := c.leaders(); len(leaders) > 0 && c.chance(0.5) {
			id = leaders[c.rand.IntN(len(leaders))].id
		}
		c.crashes++
		c.crash(id)
	case 8: // down and up again at once, before anyone notices
		c.crashes++
		c.crash(id)
		c.start(id)
	case 1, 2:
		c.start(id)
	case 3:
		c.cuts++
		c.net.isolate(id, true)
	case 4: // a one-way cut
		c.cuts++
		c.net.setLink(id, c.someone(), false)
	case 5:
		c.cuts++
		var a, b []NodeID
		for _, n := range c.nodes {
			if c.chance(0.5) {
				a = append(a, n.id)
			} else {
				b = append(b, n.id)
			}
		}
		c.net.partition(a, b)
	case 6:
		c.net.heal()
	case 7:
		c.transfer(id)
	case 9:
		c.shun(id)
	}
}

// transfer asks a leader to transfer leadership, or tells it that a peer is unreachable. Then it
// reads at the old leader, which may not hear of the new one.
func (c *chaos) transfer(to NodeID) {
	for _, n := range c.leaders() {
		if c.chance(0.3) {
			n.raft.Unreachable(to)
			c.stepped(n)
			continue
		}
		if n.raft.TransferLeadership(to) != nil {
			continue
		}
		c.transfers++
		c.stepped(n)
		if c.chance(0.5) {
			for _, other := range c.nodes {
				c.net.setLink(other.id, n.id, other.id == n.id || c.chance(0.5))
			}
		}
		for k := range time.Duration(20) {
			c.after(k*c.opt.tick, func() { c.read(n.id, c.someMode()) })
		}
	}
}

// shun cuts one follower off from its leader, so that it looks for votes. The other nodes crash,
// are restarted, and hear from the leader no more. The leases that they have granted must outlive
// that as long as the leader reads by its lease. There are no proposals meanwhile, or the log of
// the follower would be too short to win.
func (c *chaos) shun(id NodeID) {
	leaders := c.leaders()
	if len(leaders) != 1 || leaders[0].id == id || c.stillUntil > c.now {
		return
	}
	c.shunned++
	leader := leaders[0]
	cut := func(id NodeID) {
		c.net.setLink(id, leader.id, false)
		c.net.setLink(leader.id, id, false)
	}
	c.net.heal()
	cut(id)
	ticks := time.Duration(3 * c.opt.election)
	c.stillUntil = c.now + ticks*c.opt.tick
	for k := range ticks {
		c.after(k*c.opt.tick, func() { c.read(leader.id, ReadByLease) })
	}
	for _, n := range c.nodes {
		if n != leader && n.id != id && c.chance(0.7) {
			c.after(c.upTo(ticks*c.opt.tick), func() {
				if c.healed {
					return
				}
				cut(n.id)
				c.crash(n.id)
				c.start(n.id)
			})
		}
	}
}

func (c *chaos) someMode() ReadMode { return ReadMode(c.rand.IntN(2)) }

// leaders returns the nodes in the role of leader.
func (c *chaos) leaders() (nodes []*node) {
	for _, n := range c.nodes {
		if n.raft != nil && n.raft.Role() == Leader {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// healAndConverge ends all faults. Within a few election timeouts there must be a leader, and all
// nodes must apply a new command. When the clients have stopped as well, all nodes must have the
// same log, and no read may wait.
func (c *chaos) healAndConverge() {
	c.healed = true
	c.net.heal()
	c.joinAllLater()
	for _, n := range c.nodes {
		c.start(n.id)
	}
	slow := c.opt.faults
	c.opt.faults = faults{delay: time.Millisecond, write: time.Millisecond, apply: time.Millisecond, busy: slow.busy / 10}
	c.run(time.Second) // slow messages and writes of before
	if !c.runUntil(3*time.Second+c.backlog(), c.allAreMembers) {
		c.stuck("the members do not change after healing")
	}
	if !c.agreed(3*time.Second + c.backlog()) {
		c.stuck("no progress after healing")
	}
	c.done = true
	if !c.runUntil(3*time.Second+c.backlog(), c.quiet) {
		c.stuck("not all is applied everywhere, or a read has no end")
	}
}

// backlog is how long it takes to commit what is in the logs, where each entry takes a
// round trip: a leader may have taken many while it reached nobody.
func (c *chaos) backlog() time.Duration {
	last := Index(0)
	for _, n := range c.nodes {
		last = max(last, n.raft.log.last())
	}
	const trip = 6 * time.Millisecond // two messages, a write, and two nodes that are busy
	return time.Duration(last-c.check.lastCommitted()) * trip
}

// quiet tells whether all nodes have the same log and have applied all of it, and no read waits.
func (c *chaos) quiet() bool {
	last := c.check.lastCommitted()
	for _, n := range c.nodes {
		if n.raft.log.last() != last || n.applied != last || len(n.reads) > 0 {
			return false
		}
	}
	return true
}

func (c *chaos) stuck(what string) {
	for _, n := range c.nodes {
		c.t.Logf("%+v, %d reads open", n.raft.Status(), len(n.reads))
	}
	c.failf("%s", what)
}

// agreed tells whether a command proposed now is applied by all within limit.
func (c *chaos) agreed(limit time.Duration) bool {
	before := c.check.lastCommitted()
	return c.runUntil(limit, func() bool {
		for _, n := range c.nodes {
			if n.applied <= before+1 {
				return false
			}
		}
		return true
	})
}
