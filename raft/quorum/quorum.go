// Package quorum is the arithmetic of majorities: whether a vote is won, and what a majority has
// stored. It knows nothing of messages, logs or time.
//
// All of it is for joint consensus (Raft paper, section 6): a configuration is a pair of voter
// sets, and a decision needs a majority of each. Outside of a membership change the outgoing set
// is empty and decides nothing.
package quorum

import (
	"fmt"
	"slices"
	"strings"
)

// NodeID names one member of a cluster. Zero names no member.
type NodeID uint64

// String returns the one written form of a NodeID: 16 hexadecimal digits, as real clusters have
// random or hashed ids; "n3" for ids below 65536, as tests and examples have; and "none" for 0.
func (id NodeID) String() string {
	switch {
	case id == 0:
		return "none"
	case id < 1<<16:
		return fmt.Sprintf("n%d", uint64(id))
	default:
		return fmt.Sprintf("%016x", uint64(id))
	}
}

// Index is a position in the replicated log; the first entry is at 1, and 0 is
// the place before it.
type Index uint64

// Majority is one set of voters: sorted and without duplicates (see NewMajority).
type Majority []NodeID

// NewMajority returns the voter set of ids, sorted, each id once.
func NewMajority(ids ...NodeID) Majority {
	m := Majority(slices.Clone(ids))
	slices.Sort(m)
	return slices.Compact(m)
}

// Contains tells whether id votes in m.
func (m Majority) Contains(id NodeID) bool {
	_, ok := slices.BinarySearch(m, id)
	return ok
}

// need is the least number of voters that makes a majority.
func (m Majority) need() int { return len(m)/2 + 1 }

// VoteResult is the state of an election.
type VoteResult uint8

// An election is undecided until a majority granted (won) or a majority can no
// longer be reached (lost).
const (
	VotePending VoteResult = iota
	VoteLost
	VoteWon
)

func (v VoteResult) String() string {
	return [...]string{"pending", "lost", "won"}[v]
}

// VoteResult returns the state of an election. votes holds the answers so far; a voter that has
// not answered is missing from it. With an empty m the election is won, so that an empty set is
// neutral in a Joint.
func (m Majority) VoteResult(votes map[NodeID]bool) VoteResult {
	if len(m) == 0 {
		return VoteWon
	}
	granted, missing := 0, 0
	for _, id := range m {
		switch yes, answered := votes[id]; {
		case !answered:
			missing++
		case yes:
			granted++
		}
	}
	switch {
	case granted >= m.need():
		return VoteWon
	case granted+missing >= m.need():
		return VotePending
	default:
		return VoteLost
	}
}

// quorumValue is the largest v such that value(id) >= v for a majority of m. For the empty set it
// is the largest possible value, which is neutral in a Joint.
func (m Majority) quorumValue(value func(NodeID) uint64) uint64 {
	if len(m) == 0 {
		return ^uint64(0)
	}
	var few [7]uint64 // sets of up to seven voters need no allocation
	values := few[:0]
	for _, id := range m {
		values = append(values, value(id))
	}
	slices.Sort(values)
	return values[len(values)-m.need()]
}

// CommittedIndex is the highest index that a majority of m has stored, where
// match(id) is the highest index known to be stored by id (Raft paper, 5.3).
func (m Majority) CommittedIndex(match func(NodeID) Index) Index {
	return Index(m.quorumValue(func(id NodeID) uint64 { return uint64(match(id)) }))
}

// Joint is a configuration in the sense of joint consensus (Raft paper, section
// 6): both sets decide together. Outgoing is empty unless a change is under way.
type Joint struct {
	Incoming Majority
	Outgoing Majority
}

// IsJoint tells whether a change of membership is under way.
func (j Joint) IsJoint() bool { return len(j.Outgoing) > 0 }

// Contains tells whether id votes in either set.
func (j Joint) Contains(id NodeID) bool {
	return j.Incoming.Contains(id) || j.Outgoing.Contains(id)
}

// IDs returns every voter of either set, sorted, each once.
func (j Joint) IDs() Majority {
	return NewMajority(append(slices.Clone([]NodeID(j.Incoming)), j.Outgoing...)...)
}

// VoteResult returns the state of an election: won when won in both sets, lost when lost in
// either.
func (j Joint) VoteResult(votes map[NodeID]bool) VoteResult {
	in, out := j.Incoming.VoteResult(votes), j.Outgoing.VoteResult(votes)
	switch {
	case in == VoteLost || out == VoteLost:
		return VoteLost
	case in == VoteWon && out == VoteWon:
		return VoteWon
	default:
		return VotePending
	}
}

// CommittedIndex is the highest index stored by a majority of each set.
func (j Joint) CommittedIndex(match func(NodeID) Index) Index {
	return min(j.Incoming.CommittedIndex(match), j.Outgoing.CommittedIndex(match))
}

// QuorumValue is the largest v such that value(id) >= v for a majority of each set. Package raft
// counts acknowledged rounds and leases with it.
func (j Joint) QuorumValue(value func(NodeID) uint64) uint64 {
	return min(j.Incoming.quorumValue(value), j.Outgoing.quorumValue(value))
}

func (j Joint) String() string {
	var b strings.Builder
	fmt.Fprint(&b, []NodeID(j.Incoming))
	if j.IsJoint() {
		fmt.Fprint(&b, "&&", []NodeID(j.Outgoing))
	}
	return b.String()
}
