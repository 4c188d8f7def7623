package raft

import (
	"runtime/debug"
	"testing"
	"time"
)

// TestRandomWitness is TestRandomFaults with witnesses. At the end one member stays dead, any of
// them: the others must go on, with all that was ever committed. In some runs the members change.
func TestRandomWitness(t *testing.T) {
	first, count := *flagFirst, *flagSeeds
	if *flagSeed != 0 {
		first, count = *flagSeed, 1
	} else if testing.Short() {
		count = 50
	}
	var sum totals
	handed := 0
	for seed := first; seed < first+count; seed++ {
		c, ledByWitness := runWitness(t, seed)
		sum.add(c)
		handed += ledByWitness
	}
	t.Logf("%d seeds: %s, %d led by a witness", count, sum, handed)
	if *flagSeed == 0 && (handed < 10 || sum.commands < 1000 || sum.changes < 20) {
		t.Errorf("too little happened")
	}
}

func runWitness(t *testing.T, seed uint64) (c *chaos, ledByWitness int) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("replay: go test ./raft -run 'TestRandomWitness$' -v -seed %d", seed)
		}
		if p := recover(); p != nil {
			t.Fatalf("at %v, seed %d: %v\n%s", c.now, seed, p, debug.Stack())
		}
	}()
	c = newChaos(t, seed, func(opt *options) {
		opt.nodes, opt.config, opt.witnesses = 3, Configuration{}, []NodeID{3}
		if seed%3 == 0 {
			opt.nodes, opt.witnesses = 4, []NodeID{4}
		}
		if seed%4 == 0 { // all come back, so that a witness that is full is so for a while
			opt.maxWitness = 1000
		}
	})
	c.disturbLater()
	c.workLater()
	if seed%4 == 0 {
		c.changeLater()
	}
	c.run(8 * time.Second)
	if seed%4 == 0 {
		c.healAndConverge()
	} else {
		c.goOnWithout(c.someone())
	}
	for term, id := range c.check.leaders {
		if term > 0 && c.node(id).witness {
			ledByWitness++
		}
	}
	return c, ledByWitness
}

// goOnWithout ends all faults, except that one node is dead for good. The others must commit
// something new, and those with a state machine apply it.
func (c *chaos) goOnWithout(dead NodeID) {
	c.healed = true
	c.net.heal()
	c.crash(dead)
	for _, n := range c.nodes {
		if n.id != dead {
			c.start(n.id)
		}
	}
	slow := c.opt.faults
	c.opt.faults = faults{delay: time.Millisecond, write: time.Millisecond, apply: time.Millisecond, busy: slow.busy / 10}
	c.run(time.Second) // slow messages and writes of before
	before := c.check.lastCommitted()
	ok := c.runUntil(10*time.Second+c.backlogOf(dead), func() bool {
		for _, n := range c.nodes {
			if n.id != dead && !n.witness && n.applied <= before+1 {
				return false
			}
		}
		return true
	})
	c.done = true
	if !ok {
		for _, n := range c.nodes {
			if n.raft != nil {
				c.t.Logf("%+v", n.raft.Status())
			}
		}
		c.failf("no progress without %s", dead)
	}
}

// backlogOf is backlog, of all nodes but one.
func (c *chaos) backlogOf(dead NodeID) time.Duration {
	last := Index(0)
	for _, n := range c.nodes {
		if n.id != dead {
			last = max(last, n.raft.log.last())
		}
	}
	const trip = 6 * time.Millisecond
	return time.Duration(last-c.check.lastCommitted()) * trip
}
