// Package library runs consensus libraries inside this process: three replicas of a table, with
// synced files and TCP over loopback between them, and without a network for clients. Only the
// library differs.
package library

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"balsa.example/internal/loadgen"
)

const (
	members       = 3
	leaderTimeout = 20 * time.Second
	leaderPoll    = 5 * time.Millisecond
)

// replica is one member of a cluster.
type replica interface {
	// leads tells whether this replica believes that it leads.
	leads() bool
	// put returns when the table of this replica, and a majority's logs on disk, have it.
	put(ctx context.Context, key string, value []byte) error
	// get is a linearizable read.
	get(ctx context.Context, key string) error
	close() error
}

// Cluster is three replicas. It is a loadgen.System that talks to the leader.
type Cluster struct {
	replicas []replica

	mu     sync.RWMutex
	leader replica // nil: not known
}

// open makes a cluster of the replicas that start returns.
func open(dir string, start func(member int, dir string) (replica, error)) (*Cluster, error) {
	c := &Cluster{}
	for i := range members {
		r, err := start(i, filepath.Join(dir, fmt.Sprintf("n%d", i+1)))
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.replicas = append(c.replicas, r)
	}
	if _, err := c.find(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Systems returns the cluster itself.
func (c *Cluster) Systems(callers int) ([]loadgen.System, error) { return []loadgen.System{c}, nil }

// CPU is the time used by other processes than this one: none.
func (c *Cluster) CPU() (time.Duration, error) { return 0, nil }

// Close ends all replicas.
func (c *Cluster) Close() (err error) {
	for _, r := range c.replicas {
		err = errors.Join(err, r.close())
	}
	return err
}

// Put is part of loadgen.System.
func (c *Cluster) Put(ctx context.Context, key string, value []byte) error {
	return c.do(func(r replica) error { return r.put(ctx, key, value) })
}

// Get is part of loadgen.System.
func (c *Cluster) Get(ctx context.Context, key string) error {
	return c.do(func(r replica) error { return r.get(ctx, key) })
}

// do asks the leader, and after an error finds the next leader.
func (c *Cluster) do(ask func(replica) error) error {
	c.mu.RLock()
	r := c.leader
	c.mu.RUnlock()
	if r == nil {
		var err error
		if r, err = c.find(); err != nil {
			return err
		}
	}
	err := ask(r)
	if err != nil {
		c.forget(r)
	}
	return err
}

func (c *Cluster) forget(r replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == r {
		c.leader = nil
	}
}

// find waits until a replica leads.
func (c *Cluster) find() (replica, error) {
	for end := time.Now().Add(leaderTimeout); time.Now().Before(end); time.Sleep(leaderPoll) {
		for _, r := range c.replicas {
			if r.leads() {
				c.mu.Lock()
				c.leader = r
				c.mu.Unlock()
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("no leader within %s", leaderTimeout)
}
