package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// checkTimeout bounds balsa check of one directory.
const checkTimeout = time.Minute

// restart starts members again whose processes have ended, at whatever moment that was. Their
// directories must be valid as they are. It returns when that was known.
func (c *cluster) restart(members ...*member) (at time.Time, err error) {
	if err := c.inOrder(members...); err != nil {
		return at, err
	}
	at = time.Now()
	for _, m := range members {
		if err := c.start(m); err != nil {
			return at, err
		}
	}
	return at, nil
}

// inOrder returns an error for each member whose directory balsa check does not find in order.
func (c *cluster) inOrder(members ...*member) error {
	errs := make([]error, len(members))
	var checks sync.WaitGroup
	for i, m := range members {
		checks.Go(func() { errs[i] = check(c.binary, m.dir) })
	}
	checks.Wait()
	c.checked += len(members)
	return errors.Join(errs...)
}

// nothingYet is what balsa check says where a server has ended before it has written anything.
var nothingYet = []byte("it holds nothing of a server")

func check(binary, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "check", dir).CombinedOutput()
	if err == nil || bytes.Contains(out, nothingYet) {
		return nil
	}
	return fmt.Errorf("balsa check %s: %w: %s", dir, err, bytes.TrimSpace(out))
}
