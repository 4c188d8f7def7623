package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"balsa.example/raft/quorum"
)

// subsets returns the non-empty sets of nodes 1 to n.
func subsets(n int) (sets [][]NodeID) {
	for bits := 1; bits < 1<<n; bits++ {
		var set []NodeID
		for k := range n {
			if bits&(1<<k) != 0 {
				set = append(set, NodeID(k+1))
			}
		}
		sets = append(sets, set)
	}
	return sets
}

func decides(j quorum.Joint, set []NodeID) bool {
	votes := map[NodeID]bool{}
	for _, id := range set {
		votes[id] = true
	}
	return j.VoteResult(votes) == quorum.VoteWon
}

// disjoint returns two sets without a common node, of which one decides in a and the other in b.
func disjoint(a, b quorum.Joint, n int) (x, y []NodeID, found bool) {
	for _, x := range subsets(n) {
		if !decides(a, x) {
			continue
		}
		var y []NodeID
		for id := range NodeID(n) {
			if !slices.Contains(x, id+1) {
				y = append(y, id+1)
			}
		}
		if decides(b, y) {
			return x, y, true
		}
	}
	return nil, nil, false
}

// On the way from any voters to any others the decisions of neighbours share a voter, and each
// configuration may follow the one before. Every other step is refused.
func TestNeighbouringConfigurationsIntersect(t *testing.T) {
	const nodes = 4
	for _, from := range subsets(nodes) {
		for _, to := range subsets(nodes) {
			old, next := NewConfiguration(from...), NewConfiguration(to...)
			next.Context = []byte("context")
			joint := old.toward(next)
			path := []Configuration{old, joint}
			if joint.Voters.IsJoint() {
				path = append(path, joint.left())
			}
			for i := range path[1:] {
				a, b := path[i], path[i+1]
				if !b.follows(a) {
					t.Fatalf("%s may not follow %s", b, a)
				}
				if x, y, found := disjoint(a.Voters, b.Voters, nodes); found {
					t.Fatalf("%v decides in %s and %v in %s", x, a, y, b)
				}
			}
			if last := path[len(path)-1]; !last.Equal(next) {
				t.Fatalf("from %s to %s: it ends with %s", old, next, last)
			}
			if next.follows(old) != slices.Equal(from, to) {
				t.Fatalf("%s follows %s at once: %t", next, old, next.follows(old))
			}
		}
	}
}

func TestWhatMayFollowAJointConfiguration(t *testing.T) {
	old := NewConfiguration(1, 2, 3)
	next := NewConfiguration(1, 4)
	next.Learners, next.Context = []NodeID{2, 5}, []byte("b")
	joint := old.toward(next)
	if got, want := joint.String(), "[n1 n4]&&[n1 n2 n3] learners[n5] learners-next[n2]"; got != want {
		t.Errorf("the joint configuration is %s, want %s", got, want)
	}
	for id, want := range map[NodeID]Part{1: Voter, 2: Voter, 3: Voter, 4: Voter, 5: Learner, 6: NotMember} {
		if got := joint.Part(id); got != want {
			t.Errorf("%s is a %s in it, want %s", id, got, want)
		}
	}
	other := next
	other.Context = []byte("c")
	for _, bad := range []Configuration{old, joint, other, NewConfiguration(1, 4), joint.toward(NewConfiguration(9)), {}} {
		if bad.follows(joint) {
			t.Errorf("%s follows %s", bad, joint)
		}
	}
	if !next.follows(joint) {
		t.Errorf("%s cannot follow %s", next, joint)
	}
	if !joint.follows(Configuration{}) || (Configuration{}).follows(Configuration{}) {
		t.Error("a node that joins begins with any configuration, and with none but a real one")
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	many := make([]NodeID, MaxMembers+1)
	for i := range many {
		many[i] = NodeID(i + 1)
	}
	with := func(edit func(*Configuration)) Configuration {
		c := NewConfiguration(1, 2, 3)
		edit(&c)
		return c
	}
	for _, c := range []struct {
		conf Configuration
		want string
	}{
		{NewConfiguration(many[:MaxMembers]...), ""},
		{with(func(c *Configuration) { c.Learners, c.Context = []NodeID{4}, make([]byte, MaxContextBytes) }), ""},
		{Configuration{}, "no voters"},
		{Configuration{Learners: []NodeID{1}}, "no voters"},
		{NewConfiguration(many...), "65 members are above the limit of 64"},
		{with(func(c *Configuration) { c.Context = make([]byte, MaxContextBytes+1) }), "Context of 65537 bytes is above the limit of 65536"},
		{with(func(c *Configuration) { c.Voters.Outgoing = c.Voters.Incoming }), "joint"},
		{with(func(c *Configuration) { c.LearnersNext = []NodeID{4} }), "joint"},
		{with(func(c *Configuration) { c.Witnesses = []NodeID{1, 2, 3} }), "all voters are witnesses"},
		{with(func(c *Configuration) { c.Witnesses = []NodeID{3} }), ""},
		{with(func(c *Configuration) { *c = NewConfiguration(1, 2, 3, 4, 5); c.Witnesses = []NodeID{3} }), "5 voters, with a witness, are above the limit of 4"},
		{with(func(c *Configuration) { c.Learners = []NodeID{3} }), "n3 is a voter and a learner"},
		{with(func(c *Configuration) { c.Learners = []NodeID{None} }), "id 0"},
	} {
		err := c.conf.Check()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.conf, err)
			}
			continue
		}
		if !errors.Is(err, ErrBadConfiguration) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.conf, err, c.want)
		}
	}
}

func TestQuorumOfThoseThatAnswer(t *testing.T) {
	s := Status{ID: 1, Peers: []PeerStatus{{ID: 2, Active: true}, {ID: 3}, {ID: 4, Active: true}}}
	for _, c := range []struct {
		next   Configuration
		silent string
		loses  bool
	}{
		{NewConfiguration(1, 2, 3), "[n3]", false},
		{NewConfiguration(1, 3), "[n3]", true},
		{NewConfiguration(1, 2, 3, 4), "[n3]", false},
		{NewConfiguration(2, 3, 9), "[n3 n9]", true}, // this leader does not count in it
		{NewConfiguration(2, 4), "[]", false},
		{NewConfiguration(1), "[]", false},
	} {
		silent, loses := s.LosesQuorum(c.next)
		if fmt.Sprint(silent) != c.silent || loses != c.loses {
			t.Errorf("%s: silent %v, loses %t; want %s, %t", c.next, silent, loses, c.silent, c.loses)
		}
	}
}

// A configuration with nothing new is written as it ever was. With more, a program that does not
// know of it refuses it: it takes the first number for a length.
func TestConfigurationsAreEncodedForOlderProgramsWhereTheyCanBe(t *testing.T) {
	c := NewConfiguration(1, 2)
	c.Voters.Outgoing, c.Learners = quorum.NewMajority(3), []NodeID{4}
	if got, want := AppendConfiguration(nil, c), []byte{2, 1, 2, 1, 3, 1, 4}; !slices.Equal(got, want) {
		t.Errorf("the encoding is %v, want %v", got, want)
	}
	for _, edit := range []func(*Configuration){
		func(c *Configuration) { c.LearnersNext = []NodeID{3} },
		func(c *Configuration) { c.Witnesses = []NodeID{2} },
		func(c *Configuration) { c.Context = []byte("x") },
	} {
		extended := c
		edit(&extended)
		b := AppendConfiguration(nil, extended)
		if n, rest, err := decodeUvarint(b); err != nil || n <= uint64(len(rest)) {
			t.Errorf("an older program takes %v for %d voters", b, n)
		}
		if got, rest, err := DecodeConfiguration(append(b, 7)); err != nil || len(rest) != 1 || !got.Equal(extended) {
			t.Errorf("%s came back as %s, %v", extended, got, err)
		}
	}
}

// What is decoded does not share memory with what it was decoded from, which may be a network's.
func TestDecodedContextIsACopy(t *testing.T) {
	c := NewConfiguration(1)
	c.Context = []byte("context")
	b := AppendConfiguration(nil, c)
	got, _, err := DecodeConfiguration(b)
	clear(b)
	if err != nil || string(got.Context) != "context" {
		t.Errorf("it is %q, %v", got.Context, err)
	}
}

// The lists of a proposal may be in any order.
func TestConfigurationIsSorted(t *testing.T) {
	c := Configuration{Voters: quorum.Joint{Incoming: quorum.Majority{3, 1, 2, 1}}, Learners: []NodeID{9, 8, 9}, Witnesses: []NodeID{3, 7}}
	if got, want := c.normal().String(), "[n1 n2 n3] learners[n8 n9] witnesses[n3]"; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// A small reference for configurations: a list of all, looked through from the end.
func TestConfigurationsAgainstAList(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		confs := configurations{{0, NewConfiguration(1)}}
		list := []configurationAt{{0, NewConfiguration(1)}}
		last, base := Index(0), Index(0)
		for range 30 {
			switch rng.IntN(4) {
			case 0, 1:
				last++
				next := list[len(list)-1].configuration
				next.Learners = []NodeID{NodeID(last + 100)}
				if _, err := confs.append([]Entry{{Index: last, Kind: EntryConfiguration, Data: AppendConfiguration(nil, next)}}); err != nil {
					t.Fatal(err)
				}
				list = append(list, configurationAt{last, next})
			case 2:
				if last > base {
					i := base + 1 + Index(rng.IntN(int(last-base)))
					confs.truncate(i)
					list = slices.DeleteFunc(list, func(c configurationAt) bool { return c.index >= i })
					last = i - 1
				}
			case 3:
				base += Index(rng.IntN(int(last-base) + 1))
				confs.compact(base)
			}
			for i := base; i <= last; i++ {
				k := len(list) - 1
				for list[k].index > i {
					k--
				}
				if got := confs.at(i); !got.Equal(list[k].configuration) {
					t.Fatalf("at %d is %s, want %s", i, got, list[k].configuration)
				}
			}
		}
	}
}

// A voter gives its vote to a candidate that its own configuration does not have: the candidate may
// have a later one, and need this vote. The candidate counts the votes of those that are in force by
// its own log.
func TestStrangersGetVotes(t *testing.T) {
	r := newCore(t, 1, 3, State{HardState: HardState{Term: 1}})
	r.timer.sinceLeader = 2 * r.cfg.ElectionTimeoutTicks
	h := Header{From: 9, To: 1, Term: 1}
	step(t, r, &PreVote{Header: h, LastIndex: 5, LastTerm: 1})
	h.Term = 2
	step(t, r, &RequestVote{Header: h, LastIndex: 5, LastTerm: 1, Campaign: 7})
	messages := r.Effects().Messages
	r.Persisted(r.persist.lastSeq)
	messages = append(messages, r.Effects().Messages...)
	preVote, vote := false, false
	for _, m := range messages {
		switch m := m.(type) {
		case *PreVoteReply:
			preVote = m.Granted && m.To == 9
		case *RequestVoteReply:
			vote = m.Granted && m.To == 9
		}
	}
	if !preVote || !vote {
		t.Errorf("pre-vote granted: %t, vote granted: %t", preVote, vote)
	}
}
