package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"balsa.example/clerk"
)

// The kinds of changes of the members.
const (
	changeAdd          = "change: a server joins"
	changePlace        = "change: a server takes a place made for it"
	changeLearner      = "change: a learner joins"
	changeWitness      = "change: a witness joins"
	changePromote      = "change: a learner is promoted"
	changeRemove       = "change: a server is removed"
	changeRemoveLeader = "change: the leader is removed"
	changeDemote       = "change: a voter becomes a learner"
	changeReplace      = "change: a running server is replaced"
	changeReplaceDead  = "change: a dead machine is replaced"
	changeMove         = "change: a server moves"
	changeMoveAll      = "change: all servers move"
	changeRefused      = "change: refused, it would do harm"
	changeRestore      = "change: backed up, and restored as another cluster"
)

var changeKinds = []string{
	changeAdd, changePlace, changeLearner, changeWitness, changePromote, changeRemove, changeRemoveLeader,
	changeDemote, changeReplace, changeReplaceDead, changeMove, changeMoveAll, changeRefused, changeRestore,
}

const (
	// maxVoters and maxLearners bound the cluster; it has no fewer voters than --nodes.
	maxVoters, maxLearners = 6, 2
	// maxWithWitness is the bound of voters where one of them is a witness, which is balsa's own.
	maxWithWitness = 4
	// exitRemoved is the exit code of a server that was removed.
	exitRemoved = 15
	// toldWithin is how soon such a server must have ended.
	toldWithin = 20 * time.Second
)

// changes is what the rig knows of the changes of the members.
type changes struct {
	t    *torture
	deck []string          // kinds that come next, if they are possible
	made int               // how many servers joined
	ids  map[uint64]string // all ids that members had, and whose they were
}

func newChanges(t *torture) *changes { return &changes{t: t, ids: make(map[uint64]string)} }

// change makes the next change.
func (t *torture) change() error {
	kind := t.changes.next()
	if err := t.changes.do(kind); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// next chooses a change that is possible: each kind once, in an order that the seed decides, and
// then all over again.
func (c *changes) next() string {
	for {
		for i, kind := range c.deck {
			if c.possible(kind) {
				c.deck = slices.Delete(c.deck, i, i+1)
				return kind
			}
		}
		round := slices.Clone(changeKinds)
		c.t.rng.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		c.deck = round
	}
}

func (c *changes) possible(kind string) bool {
	voters, learners := len(c.voters()), len(c.t.c.members)-len(c.voters())
	witness, room := slices.ContainsFunc(c.t.c.members, isWitness), maxVoters
	if witness {
		room = maxWithWitness
	}
	switch kind {
	case changeAdd, changePlace:
		return voters < room
	case changeLearner:
		return learners < maxLearners
	case changeWitness:
		return !witness && voters < maxWithWitness
	case changePromote:
		return learners > 0 && voters < room
	case changeRemove, changeRemoveLeader:
		return voters > c.t.o.nodes
	case changeDemote:
		return voters > c.t.o.nodes && learners < maxLearners
	case changeRefused:
		return voters%2 == 1
	}
	return true
}

func (c *changes) voters() (all []*member) {
	for _, m := range c.t.c.members {
		if !m.learner {
			all = append(all, m)
		}
	}
	return all
}

func isWitness(m *member) bool { return m.witness }

func (c *changes) do(kind string) error {
	switch kind {
	case changeAdd, changePlace, changeLearner, changeWitness:
		return c.add(kind)
	case changePromote:
		return c.promote()
	case changeRemove, changeRemoveLeader:
		return c.remove(kind)
	case changeDemote:
		return c.demote()
	case changeReplace, changeReplaceDead:
		return c.replace(kind)
	case changeMove, changeMoveAll:
		return c.move(kind)
	case changeRestore:
		return c.restore()
	default:
		return c.refused()
	}
}

// newcomer is a server that is to join, with a new directory.
func (c *changes) newcomer(name string) (*member, error) {
	c.made++
	if name == "" {
		name = fmt.Sprintf("n%d", c.t.o.nodes+c.made)
	}
	dir := filepath.Join(c.t.o.dir, fmt.Sprintf("%s-%d", name, c.made))
	m := &member{name: name, dir: dir, log: dir + ".log", joins: c.peers()}
	return m, c.t.c.settle(m)
}

// peers are the peer addresses of some members.
func (c *changes) peers() (all []string) {
	members := c.t.c.members
	for _, i := range c.t.rng.Perm(len(members))[:min(3, len(members))] {
		all = append(all, members[i].peer)
	}
	return all
}

// any is a voter that the seed chooses.
func (c *changes) any() *member {
	all := c.voters()
	return all[c.t.rng.IntN(len(all))]
}

func (c *changes) add(kind string) error {
	m, err := c.newcomer("")
	if err != nil {
		return err
	}
	s := c.begin(kind, m)
	if kind == changePlace {
		if err := c.ask(s, "add", clerk.MemberChange{NewName: m.name}); err != nil {
			return err
		}
	}
	m.learner, m.witness = kind == changeLearner, kind == changeWitness
	c.t.c.members = append(c.t.c.members, m)
	if err := c.t.c.start(m); err != nil {
		return err
	}
	s.joins = true
	return c.finish(s, nil)
}

func (c *changes) promote() error {
	i := slices.IndexFunc(c.t.c.members, func(m *member) bool { return m.learner })
	m := c.t.c.members[i]
	m.learner = false
	s := c.begin(changePromote, m)
	return c.finish(s, func() error { return c.ask(s, "promote", clerk.MemberChange{ID: m.id}) })
}

// remove removes a server, the leader if kind says so. It has to end by itself, and again if it is
// started once more.
func (c *changes) remove(kind string) error {
	m := c.any()
	if kind == changeRemoveLeader {
		leader, err := c.t.leader()
		if err != nil {
			return err
		}
		m = leader
	}
	c.retire(m)
	s := c.begin(kind, m)
	if err := c.finish(s, func() error { return c.ask(s, "remove", clerk.MemberChange{ID: m.id}) }); err != nil {
		return err
	}
	return c.comesBack(m)
}

// retire takes a member from the list.
func (c *changes) retire(m *member) {
	c.t.c.members = slices.DeleteFunc(slices.Clone(c.t.c.members), func(other *member) bool { return other == m })
	c.t.c.former = append(c.t.c.former, m)
}

// comesBack starts a server that was removed with its former directory, every other time.
func (c *changes) comesBack(m *member) error {
	if c.t.rng.IntN(2) == 0 {
		return nil
	}
	m.joins = c.peers()
	if _, err := c.t.c.restart(m); err != nil {
		return err
	}
	return c.told(m)
}

// told waits until a server has ended since it was removed.
func (c *changes) told(m *member) error {
	select {
	case <-m.exited:
	case <-time.After(toldWithin):
		return fmt.Errorf("%s was removed, and still runs %v later: %s", m.name, toldWithin, m.tail(1))
	}
	if code := m.process.ProcessState.ExitCode(); code != exitRemoved {
		return fmt.Errorf("%s was removed, and has ended with %d, want %d: %s", m.name, code, exitRemoved, m.tail(1))
	}
	return nil
}

// demote lets a voter join again as a learner. That takes a new directory.
func (c *changes) demote() error {
	m := c.any()
	c.retire(m)
	s := c.begin(changeDemote, m)
	if err := c.ask(s, "remove", clerk.MemberChange{ID: m.id}); err != nil {
		return err
	}
	if err := errors.Join(c.told(m), os.RemoveAll(m.dir)); err != nil {
		return err
	}
	learner, err := c.newcomer(m.name)
	if err != nil {
		return err
	}
	learner.learner = true
	c.t.c.members = append(c.t.c.members, learner)
	if err := c.t.c.start(learner); err != nil {
		return err
	}
	s.subject, s.joins = learner, true
	return c.finish(s, nil)
}

// replace lets a new server take the place of another under the same name. A dead machine has lost
// its disk.
func (c *changes) replace(kind string) error {
	m := c.any()
	s := c.begin(kind, m)
	if kind == changeReplaceDead {
		m.kill()
		if err := os.RemoveAll(m.dir); err != nil {
			return err
		}
	}
	c.retire(m)
	fresh, err := c.newcomer(m.name)
	if err != nil {
		return err
	}
	fresh.witness = m.witness
	if err := c.ask(s, "replace", clerk.MemberChange{ID: m.id}); err != nil {
		return err
	}
	c.t.c.members = append(c.t.c.members, fresh)
	if err := c.t.c.start(fresh); err != nil {
		return err
	}
	s.subject, s.joins = fresh, true
	if err := c.finish(s, nil); err != nil || kind == changeReplaceDead {
		return err
	}
	return errors.Join(c.told(m), c.comesBack(m))
}

// move starts a server at other addresses, or all, one after the other. Clients have to follow.
func (c *changes) move(kind string) error {
	all := slices.Clone(c.t.c.members)
	c.t.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if kind == changeMove {
		all = all[:1]
	}
	for _, m := range all {
		s := c.begin(kind, m)
		s.quiet = kind == changeMoveAll
		m.stop(10 * time.Second)
		if err := c.t.c.settle(m); err != nil {
			return err
		}
		if m.joins != nil || c.t.rng.IntN(2) == 0 {
			m.joins = c.peers()
		}
		if _, err := c.t.c.restart(m); err != nil {
			return err
		}
		if err := c.finish(s, nil); err != nil {
			return err
		}
	}
	return nil
}

// refused asks to remove a server that answers, while so many are down that the others would be no
// majority. That, and changes that make no sense, must be refused.
func (c *changes) refused() error {
	voters := c.voters()
	c.t.rng.Shuffle(len(voters), func(i, j int) { voters[i], voters[j] = voters[j], voters[i] })
	s := c.begin(changeRefused, nil)
	down := voters[:len(voters)/2]
	for _, m := range down {
		m.kill()
	}
	c.t.sleep(4 * c.t.o.election) // so that the leader knows, also a new one
	err := errors.Join(
		c.refuses(s, "remove", clerk.MemberChange{ID: voters[len(voters)-1].id}, clerk.ErrMemberChange),
		c.refuses(s, "add", clerk.MemberChange{NewName: voters[len(voters)-1].name}, clerk.ErrMemberExists),
		c.refuses(s, "remove", clerk.MemberChange{Name: "nobody"}, clerk.ErrNoMember))
	_, failed := c.t.c.restart(down...)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	s.quiet = true
	return c.finish(s, nil)
}

// refuses demands that a change is refused.
func (c *changes) refuses(s *step, kind string, change clerk.MemberChange, want error) error {
	ctx, cancel := context.WithTimeout(c.t.ctx, c.t.o.heal)
	defer cancel()
	_, err := c.call(ctx, kind, change)
	if !errors.Is(err, want) {
		return fmt.Errorf("%s %+v, while a half is down: %v, want %w", kind, change, err, want)
	}
	s.refused++
	return nil
}
