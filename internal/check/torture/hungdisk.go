package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a disk that hangs is called in the report.
const (
	kindHung         = "hung disk"
	kindHungLeader   = "hung disk of the leader"
	kindHungFollower = "hung disk of a follower"
)

const (
	// hungStall is the longest time without a write while one disk hangs.
	hungStall = 2 * time.Second
	// hungLeads is the time within which another member must lead.
	hungLeads = 4 * time.Second
	hungMost  = 12 * time.Second
)

// slowDiskText is what a server logs when its disk hangs.
const slowDiskText = "the disk is slow"

// hungDisk freezes the file system of the leader or of a follower, so that no write and no
// sync ends. The others go on, another one leads, and the server logs that its disk is slow.
func (t *torture) hungDisk(ofLeader bool) error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	m, kind := leader, kindHungLeader
	if !ofLeader {
		others := t.c.but(leader)
		m, kind = others[t.rng.IntN(len(others))], kindHungFollower
	}
	before := t.throughput(time.Second)
	at := time.Now()
	if err := m.disk.freeze(); err != nil {
		return err
	}
	err = t.whileHung(m, at, before, kind)
	return errors.Join(err, m.disk.thaw())
}

func (t *torture) whileHung(m *member, at time.Time, before float64, kind string) error {
	took, err := t.load.resumed(t.ctx, at, hungStall)
	if err != nil {
		return fmt.Errorf("with the disk of %s hung: %w", m.name, err)
	}
	t.sleep(t.between(hungLeads, hungMost) - time.Second)
	during := t.throughput(time.Second)
	stalled := t.load.stalled(at)
	if stalled > hungStall {
		return fmt.Errorf("writes were away for %v while the disk of %s hung", stalled, m.name)
	}
	if now, err := t.leader(); err != nil || now == m {
		return errors.Join(fmt.Errorf("%s leads on with a hung disk", m.name), err)
	}
	if !strings.Contains(m.tail(40), slowDiskText) {
		return fmt.Errorf("%s does not say that its disk hangs", m.name)
	}
	t.report.stalled(kind, stalled)
	t.done(kind, took, "%s for %v, %.0f operations/s before and %.0f meanwhile, the longest pause of writes %v",
		m.name, time.Since(at).Round(time.Millisecond), before, during, stalled.Round(time.Millisecond))
	return nil
}

// throughput returns the operations per second, measured for d.
func (t *torture) throughput(d time.Duration) float64 {
	from, at := t.load.done.Load(), time.Now()
	t.sleep(d)
	return float64(t.load.done.Load()-from) / time.Since(at).Seconds()
}
