package main

import (
	"context"
	"errors"
	"time"

	"balsa.example/bench/service"
)

const (
	// tinyValue is the size of values whose keys fill the index of a server long before its disk, in bytes.
	tinyValue = 16
	// keyMemory is what a key of keySize takes of the index, half of them with an older version: 112 and 24 bytes.
	keyMemory = 124
	// filledPart of what the index may take is filled.
	filledPart = 0.93
)

// measureFull measures servers whose index is nearly as large as it may be in the memory that they have, and which hold all
// else that they may hold beside it: they write as much as they can, one of them is killed, and gets the state of another one.
// The bounds of all that together have to fit: the kernel ends who exceeds the memory, all replicas have the same keys,
// and so would be ended together.
func (r *rig) measureFull(ctx context.Context) error {
	if r.memory == 0 {
		return errors.New("there must be a limit on memory, which the index can fill")
	}
	return r.cluster(ctx, r.memory, []string{service.Metrics}, func(c *cluster) (err error) {
		most, err := c.Metric(ctx, 0, "balsa_store_index_limit_bytes")
		if err != nil {
			return err
		}
		keys := int(most * filledPart / keyMemory)
		ctx, stop := c.whileAllLive(ctx)
		defer func() {
			if stop(); context.Cause(ctx) == errEnded {
				err = errors.Join(errEnded, err) // err alone is that of a load that was stopped
			}
		}()
		if _, err := c.fill(ctx, keys, tinyValue); err != nil {
			return err
		}
		if err := c.usage(); err != nil {
			return err
		}
		follower, err := c.leaveBehind(ctx, keys/2, tinyValue)
		if err != nil {
			return err
		}
		if _, err := c.restart(ctx, follower); err != nil {
			return err
		}
		if err := c.usage(); err != nil {
			return err
		}
		bytes, err := c.Metric(ctx, follower, "balsa_store_index_bytes")
		if err != nil {
			return err
		}
		r.goal("no server is ended for want of memory", true, "an index of %s of %s, %s of memory for each server", text(int64(bytes)), text(int64(most)), text(r.memory))
		return nil
	})
}

// whileAllLive returns a context that ends with errEnded when the kernel has ended a server: a load would wait for it.
func (c *cluster) whileAllLive(ctx context.Context) (live context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		for tick := time.NewTicker(askEvery); ; {
			for _, g := range c.groups {
				if u, err := g.Usage(); err == nil && u.Killed > 0 {
					end(errEnded)
				}
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return ctx, func() { end(nil) }
}
