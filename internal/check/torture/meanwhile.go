package main

import (
	"fmt"
	"time"
)

// meanwhile injects a fault while a change goes on, or none, and returns when it is over.
func (c *changes) meanwhile(s *step) (what string, err error) {
	t := c.t
	t.sleep(t.between(0, 400*time.Millisecond))
	draw := t.rng.IntN(10)
	length := t.between(200*time.Millisecond, 3*time.Second)
	other := t.c.members[t.rng.IntN(len(t.c.members))]
	if t.c.netns != nil && draw%2 == 1 {
		return c.losePackets(s, other, length)
	}
	switch draw {
	case 0, 1:
		leader, err := t.leader()
		if err != nil {
			return "", err
		}
		return "kill of the leader", c.killFor(length/2, leader)
	case 2:
		if s.subject == nil {
			return "kill of " + other.name, c.killFor(length/2, other)
		}
		return "kill of " + s.String(), c.killFor(length/2, s.subject)
	case 3:
		return "kill of " + other.name, c.killFor(length/2, other)
	case 4:
		return "kill of all", c.killFor(0, t.c.members...)
	case 5, 6:
		leader, err := t.leader()
		if err != nil {
			return "", err
		}
		leader.pause()
		t.sleep(length)
		leader.resume()
		return fmt.Sprintf("pause of the leader for %v", length.Round(time.Millisecond)), nil
	}
	return "none", nil
}

// killFor kills members, and starts them again after a while.
func (c *changes) killFor(d time.Duration, members ...*member) error {
	for _, m := range members {
		m.kill()
	}
	c.t.sleep(d)
	_, err := c.t.c.restart(members...)
	return err
}

// losePackets lets the network fail for a while: between all, around one, or one way.
func (c *changes) losePackets(s *step, other *member, d time.Duration) (what string, err error) {
	t := c.t
	one := other
	if t.rng.IntN(2) == 0 && s.subject != nil {
		one = s.subject
	}
	kinds := []string{outageSwitch, outageOne, outageMute, outagePair}
	kind := kinds[t.rng.IntN(len(kinds))]
	victims := []*member{one}
	switch kind {
	case outageSwitch:
		victims = t.c.members
	case outagePair:
		i := t.rng.IntN(len(t.c.members))
		if t.c.members[i] == one {
			i = (i + 1) % len(t.c.members)
		}
		victims = append(victims, t.c.members[i])
	}
	what = fmt.Sprintf("%s, %s, for %v", kind, namesOf(victims), d.Round(time.Millisecond))
	if err := t.breakDown(kind, victims); err != nil {
		return what, err
	}
	t.sleep(d)
	return what, t.c.netns.heal()
}
