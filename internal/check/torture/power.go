package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The kinds of power losses, by the members that lose power.
const (
	powerOfOne      = "power loss of a follower"
	powerOfLeader   = "power loss of the leader"
	powerOfMajority = "power loss of a majority"
	powerOfAll      = "power loss of all"
)

var powerLosses = []string{powerOfOne, powerOfLeader, powerOfMajority, powerOfAll}

// powerLoss makes the disks of some members lose all that was not synced, and kills their
// processes. When they run again, all acknowledged writes must be there.
func (t *torture) powerLoss(kind string) error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	victims := t.victims(kind, leader)
	at := time.Now()
	for _, m := range victims {
		if err := m.disk.cutPower(); err != nil {
			return err
		}
	}
	// For a moment the servers run on failing disks: they must not acknowledge anything then.
	t.sleep(t.between(0, 20*time.Millisecond))
	for _, m := range victims {
		m.kill()
	}
	minority := 2*len(victims) < len(t.c.members)
	within := t.o.within
	if !minority { // there is no majority before they run again
		if at, err = t.powerOn(victims); err != nil {
			return err
		}
		within = t.o.heal
	}
	took, err := t.load.resumed(t.ctx, at, within)
	if err != nil {
		return fmt.Errorf("after the %s: %w", kind, err)
	}
	if minority {
		if _, err := t.powerOn(victims); err != nil {
			return err
		}
	}
	if err := t.load.verify(t.ctx, t.ck); err != nil {
		return fmt.Errorf("after the %s: %w", kind, err)
	}
	t.done(kind, took, "%s", namesOf(victims))
	return nil
}

// victims chooses the members that lose power.
func (t *torture) victims(kind string, leader *member) []*member {
	others := t.c.but(leader)
	t.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	switch {
	case kind == powerOfOne && len(others) > 0:
		return others[:1]
	case kind == powerOfMajority:
		return append(others[:len(t.c.members)/2], leader)
	case kind == powerOfAll:
		return slices.Clone(t.c.members)
	default:
		return []*member{leader}
	}
}

// powerOn mounts the disks again, which replays their journals, and starts the servers. It
// returns when that began.
func (t *torture) powerOn(victims []*member) (at time.Time, err error) {
	for _, m := range victims {
		if err := errors.Join(m.disk.detach(), m.disk.attach()); err != nil {
			return at, err
		}
	}
	return t.c.restart(victims...)
}

func namesOf(members []*member) string {
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	return fmt.Sprint(names)
}
