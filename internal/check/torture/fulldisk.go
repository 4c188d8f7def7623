package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"balsa.example/clerk"
)

// What a server may do on a full disk.
const (
	kindFullStops = "full disk, server stopped"
	kindFullHolds = "full disk, server held out"
)

const (
	// bulkValue is the size of the values, in bytes, that use up the space that the log has
	// reserved on a full disk. bulkMost bytes of them must be enough.
	bulkValue = 256 << 10
	bulkMost  = 96 << 20
	// bulkTimeout is how long a write may take, a change of leaders included.
	bulkTimeout = 2 * time.Second
	// fullHeld is how long the disk stays full after that.
	fullHeld = 2 * time.Second
)

// errNoSpaceText is how ENOSPC reads in a log.
const errNoSpaceText = "no space left on device"

// fullDisk fills the disk of a follower or of the leader, under load. A leader must transfer
// leadership to a member that has space. A follower goes on as long as the segments that
// snapshots free are enough for the leader's entries. When they are not, it stops, logs why, and
// catches up when it is started with space again. The others go on.
func (t *torture) fullDisk(ofLeader bool) error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	m := leader
	if !ofLeader {
		others := t.c.but(leader)
		m = others[t.rng.IntN(len(others))]
	}
	if err := m.disk.fill(); err != nil {
		return err
	}
	at := time.Now()
	if err := t.bulk(m); err != nil {
		return fmt.Errorf("with the disk of %s full: %w", m.name, err)
	}
	if now, err := t.leader(); err != nil || now == m {
		return errors.Join(fmt.Errorf("%s leads on with a full disk", m.name), err)
	}
	if m.running() {
		return t.holdsOut(m, at)
	}
	return t.stopped(m, at)
}

// bulk writes until m has stopped, or for long enough.
func (t *torture) bulk(m *member) error {
	const key = "bulk"
	var version uint64
	for written := 0; written < bulkMost && m.running(); written += bulkValue {
		ctx, cancel := context.WithTimeout(t.ctx, bulkTimeout)
		kv, err := t.ck.Put(ctx, key, bytes.Repeat([]byte{byte(written / bulkValue)}, bulkValue), version)
		cancel()
		t.load.note(kv, err)
		var mismatch *clerk.VersionError
		switch {
		case err == nil:
			version = kv.Version
		case errors.As(err, &mismatch):
			version = mismatch.Current
		case errors.Is(err, clerk.ErrMaybe): // the next Put finds out the version
		default:
			return err
		}
	}
	return nil
}

// holdsOut checks that m keeps up on its full disk.
func (t *torture) holdsOut(m *member, at time.Time) error {
	if err := t.healthy(); err != nil {
		return fmt.Errorf("%s did not stop on a full disk: %w", m.name, err)
	}
	stalled, err := t.served(m, at)
	if err != nil {
		return err
	}
	if err := m.disk.free(); err != nil {
		return err
	}
	t.report.stalled(kindFullHolds, stalled)
	t.done(kindFullHolds, 0, "%s, a follower; the longest pause of writes was %v", m.name, stalled.Round(time.Millisecond))
	return nil
}

// stopped checks that m has logged why it stopped.
func (t *torture) stopped(m *member, at time.Time) error {
	if code := m.process.ProcessState.ExitCode(); code != 1 {
		return fmt.Errorf("%s stopped on a full disk with exit code %d, want 1", m.name, code)
	}
	if !strings.Contains(m.tail(20), errNoSpaceText) {
		return fmt.Errorf("%s stopped on a full disk, and does not say so", m.name)
	}
	stalled, err := t.served(m, at)
	if err != nil {
		return err
	}
	t.sleep(fullHeld)
	if err := m.disk.free(); err != nil {
		return err
	}
	if _, err := t.c.restart(m); err != nil {
		return err
	}
	t.report.stalled(kindFullStops, stalled)
	t.done(kindFullStops, 0, "%s said why; the longest pause of writes was %v", m.name, stalled.Round(time.Millisecond))
	return nil
}

// served checks that the others go on, and returns the longest time without a write.
func (t *torture) served(m *member, at time.Time) (time.Duration, error) {
	if _, err := t.load.resumed(t.ctx, time.Now(), t.o.within); err != nil {
		return 0, fmt.Errorf("with the disk of %s full: %w", m.name, err)
	}
	stalled := t.load.stalled(at)
	if stalled > t.o.heal {
		return 0, fmt.Errorf("writes were away for %v while the disk of %s was full", stalled, m.name)
	}
	return stalled, nil
}
