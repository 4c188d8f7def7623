package quorum

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNodeIDHasOneForm(t *testing.T) {
	for id, want := range map[NodeID]string{
		0: "none", 3: "n3", 65535: "n65535", 65536: "0000000000010000", 1<<64 - 1: "ffffffffffffffff",
	} {
		if got := id.String(); got != want {
			t.Errorf("%d is %q, want %q", uint64(id), got, want)
		}
	}
}

func TestNewMajoritySortsAndDropsDuplicates(t *testing.T) {
	given := []NodeID{3, 1, 3, 2, 1}
	m := NewMajority(given...)
	if !slices.Equal(m, Majority{1, 2, 3}) {
		t.Errorf("got %v", m)
	}
	if !slices.Equal(given, []NodeID{3, 1, 3, 2, 1}) {
		t.Errorf("the caller's slice was changed to %v", given)
	}
	for id, want := range map[NodeID]bool{0: false, 1: true, 3: true, 4: false} {
		if m.Contains(id) != want {
			t.Errorf("contains %s: %t", id, !want)
		}
	}
}

func TestVoteResult(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		in, out Majority
		votes   map[NodeID]bool
		want    VoteResult
	}{
		{nil, nil, nil, VoteWon},
		{Majority{1}, nil, nil, VotePending},
		{Majority{1}, nil, map[NodeID]bool{1: yes}, VoteWon},
		{Majority{1}, nil, map[NodeID]bool{1: no}, VoteLost},
		{Majority{1}, nil, map[NodeID]bool{2: yes}, VotePending},
		{Majority{1, 2}, nil, map[NodeID]bool{1: yes}, VotePending},
		{Majority{1, 2}, nil, map[NodeID]bool{1: yes, 2: no}, VoteLost},
		{Majority{1, 2, 3}, nil, map[NodeID]bool{1: yes, 2: no}, VotePending},
		{Majority{1, 2, 3}, nil, map[NodeID]bool{1: yes, 3: yes}, VoteWon},
		{Majority{1, 2, 3}, nil, map[NodeID]bool{2: no, 3: no}, VoteLost},
		{Majority{1, 2, 3, 4}, nil, map[NodeID]bool{1: yes, 2: yes}, VotePending},
		{Majority{1, 2, 3, 4}, nil, map[NodeID]bool{1: no, 2: no}, VoteLost},
		{Majority{1, 2, 3}, Majority{3, 4, 5}, map[NodeID]bool{1: yes, 2: yes, 3: yes}, VotePending},
		{Majority{1, 2, 3}, Majority{3, 4, 5}, map[NodeID]bool{1: yes, 3: yes, 4: yes}, VoteWon},
		{Majority{1, 2, 3}, Majority{3, 4, 5}, map[NodeID]bool{1: yes, 2: yes, 3: no, 4: no}, VoteLost},
		{Majority{1}, Majority{2}, map[NodeID]bool{1: yes}, VotePending},
	} {
		j := Joint{Incoming: test.in, Outgoing: test.out}
		if got := j.VoteResult(test.votes); got != test.want {
			t.Errorf("%s with votes %v: %s, want %s", j, test.votes, got, test.want)
		}
	}
}

func TestCommittedIndex(t *testing.T) {
	for _, test := range []struct {
		in, out Majority
		match   map[NodeID]Index
		want    Index
	}{
		{Majority{1}, nil, map[NodeID]Index{1: 7}, 7},
		{Majority{1, 2}, nil, map[NodeID]Index{1: 7, 2: 3}, 3},
		{Majority{1, 2, 3}, nil, map[NodeID]Index{1: 7, 2: 3}, 3},
		{Majority{1, 2, 3}, nil, map[NodeID]Index{1: 7}, 0},
		{Majority{1, 2, 3, 4}, nil, map[NodeID]Index{1: 9, 2: 8, 3: 7, 4: 6}, 7},
		{Majority{1, 2, 3, 4, 5}, nil, map[NodeID]Index{1: 9, 2: 8, 3: 7, 4: 6, 5: 5}, 7},
		{Majority{1, 2, 3}, nil, map[NodeID]Index{1: 2, 2: 1, 3: 1, 4: 9, 5: 9}, 1},
		{Majority{1, 2, 3}, Majority{1, 4, 5}, map[NodeID]Index{1: 9, 2: 9, 3: 9}, 0},
		{Majority{1, 2, 3}, Majority{1, 4, 5}, map[NodeID]Index{1: 9, 2: 5, 5: 4}, 4},
		{Majority{1, 2, 3, 4, 5, 6, 7, 8, 9}, nil, map[NodeID]Index{5: 5, 6: 6, 7: 7, 8: 8, 9: 9}, 5},
	} {
		j := Joint{Incoming: test.in, Outgoing: test.out}
		match := func(id NodeID) Index { return test.match[id] }
		if got := j.CommittedIndex(match); got != test.want {
			t.Errorf("%s with %v: %d, want %d", j, test.match, got, test.want)
		}
	}
}

// The empty majority is neutral: a Joint with one behaves like its other majority.
func TestEmptySetIsNeutral(t *testing.T) {
	if got := (Joint{}).QuorumValue(func(NodeID) uint64 { return 1 }); got != ^uint64(0) {
		t.Errorf("quorum value %d of nobody", got)
	}
	if (Joint{Incoming: Majority{1}}).IsJoint() {
		t.Error("joint with an empty outgoing set")
	}
}

// The package computes by counting and by sorting. The functions below compute the same straight
// from the definitions: they enumerate the sets of voters that are a majority.

// majorities returns every subset of m that has more than half of it.
func majorities(m Majority) (all []Majority) {
	for bits := range 1 << len(m) {
		var set Majority
		for i, id := range m {
			if bits>>i&1 == 1 {
				set = append(set, id)
			}
		}
		if 2*len(set) > len(m) {
			all = append(all, set)
		}
	}
	return all
}

func naiveVoteResult(m Majority, votes map[NodeID]bool) VoteResult {
	if len(m) == 0 {
		return VoteWon
	}
	result := VoteLost
	for _, set := range majorities(m) {
		won, possible := true, true
		for _, id := range set {
			granted, answered := votes[id]
			won = won && granted
			possible = possible && (granted || !answered)
		}
		if won {
			return VoteWon
		}
		if possible {
			result = VotePending
		}
	}
	return result
}

// naiveValue is the largest v such that all voters of some majority have a value of at least v.
func naiveValue(m Majority, value func(NodeID) uint64) uint64 {
	if len(m) == 0 {
		return ^uint64(0)
	}
	best := uint64(0)
	for _, set := range majorities(m) {
		least := ^uint64(0)
		for _, id := range set {
			least = min(least, value(id))
		}
		best = max(best, least)
	}
	return best
}

func TestAgainstTheDefinitions(t *testing.T) {
	ids := rapid.SliceOfN(rapid.Map(rapid.Uint64Range(1, 9), func(n uint64) NodeID { return NodeID(n) }), 0, 9)
	rapid.Check(t, func(t *rapid.T) {
		in := NewMajority(ids.Draw(t, "incoming")...)
		out := NewMajority(ids.Draw(t, "outgoing")...)
		j := Joint{Incoming: in, Outgoing: out}
		votes := map[NodeID]bool{}
		values := map[NodeID]uint64{}
		for id := range NodeID(10) {
			switch rapid.IntRange(0, 2).Draw(t, fmt.Sprintf("vote of %s", id)) {
			case 1:
				votes[id] = true
			case 2:
				votes[id] = false
			}
			values[id] = rapid.OneOf(rapid.Uint64Range(0, 4), rapid.Uint64()).Draw(t, fmt.Sprintf("value of %s", id))
		}
		value := func(id NodeID) uint64 { return values[id] }

		a, b := naiveVoteResult(in, votes), naiveVoteResult(out, votes)
		want := VotePending
		if a == VoteLost || b == VoteLost {
			want = VoteLost
		} else if a == VoteWon && b == VoteWon {
			want = VoteWon
		}
		if got := j.VoteResult(votes); got != want {
			t.Errorf("%s with votes %v: %s, want %s", j, votes, got, want)
		}
		best := min(naiveValue(in, value), naiveValue(out, value))
		if got := j.QuorumValue(value); got != best {
			t.Errorf("%s with values %v: %d, want %d", j, values, got, best)
		}
		match := func(id NodeID) Index { return Index(values[id]) }
		if got := j.CommittedIndex(match); got != Index(best) {
			t.Errorf("%s with matches %v: %d, want %d", j, values, got, best)
		}
		for id := range NodeID(10) {
			if j.Contains(id) != slices.Contains(j.IDs(), id) {
				t.Errorf("%s contains %s: %t", j, id, j.Contains(id))
			}
		}
	})
}

// Any two majorities of one set share a voter.
func TestMajoritiesIntersect(t *testing.T) {
	for n := 1; n <= 7; n++ {
		var m Majority
		for id := range NodeID(n) {
			m = append(m, id+1)
		}
		for _, set := range majorities(m) {
			votes := maps.Collect(func(yield func(NodeID, bool) bool) {
				for _, id := range m {
					if !yield(id, !slices.Contains(set, id)) {
						return
					}
				}
			})
			if got := m.VoteResult(votes); got != VoteLost {
				t.Errorf("%v wins without %v", m, set)
			}
		}
	}
}

func TestJointString(t *testing.T) {
	for want, j := range map[string]Joint{
		"[n1 n2]":          {Incoming: Majority{1, 2}},
		"[n1 n2]&&[n2 n3]": {Incoming: Majority{1, 2}, Outgoing: Majority{2, 3}},
	} {
		if got := j.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCommittedIndexAllocatesNothing(t *testing.T) {
	j := Joint{Incoming: NewMajority(1, 2, 3, 4, 5), Outgoing: NewMajority(3, 4, 5, 6, 7)}
	match := func(id NodeID) Index { return Index(id) }
	if n := testing.AllocsPerRun(100, func() { j.CommittedIndex(match) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
