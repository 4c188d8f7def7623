package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
)

// play draws changes, as if each were made at once.
func play(t *testing.T, seed uint64, n int) (kinds []string) {
	tt := &torture{o: testOptions("-changes=1"), rng: rand.New(rand.NewPCG(seed, 0)), c: &cluster{}}
	c := newChanges(tt)
	for range tt.o.nodes {
		tt.c.members = append(tt.c.members, &member{})
	}
	for range n {
		kind := c.next()
		kinds = append(kinds, kind)
		switch kind {
		case changeAdd, changePlace, changeLearner, changeWitness:
			tt.c.members = append(tt.c.members, &member{learner: kind == changeLearner, witness: kind == changeWitness})
		case changePromote:
			tt.c.members[slices.IndexFunc(tt.c.members, func(m *member) bool { return m.learner })].learner = false
		case changeRemove, changeRemoveLeader:
			c.retire(c.any())
		case changeDemote:
			c.any().learner = true
		}
		voters, witnesses := len(c.voters()), 0
		for _, m := range tt.c.members {
			if m.witness {
				witnesses++
			}
		}
		if witnesses > 1 || witnesses > 0 && voters > maxWithWitness {
			t.Fatalf("%s: %d voters, %d of them witnesses, after %q", kind, voters, witnesses, kinds)
		}
		if learners := len(tt.c.members) - voters; voters < tt.o.nodes || voters > maxVoters || learners > maxLearners {
			t.Fatalf("%s: %d voters and %d learners after %q", kind, voters, learners, kinds)
		}
	}
	return kinds
}

func TestAllChangesComeInAnOrderOfTheSeed(t *testing.T) {
	for seed := range uint64(20) {
		kinds := play(t, seed, 4*len(changeKinds))
		for _, kind := range changeKinds {
			if !slices.Contains(kinds, kind) {
				t.Errorf("seed %d: never %q in %q", seed, kind, kinds)
			}
		}
		if again := play(t, seed, 4*len(changeKinds)); !slices.Equal(kinds, again) {
			t.Errorf("seed %d gives\n%q and\n%q", seed, kinds, again)
		}
	}
}

func TestMembersAreComparedInEverything(t *testing.T) {
	rig := func() *changes {
		return newChanges(&torture{c: &cluster{members: []*member{
			{name: "n1", client: "h:1", peer: "h:2", id: 1}, {name: "n2", client: "h:3", peer: "h:4", learner: true},
		}}})
	}
	members := func() []clerk.Member {
		return []clerk.Member{
			{ID: 1, Name: "n1", ClientURLs: []string{"http://h:1"}, PeerURLs: []string{"http://h:2"}, Voter: true, Started: true, Active: true},
			{ID: 2, Name: "n2", ClientURLs: []string{"http://h:3"}, PeerURLs: []string{"http://h:4"}, Started: true, Active: true},
		}
	}
	c := rig()
	if err := c.compare(clerk.Members{All: members()}); err != nil || c.t.c.members[1].id != 2 {
		t.Errorf("they are the same: %v", err)
	}
	for want, change := range map[string]func(m []clerk.Member) []clerk.Member{
		"1 members":    func(m []clerk.Member) []clerk.Member { return m[:1] },
		"n2 is no":     func(m []clerk.Member) []clerk.Member { m[1].Name = "n3"; return m },
		"and had":      func(m []clerk.Member) []clerk.Member { m[0].ID = 7; return m },
		"witness fals": func(m []clerk.Member) []clerk.Member { m[0].Witness = true; return m },
		"learner true": func(m []clerk.Member) []clerk.Member { m[1].Voter = true; return m },
		"n1, at":       func(m []clerk.Member) []clerk.Member { m[0].PeerURLs[0] = "http://h:9"; return m },
		"n2, at":       func(m []clerk.Member) []clerk.Member { m[1].ClientURLs[0] = "http://h:9"; return m },
		"n1, at h:1":   func(m []clerk.Member) []clerk.Member { m[0].Active = false; return m },
		"that was":     func(m []clerk.Member) []clerk.Member { m[1].ID = 5; return m },
	} {
		c := rig()
		c.ids[5] = "n5"
		if err := c.compare(clerk.Members{All: change(members())}); err == nil || !strings.Contains(err.Error(), want) && want != "n1, at h:1" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestARestoredKeyIsComparedWithTheHistory(t *testing.T) {
	put := func(version, revision uint64) history.Op {
		return history.Op{Kind: history.Put, Key: "k", Value: fmt.Sprint("v", version), Version: version - 1, Revision: revision, Outcome: history.OK}
	}
	ops := []history.Op{put(1, 10), put(2, 20), put(3, 30)}
	for want, kv := range map[string]clerk.KV{
		"":              {Version: 2, Value: []byte("v2")},
		"was at":        {Version: 1, Value: []byte("v1")},
		"already":       {Version: 3, Value: []byte("v3")},
		"acknowledged":  {Version: 2, Value: []byte("v3")},
		"before the ba": {},
	} {
		err := checkRestored(kv, "k", 25, ops[:1], ops)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", kv, err, want)
		}
	}
}
