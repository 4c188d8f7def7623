package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa.example/clerk"
)

// step is one change of the members, from its beginning until all members agree on it and are well.
type step struct {
	kind    string
	began   time.Time
	subject *member // nil: none in particular
	joins   bool    // the subject is a new server
	quiet   bool    // there is to be no fault meanwhile
	refused int     // how often the cluster refused it
}

func (c *changes) begin(kind string, subject *member) *step {
	return &step{kind: kind, began: time.Now(), subject: subject}
}

// changeTime bounds how long a change is asked for: faults that go on meanwhile delay it.
const changeTime = 30 * time.Second

// finish makes a change by ask, if that is not nil, injects a fault meanwhile, and returns when the
// members are those that they are to be.
func (c *changes) finish(s *step, ask func() error) error {
	t := c.t
	asked := make(chan error, 1)
	go func() {
		if ask == nil {
			asked <- nil
		} else {
			asked <- ask()
		}
	}()
	fault, err := "none", error(nil)
	if !s.quiet {
		fault, err = c.meanwhile(s)
	}
	over := time.Now()
	if err := errors.Join(err, <-asked); err != nil {
		return fmt.Errorf("%s, fault meanwhile: %s: %w", s, fault, err)
	}
	if err := c.settled(); err != nil {
		return fmt.Errorf("%s, fault meanwhile: %s: %w", s, fault, err)
	}
	if slices.Contains(t.c.former, s.subject) {
		if err := c.told(s.subject); err != nil {
			return fmt.Errorf("%s, fault meanwhile: %s: %w", s, fault, err)
		}
	}
	took := time.Since(s.began)
	if _, err := t.load.resumed(t.ctx, over, t.o.heal); err != nil {
		return fmt.Errorf("%s, fault meanwhile: %s: %w", s, fault, err)
	}
	if err := t.redial(); err != nil {
		return err
	}
	pause, bound := t.load.stalled(s.began), t.o.within
	if t.c.netns != nil {
		bound += 2 * clerk.DefaultAttemptTimeout // for addresses of before, which answer nothing
	}
	if fault == "none" && pause > bound {
		return fmt.Errorf("%s: no write was acknowledged for %v, want %v", s, pause.Round(time.Millisecond), bound)
	}
	t.report.changed(s, took, pause)
	t.done(s.kind, 0, "%s, after %v; fault meanwhile: %s; longest pause of writes %v; now %s",
		s, took.Round(time.Millisecond), fault, pause.Round(time.Millisecond), c)
	return nil
}

// redial makes the rig's own Clerk anew: one that is not used for long does not learn where the
// members are. Those of the load have to. Clients of the etcd API ask now and then, so all that they know
// may have moved meanwhile: they are told, as by the name service.
func (t *torture) redial() error {
	ck, err := clerk.New(t.c.direct())
	if err != nil {
		return err
	}
	t.ck.Close()
	t.ck = ck
	t.load.etcd.set(t.c.direct())
	return nil
}

func (s *step) String() string {
	if s.subject == nil {
		return "of none"
	}
	return s.subject.name
}

// String is the members: voters, in parentheses learners, in brackets a witness.
func (c *changes) String() string {
	var all []string
	for _, m := range c.t.c.members {
		switch {
		case m.learner:
			all = append(all, "("+m.name+")")
		case m.witness:
			all = append(all, "["+m.name+"]")
		default:
			all = append(all, m.name)
		}
	}
	return strings.Join(all, " ")
}

// ask asks for a change until it is made.
func (c *changes) ask(s *step, kind string, change clerk.MemberChange) error {
	ctx, cancel := context.WithTimeout(c.t.ctx, changeTime)
	defer cancel()
	maybe := false
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.call(attempt, kind, change)
		done()
		switch {
		case err == nil:
			return nil
		case maybe && errors.Is(err, alreadyMade[kind]):
			return nil
		case errors.Is(err, clerk.ErrMemberChange), errors.Is(err, clerk.ErrNotCaughtUp):
			s.refused++
		case errors.Is(err, clerk.ErrMaybe):
			maybe = true
		case !errors.Is(err, clerk.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("%s %+v: %w", kind, change, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s %+v was not made within %v: %w", kind, change, changeTime, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// alreadyMade is how a change is refused that was made before.
var alreadyMade = map[string]error{
	"add": clerk.ErrMemberExists, "remove": clerk.ErrNoMember, "promote": clerk.ErrMemberChange, "replace": clerk.ErrMemberChange,
}

func (c *changes) call(ctx context.Context, kind string, change clerk.MemberChange) (clerk.Member, error) {
	ck, err := clerk.New(c.t.c.direct()) // an operator's, who knows who the members are
	if err != nil {
		return clerk.Member{}, err
	}
	defer ck.Close()
	return map[string]func(context.Context, clerk.MemberChange) (clerk.Member, error){
		"add": ck.AddMember, "promote": ck.PromoteMember, "remove": ck.RemoveMember, "replace": ck.ReplaceMember,
	}[kind](ctx, change)
}

// settled waits until the leader says that the members are those of the rig, and notes their ids.
func (c *changes) settled() error {
	ctx, cancel := context.WithTimeout(c.t.ctx, c.t.o.rejoin+changeTime)
	defer cancel()
	ck, err := clerk.New(c.t.c.direct())
	if err != nil {
		return err
	}
	defer ck.Close()
	var differ error
	err = c.t.until(ctx, func() bool {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		defer done()
		all, err := ck.Members(attempt, false)
		if differ = err; err == nil {
			differ = c.compare(all)
		}
		return differ == nil || c.t.c.stoppedByThemselves() != nil
	})
	if stopped := c.t.c.stoppedByThemselves(); stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("the members are not what they are to be: %w", differ)
	}
	return nil
}

// compare returns an error unless the members are those of the rig.
func (c *changes) compare(all clerk.Members) error {
	if len(all.All) != len(c.t.c.members) {
		return fmt.Errorf("%d members, want %s: %+v", len(all.All), c, all.All)
	}
	for _, m := range c.t.c.members {
		i := slices.IndexFunc(all.All, func(one clerk.Member) bool { return one.Name == m.name })
		if i < 0 {
			return fmt.Errorf("%s is no member: %+v", m.name, all.All)
		}
		one := all.All[i]
		switch owner, used := c.ids[one.ID]; {
		case m.id == 0 && used:
			return fmt.Errorf("%s has the id %016x that was %s's", m.name, one.ID, owner)
		case m.id != 0 && m.id != one.ID:
			return fmt.Errorf("%s has the id %016x, and had %016x", m.name, one.ID, m.id)
		case one.Voter == m.learner, one.Witness != m.witness, one.Promote, one.Replaces != 0, !one.Started, !one.Active,
			!slices.Equal(one.PeerURLs, []string{"http://" + m.peer}), !slices.Equal(one.ClientURLs, m.clientURLs()):
			return fmt.Errorf("%s, at %s and %s, learner %t, witness %t, is %+v", m.name, m.peer, m.client, m.learner, m.witness, one)
		}
	}
	for _, m := range c.t.c.members {
		i := slices.IndexFunc(all.All, func(one clerk.Member) bool { return one.Name == m.name })
		m.id = all.All[i].ID
		c.ids[m.id] = m.name
	}
	return nil
}

// clientURLs are where clients are told to ask m.
func (m *member) clientURLs() []string {
	if m.witness {
		return nil
	}
	return []string{"http://" + m.client}
}
