package raft

import (
	"fmt"
	"maps"
	"slices"

	"balsa.example/raft/quorum"
)

// Members change by joint consensus (paper, section 6; thesis 4.3), from any set to any set:
//
//	old ──ProposeConfiguration──► joint: old and new ──committed: the leader leaves──► new
//
// Where the voters stay the same one entry does, without a joint phase. A new voter is a learner
// first, since without its log it would only be one more that has to be waited for.

// Check says what is wrong with a configuration that is to be proposed, as an
// ErrBadConfiguration; nil if nothing is.
func (c Configuration) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBadConfiguration, fmt.Sprintf(format, args...))
	}
	switch n := len(c.Members()); {
	case !c.HasVoters():
		return bad("there are no voters")
	case len(c.fullVoters()) == 0:
		return bad("all voters are witnesses")
	case len(c.Witnesses) > 0 && len(c.Voters.Incoming) > MaxVotersWithWitness:
		return bad("%d voters, with a witness, are above the limit of %d", len(c.Voters.Incoming), MaxVotersWithWitness)
	case c.Voters.IsJoint() || len(c.LearnersNext) > 0:
		return bad("it is joint; the core makes the joint phase itself")
	case n > MaxMembers:
		return bad("%d members are above the limit of %d", n, MaxMembers)
	case len(c.Context) > MaxContextBytes:
		return bad("Context of %d bytes is above the limit of %d", len(c.Context), MaxContextBytes)
	}
	for _, id := range c.Members() {
		switch {
		case id == None:
			return bad("a member has the id 0")
		case c.Voters.Contains(id) && slices.Contains(c.Learners, id):
			return bad("%s is a voter and a learner", id)
		}
	}
	return nil
}

// normal returns c with its lists sorted, each id once, and without witnesses that are no members.
func (c Configuration) normal() Configuration {
	c.Voters.Incoming = quorum.NewMajority(c.Voters.Incoming...)
	c.Learners = quorum.NewMajority(c.Learners...)
	c.Witnesses = slices.DeleteFunc(quorum.NewMajority(c.Witnesses...), func(id NodeID) bool { return !c.Contains(id) })
	return c
}

// toward returns what follows c on the way to next: next itself if the voters are the same, else a
// joint configuration. In that an outgoing voter that is to be a learner is a voter still.
func (c Configuration) toward(next Configuration) Configuration {
	if slices.Equal(c.Voters.Incoming, next.Voters.Incoming) {
		return next
	}
	outgoing := func(id NodeID) bool { return c.Voters.Incoming.Contains(id) }
	joint := next
	joint.Voters.Outgoing = c.Voters.Incoming
	joint.LearnersNext = slices.DeleteFunc(slices.Clone(next.Learners), func(id NodeID) bool { return !outgoing(id) })
	joint.Learners = slices.DeleteFunc(slices.Clone(next.Learners), outgoing)
	joint.Witnesses = append(slices.Clone(next.Witnesses), c.Witnesses...)
	return joint.normal()
}

// left returns what follows the joint configuration c.
func (c Configuration) left() Configuration {
	c.Learners, c.LearnersNext = append(slices.Clone(c.Learners), c.LearnersNext...), nil
	c.Voters.Outgoing = nil
	return c.normal()
}

// follows tells whether c may be the configuration after prev. Then a majority of the one and a
// majority of the other share a voter. A node that joins knows none before its first.
func (c Configuration) follows(prev Configuration) bool {
	switch {
	case !c.HasVoters():
		return false
	case !prev.HasVoters():
		return true
	case prev.Voters.IsJoint():
		return c.Equal(prev.left())
	case c.Voters.IsJoint():
		return slices.Equal(c.Voters.Outgoing, prev.Voters.Incoming)
	default:
		return slices.Equal(c.Voters.Incoming, prev.Voters.Incoming)
	}
}

// LosesQuorum tells whether, with next in force, those members that answer this leader would be no
// majority of the voters. silent are the voters of next that do not answer. A leader does not
// refuse such a change by itself: it may be what an operator wants.
//
// s must be the Status of a leader.
func (s *Status) LosesQuorum(next Configuration) (silent []NodeID, loses bool) {
	answers := map[NodeID]bool{s.ID: true}
	for _, p := range s.Peers {
		answers[p.ID] = p.Active
	}
	for _, id := range next.Voters.IDs() {
		if !answers[id] {
			silent = append(silent, id)
		}
	}
	maps.DeleteFunc(answers, func(_ NodeID, answers bool) bool { return !answers })
	return silent, next.Voters.VoteResult(answers) != quorum.VoteWon
}
