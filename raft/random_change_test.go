package raft

import (
	"slices"

	"balsa.example/raft/quorum"
)

// Changes of the members at random, under all other faults.

// changeLater schedules a change.
func (c *chaos) changeLater() {
	c.after(c.upTo(c.calm), func() {
		if !c.healed {
			for _, n := range c.leaders() {
				c.change(n, c.someChange(n.raft.configuration()))
			}
			c.changeLater()
		}
	})
}

// change proposes a configuration, which may be refused.
func (c *chaos) change(n *node, next Configuration) {
	if _, err := n.raft.ProposeConfiguration(next); err == nil {
		c.changes++
		c.tracef("%s changes the members to %s", n.id, next)
		c.stepped(n)
	}
}

// someChange gives some nodes another part than they have in conf. All that a core refuses may be
// among it.
func (c *chaos) someChange(conf Configuration) Configuration {
	next := NewConfiguration(conf.Voters.Incoming...)
	next.Learners = slices.Clone(conf.Learners)
	for _, n := range c.nodes {
		if !c.chance(0.3) {
			continue
		}
		same := func(id NodeID) bool { return id == n.id }
		next.Voters.Incoming = slices.DeleteFunc(next.Voters.Incoming, same)
		next.Learners = slices.DeleteFunc(next.Learners, same)
		switch was := conf.Part(n.id); {
		case was == Learner && c.chance(0.8), was == Voter && c.chance(0.2):
			next.Voters.Incoming = append(next.Voters.Incoming, n.id)
		case c.chance(0.6):
			next.Learners = append(next.Learners, n.id)
		}
	}
	next.Voters.Incoming = quorum.NewMajority(next.Voters.Incoming...)
	next.Witnesses = c.opt.witnesses
	return next
}

// joinAllLater makes learners of those that are no members, so that all nodes can converge.
func (c *chaos) joinAllLater() {
	c.after(10*c.opt.tick, func() {
		if c.done {
			return
		}
		for _, n := range c.leaders() {
			next := n.raft.configuration()
			next.Witnesses = c.opt.witnesses
			for _, other := range c.nodes {
				if !next.Contains(other.id) {
					next.Learners = append(slices.Clone(next.Learners), other.id)
				}
			}
			if !next.Equal(n.raft.configuration()) {
				c.change(n, next)
			}
		}
		c.joinAllLater()
	})
}

// allAreMembers tells whether a leader has committed a configuration with all nodes, and left every
// joint phase.
func (c *chaos) allAreMembers() bool {
	for _, n := range c.leaders() {
		latest, committed, _ := n.raft.Configurations()
		if len(committed.Members()) == len(c.nodes) && !committed.Voters.IsJoint() && latest.Equal(committed) && n.raft.isVoter() {
			return true
		}
	}
	return false
}
