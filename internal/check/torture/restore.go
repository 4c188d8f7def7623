package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
)

// restored is what the rig reads of what balsa restore prints.
type restored struct {
	Revision uint64 `json:"revision"`
}

// backupsInARow are made, so that a fault comes while there is one.
const backupsInARow = 4

// restore backs the cluster up under load, into one directory each time, and restores that as a
// cluster of three, which must have exactly what clients were told of up to the revision.
func (c *changes) restore() error {
	s := c.begin(changeRestore, nil)
	c.made++
	return c.finish(s, func() error {
		before := c.t.load.history.Ops()
		backup := filepath.Join(c.t.o.dir, "backup")
		for range backupsInARow {
			if err := c.backup(s, backup); err != nil {
				return err
			}
		}
		return c.restoreFrom(backup, before, c.t.load.history.Ops())
	})
}

// backup backs the cluster up. That may break off as servers end: then the next one has to go on.
func (c *changes) backup(s *step, dir string) error {
	endpoints := strings.Join(c.t.c.direct(), ",")
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := c.command(nil, "backup", dir, "--endpoints", endpoints)
		if err == nil {
			return c.command(nil, "backup", "verify", dir)
		}
		if time.Since(began) > changeTime {
			return err
		}
		s.refused++
	}
}

func (c *changes) restoreFrom(backup string, before, after []history.Op) (err error) {
	t := c.t
	dir := filepath.Join(t.o.dir, fmt.Sprintf("restored-%d", c.made))
	second, err := newLoopbackCluster(t.o.binary, dir, 3, t.o.serveFlags(), t.o.seed+uint64(c.made))
	defer func() { err = errors.Join(err, second.close(false)) }()
	if err != nil {
		return err
	}
	var r restored
	for _, m := range second.members {
		if err := c.command(&r, "restore", backup, "--data-dir", m.dir, "-o", "json"); err != nil {
			return err
		}
		if err := second.start(m); err != nil {
			return err
		}
	}
	ck, err := clerk.New(second.direct())
	if err != nil {
		return err
	}
	defer ck.Close()
	if err := c.compareRestored(ck, r.Revision, before, after); err != nil {
		return fmt.Errorf("restored at revision %d: %w", r.Revision, err)
	}
	return nil
}

// command runs a command of balsa, and decodes what it prints into result, if that is not nil.
func (c *changes) command(result any, args ...string) error {
	ctx, cancel := context.WithTimeout(c.t.ctx, time.Minute)
	defer cancel()
	var failed strings.Builder
	cmd := exec.CommandContext(ctx, c.t.o.binary, args...)
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err == nil && result != nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		return fmt.Errorf("balsa %s: %w: %s%s", strings.Join(args, " "), err, out, failed.String())
	}
	return nil
}

// compareRestored compares every key of this epoch with what clients were told before the backup
// began and by when it had ended.
func (c *changes) compareRestored(ck *clerk.Clerk, revision uint64, before, after []history.Op) error {
	l := c.t.load
	keys := []string{l.probeKey()}
	for k := range l.o.keys {
		keys = append(keys, l.key(k))
	}
	ctx, cancel := context.WithTimeout(c.t.ctx, c.t.o.rejoin)
	defer cancel()
	for _, key := range keys {
		kv, err := ck.Get(ctx, key)
		if err != nil && !errors.Is(err, clerk.ErrNoKey) {
			return err
		}
		if err := checkRestored(kv, key, revision, before, after); err != nil {
			return err
		}
	}
	return nil
}

// checkRestored checks one restored key: it has each write that was acknowledged before the
// backup, or had a revision up to that of the backup, and none of a later revision.
func checkRestored(kv clerk.KV, key string, revision uint64, before, after []history.Op) error {
	for _, op := range before {
		if acknowledged(op, key) && op.Version+1 > kv.Version {
			return fmt.Errorf("%w: %q is at version %d, and %s was acknowledged before the backup", errLost, key, kv.Version, op)
		}
	}
	for _, op := range after {
		if !acknowledged(op, key) {
			continue
		}
		switch version := op.Version + 1; {
		case op.Revision <= revision && version > kv.Version:
			return fmt.Errorf("%w: %q is at version %d, and %s was at revision %d", errLost, key, kv.Version, op, op.Revision)
		case op.Revision > revision && version <= kv.Version:
			return fmt.Errorf("%q is at version %d already, and %s was at revision %d", key, kv.Version, op, op.Revision)
		case version == kv.Version && op.Value != string(kv.Value):
			return fmt.Errorf("%w: %q is %.20q at version %d, and %s was acknowledged", errLost, key, kv.Value, kv.Version, op)
		}
	}
	return nil
}

func acknowledged(op history.Op, key string) bool {
	return op.Key == key && op.Kind == history.Put && op.Outcome == history.OK
}
