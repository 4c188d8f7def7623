package roster

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"balsa.example/raft"
)

// cluster is a configuration of three voters a, b and c, with ids 1 to 3.
func cluster() raft.Configuration {
	var r Roster
	for i, name := range []string{"a", "b", "c"} {
		r = r.With(Member{ID: raft.NodeID(i + 1), About: about(name), Incarnation: Incarnation{byte(i + 1)}})
	}
	return Publish(raft.NewConfiguration(1, 2, 3), r)
}

func about(name string) About {
	return About{Name: name, Peers: []string{name + ":1"}, Clients: []string{name + ":2"}}
}

// world is a configuration that is changed, with ids from 11 on.
type world struct {
	t     *testing.T
	conf  raft.Configuration
	fresh raft.NodeID
}

func newWorld(t *testing.T) *world { return &world{t, cluster(), 10} }

func (w *world) roster() Roster {
	r, err := Decode(w.conf.Context)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// do makes a change, and demands that a second one changes nothing if it has an effect at all.
func (w *world) do(c Change) Member {
	w.t.Helper()
	w.fresh++
	next, m, err := c.Apply(w.conf, w.fresh)
	if err != nil {
		w.t.Fatalf("%+v: %v", c, err)
	}
	if err := next.Check(); err != nil {
		w.t.Fatalf("%+v: %v", c, err)
	}
	var members []raft.NodeID
	w.conf = next
	for _, m := range w.roster().Members {
		members = append(members, m.ID)
	}
	if !slices.Equal(members, next.Members()) {
		w.t.Fatalf("%+v: the roster has %v, the configuration %s", c, members, next)
	}
	return m
}

func (w *world) refuse(c Change, want error) {
	w.t.Helper()
	before := fmt.Sprint(w.conf)
	next, _, err := c.Apply(w.conf, 99)
	if !errors.Is(err, want) {
		w.t.Errorf("%+v: %v, want %v", c, err, want)
	}
	if !next.Equal(w.conf) || fmt.Sprint(w.conf) != before {
		w.t.Errorf("%+v was refused, and changed %s to %s", c, before, next)
	}
}

func (w *world) is(voters, learners string) {
	w.t.Helper()
	if got := fmt.Sprint([]raft.NodeID(w.conf.Voters.Incoming), w.conf.Learners); got != voters+" "+learners {
		w.t.Errorf("voters and learners are %s, want %s %s", got, voters, learners)
	}
}

func joins(name string, life byte) Change {
	return Change{Kind: Add, About: about(name), Incarnation: Incarnation{life}}
}

func TestAServerJoinsAndVotes(t *testing.T) {
	w := newWorld(t)
	d := w.do(joins("d", 4))
	if d.ID != 11 || !d.Promote {
		t.Errorf("it is %+v", d)
	}
	w.is("[n1 n2 n3]", "[n11]")
	if again := w.do(joins("d", 4)); !reflect.DeepEqual(again, d) {
		t.Errorf("asked again, it is %+v", again)
	}
	w.is("[n1 n2 n3]", "[n11]")
	w.refuse(joins("d", 5), ErrExists)
	w.refuse(Change{Kind: Add, About: About{Name: "e", Peers: []string{"d:1"}}, Incarnation: Incarnation{5}}, ErrAddressTaken)
	w.do(Change{Kind: Promote, Name: "d"})
	w.is("[n1 n2 n3 n11]", "[]")
	w.refuse(Change{Kind: Promote, ID: 11}, ErrVotes)
}

func TestALearnerForGood(t *testing.T) {
	w := newWorld(t)
	c := joins("d", 4)
	c.Learner = true
	if d := w.do(c); d.Promote {
		t.Errorf("it is %+v", d)
	}
	w.do(Change{Kind: Promote, Name: "d"})
	w.is("[n1 n2 n3 n11]", "[]")
}

// A member that was added before it starts is claimed by the first directory of its name, or
// with one of its addresses.
func TestAnEntryIsClaimedOnce(t *testing.T) {
	w := newWorld(t)
	w.do(Change{Kind: Add, About: About{Peers: []string{"d:1", "d:9"}}})
	w.refuse(Change{Kind: Add, About: About{Peers: []string{"d:1"}}}, ErrAddressTaken)
	w.refuse(Change{Kind: Promote, ID: 11}, ErrNotStarted)
	first := joins("d", 4)
	first.Expected = true
	if d := w.do(first); d.ID != 11 || d.Name != "d" || !d.Promote || !slices.Equal(d.Peers, []string{"d:1"}) {
		t.Errorf("it is %+v", d)
	}
	second := joins("d", 5)
	w.refuse(second, ErrExists)
	second.Expected = true
	w.refuse(second, ErrNotExpected)
	w.do(Change{Kind: Add, About: About{Name: "e"}, Learner: true})
	if e := w.do(joins("e", 6)); e.Promote || e.Incarnation != (Incarnation{6}) {
		t.Errorf("it is %+v", e)
	}
}

func TestAMemberIsRemoved(t *testing.T) {
	w := newWorld(t)
	w.do(Change{Kind: Remove, Name: "c"})
	w.is("[n1 n2]", "[]")
	w.refuse(Change{Kind: Remove, Name: "c"}, ErrNoMember)
	w.refuse(Change{Kind: Remove, ID: 3}, ErrNoMember)
	if r := w.roster(); !r.WasRemoved(3) {
		t.Errorf("removed are %v", r.Removed)
	}
	w.do(joins("d", 4))
	w.do(Change{Kind: Remove, ID: 2})
	w.refuse(Change{Kind: Remove, ID: 1}, ErrLastVoter)
	w.do(Change{Kind: Remove, Name: "d"})
	w.is("[n1]", "[]")
	c := joins("c", 3) // the old directory, which was removed, as a new member
	if m := w.do(c); m.ID == 3 {
		t.Error("an id comes again")
	}
}

func TestAnIDIsNeverGivenTwice(t *testing.T) {
	w := newWorld(t)
	w.do(Change{Kind: Remove, Name: "c"})
	for _, id := range []raft.NodeID{raft.None, 1, 3} {
		if _, _, err := joins("d", 4).Apply(w.conf, id); err == nil {
			t.Errorf("%s is given again", id)
		}
	}
}

// The voter stays until the new one is caught up: so a machine that is alive is missed at no time.
func TestAVoterIsReplaced(t *testing.T) {
	w := newWorld(t)
	d := w.do(Change{Kind: Replace, Name: "c"})
	if d.Name != "c" || d.Replaces != 3 || !d.Promote || d.Started() {
		t.Errorf("the new one is %+v", d)
	}
	if again := w.do(Change{Kind: Replace, Name: "c"}); again.ID != d.ID {
		t.Errorf("asked again, it is %+v", again)
	}
	w.refuse(Change{Kind: Remove, Name: "c"}, ErrAmbiguous)
	w.do(joins("c", 4)) // at the address of the old one
	if again := w.do(Change{Kind: Replace, Name: "c"}); again.ID != d.ID || !again.Started() {
		t.Errorf("asked again, it is %+v", again)
	}
	w.refuse(Change{Kind: Replace, Name: "c", About: About{Name: "d"}}, ErrBeingReplaced)
	w.is("[n1 n2 n3]", "[n11]")
	w.do(Change{Kind: Promote, ID: d.ID})
	w.is("[n1 n2 n11]", "[]")
	if r := w.roster(); !r.WasRemoved(3) || len(r.Named("c")) != 1 || r.Members[2].Replaces != raft.None {
		t.Errorf("the roster is %+v", r)
	}
}

func TestAVoterIsReplacedUnderAnotherName(t *testing.T) {
	w := newWorld(t)
	w.refuse(Change{Kind: Replace, Name: "c", About: About{Name: "b"}}, ErrVotes)
	w.do(Change{Kind: Replace, Name: "c", About: About{Name: "d"}})
	w.refuse(Change{Kind: Replace, Name: "c", About: About{Name: "e"}}, ErrBeingReplaced)
	w.do(joins("d", 4))
	w.do(Change{Kind: Promote, Name: "d"})
	w.is("[n1 n2 n11]", "[]")
}

// The new server may have joined before the cluster is told whose place it takes.
func TestAVoterIsReplacedByOneThatHasJoined(t *testing.T) {
	w := newWorld(t)
	d := w.do(joins("d", 4))
	if again := w.do(Change{Kind: Replace, Name: "c", About: About{Name: "d"}}); again.ID != d.ID || again.Replaces != 3 {
		t.Errorf("it is %+v", again)
	}
	w.refuse(Change{Kind: Replace, Name: "b", About: About{Name: "d"}}, ErrExists)
	w.do(Change{Kind: Promote, Name: "d"})
	w.is("[n1 n2 n11]", "[]")
}

// What was given up: the voter goes for good, or stays after all.
func TestAReplacementIsGivenUp(t *testing.T) {
	w := newWorld(t)
	d := w.do(Change{Kind: Replace, Name: "c"})
	w.do(Change{Kind: Remove, ID: 3})
	w.is("[n1 n2]", "[n11]")
	w.do(joins("c", 4))
	w.do(Change{Kind: Promote, ID: d.ID})
	w.is("[n1 n2 n11]", "[]")
	e := w.do(Change{Kind: Replace, Name: "c"})
	w.do(Change{Kind: Remove, ID: e.ID})
	w.is("[n1 n2 n11]", "[]")
}

func TestALearnerIsReplacedAtOnce(t *testing.T) {
	w := newWorld(t)
	c := joins("d", 4)
	c.Learner = true
	w.do(c)
	if d := w.do(Change{Kind: Replace, Name: "d"}); d.Replaces != raft.None || d.Promote || d.Started() {
		t.Errorf("the new one is %+v", d)
	}
	w.is("[n1 n2 n3]", "[n12]")
}

func TestAddressesChange(t *testing.T) {
	w := newWorld(t)
	m := w.do(Change{Kind: Update, Name: "c", About: About{Peers: []string{"moved:1"}}})
	if m.Peers[0] != "moved:1" || m.Clients[0] != "c:2" || !m.Started() {
		t.Errorf("it is %+v", m)
	}
	w.refuse(Change{Kind: Update, Name: "c", About: About{Peers: []string{"a:1"}}}, ErrAddressTaken)
	w.refuse(Change{Kind: Update, Name: "x", About: About{Peers: []string{"x:1"}}}, ErrNoMember)
	w.do(joins("d", 4))
	w.do(Change{Kind: Update, Name: "d", About: About{Clients: []string{"d:7"}}})
	w.is("[n1 n2 n3]", "[n12]") // it is a learner still
	if r := w.roster(); !r.Named("d")[0].Promote {
		t.Error("it is not to be promoted any more")
	}
}

// TestLearnersAreBounded where a change says so. Those that are about to vote do not count.
func TestLearnersAreBounded(t *testing.T) {
	w := newWorld(t)
	learner := func(name string, most int) Change {
		return Change{Kind: Add, About: about(name), Learner: true, MaxLearners: most}
	}
	w.do(Change{Kind: Add, About: about("joins")})
	w.refuse(learner("d", -1), ErrTooManyLearners)
	w.do(learner("d", 1))
	w.refuse(learner("e", 1), ErrTooManyLearners)
	w.do(learner("e", 2))
	w.do(learner("f", 0))
	w.do(Change{Kind: Add, About: about("g"), MaxLearners: 1})
}

func TestChangesAreRefused(t *testing.T) {
	w := newWorld(t)
	for i := range MaxMembers - 3 {
		w.do(joins(fmt.Sprint("m", i), byte(i+10)))
	}
	w.refuse(joins("more", 200), ErrTooMany)
	w.refuse(Change{Kind: Replace, Name: "c"}, ErrTooMany)
	w.refuse(Change{Kind: Add, About: About{Name: strings.Repeat("n", MaxName+1)}}, ErrName)
	for _, name := range []string{"a b", "a\tb", " a", "a\n", "a\x00", "a\x7f", "a\u00a0b", "a\u200bb", "a\xff"} {
		w.refuse(Change{Kind: Add, About: About{Name: name, Peers: []string{"x:1"}}}, ErrName)
		w.refuse(Change{Kind: Replace, Name: "a", About: About{Name: name}}, ErrName)
	}
	for _, name := range []string{"infra-1.example.com", "日本", "é", "a_b:c"} {
		if err := (About{Name: name}).Check(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := (Change{Kind: Replace + 1}).Apply(w.conf, 99); err == nil {
		t.Error("an unknown change is made")
	}
	old := &world{t, raft.NewConfiguration(1, 2, 3), 10}
	old.refuse(joins("d", 4), ErrNoRoster)
	newer := &world{t, raft.Configuration{Voters: old.conf.Voters, Context: []byte{version + 1}}, 10}
	newer.refuse(joins("d", 4), ErrDecode)
}

// A roster is published once, and never over another one.
func TestPublish(t *testing.T) {
	if c := cluster(); !Publish(c, Roster{}).Equal(c) {
		t.Error("a roster was replaced")
	}
}

// A witness joins as one, and what replaces it is one.
func TestAWitness(t *testing.T) {
	w := newWorld(t)
	c := joins("w", 4)
	c.Witness = true
	first := w.do(c)
	w.is("[n1 n2 n3]", "[n11]")
	if !w.conf.IsWitness(first.ID) {
		t.Errorf("the witnesses are %s", w.conf.Witnesses)
	}
	w.refuse(joins("w", 4), ErrWitness)
	w.do(Change{Kind: Promote, Name: "w"})
	second := w.do(Change{Kind: Replace, Name: "w"})
	w.refuse(joins("w", 5), ErrWitness)
	c.Incarnation = Incarnation{5}
	w.do(c)
	w.do(Change{Kind: Promote, ID: second.ID})
	if w.conf.Contains(first.ID) || fmt.Sprint(w.conf.Witnesses) != fmt.Sprintf("[%s]", second.ID) {
		t.Errorf("members %s, replaced was %s by %s", w.conf, first.ID, second.ID)
	}
	w.do(Change{Kind: Remove, Name: "w"})
	if len(w.conf.Witnesses) > 0 {
		t.Errorf("the witnesses are %s", w.conf.Witnesses)
	}
}

// A directory speaks for the member of its own name alone: who has learned what the directory of
// another member is does not get that one's place.
func TestADirectoryDoesNotTakeTheEntryOfAnotherName(t *testing.T) {
	w := newWorld(t)
	w.refuse(joins("d", 1), ErrExists) // 1 is the directory of a
	w.do(joins("d", 4))
	w.refuse(joins("e", 4), ErrExists)
}

// Addresses are the same with and without a scheme.
func TestAddressesAreComparedWithoutTheirScheme(t *testing.T) {
	w := newWorld(t)
	w.refuse(Change{Kind: Add, About: About{Name: "d", Peers: []string{"http://a:1"}}}, ErrAddressTaken)
	w.refuse(Change{Kind: Update, Name: "b", About: About{Peers: []string{"https://a:1/"}}}, ErrAddressTaken)
	added := w.do(Change{Kind: Add, About: About{Peers: []string{"http://d:1"}}})
	claim := joins("d", 4)
	claim.Expected = true
	if d := w.do(claim); d.ID != added.ID {
		t.Errorf("%s was added, and %s is claimed", added.ID, d.ID)
	}
}

// A roster that does not name the members of the configuration is not published: those that it lacks
// could never be reached, and those that are no members would be let in.
func TestOnlyTheRosterOfTheMembersIsPublished(t *testing.T) {
	conf := raft.NewConfiguration(1, 2)
	of := func(ids ...raft.NodeID) (r Roster) {
		for _, id := range ids {
			r = r.With(Member{ID: id, About: about(id.String()), Incarnation: Incarnation{byte(id)}})
		}
		return r
	}
	for _, r := range []Roster{{}, of(1), of(1, 3), of(1, 2, 3)} {
		if got := Publish(conf, r); len(got.Context) > 0 {
			t.Errorf("%+v is published", r)
		}
	}
	if got := Publish(conf, of(1, 2)); len(got.Context) == 0 {
		t.Error("the right one is not published")
	}
}

// TestWithAWitnessFewVote: what could never vote is refused when it is added, not when it is caught up.
func TestWithAWitnessFewVote(t *testing.T) {
	w := newWorld(t)
	witness := joins("w", 4)
	witness.Witness = true
	w.do(witness)
	w.refuse(joins("d", 5), ErrTooMany) // w is about to vote: four will
	w.do(Change{Kind: Promote, Name: "w"})
	w.refuse(joins("d", 5), ErrTooMany)
	w.refuse(Change{Kind: Add, About: about("d")}, ErrTooMany)
	second := joins("v", 5)
	second.Witness = true
	w.refuse(second, ErrTooMany)
	learner := joins("l", 6)
	learner.Learner = true
	w.do(learner)
	w.refuse(Change{Kind: Promote, Name: "l"}, ErrTooMany)
	w.do(Change{Kind: Replace, Name: "c", About: About{Name: "d"}}) // d votes when c is gone
	w.do(joins("d", 7))
	w.do(Change{Kind: Promote, Name: "d"})
	w.do(Change{Kind: Remove, Name: "a"})
	w.do(Change{Kind: Promote, Name: "l"})
}

// TestAPlaceIsMadeOnce: who asks for a place twice gets the same one.
func TestAPlaceIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	add := Change{Kind: Add, About: About{Name: "d", Peers: []string{"d:1"}}}
	m, before := w.do(add), w.conf
	if again := w.do(add); again.ID != m.ID || !w.conf.Equal(before) {
		t.Errorf("it was made twice: %+v, %+v", m, again)
	}
	other := add
	other.About.Peers = []string{"d:7"}
	w.refuse(other, ErrExists)
	other = add
	other.Learner = true
	w.refuse(other, ErrExists)
	w.do(joins("d", 4))
	w.refuse(add, ErrExists) // it has a server now
}
