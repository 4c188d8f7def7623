package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"balsa.example/clerk"
	"balsa.example/internal/loadgen"
	"balsa.example/internal/loadgen/clerkload"
)

// members is how many servers a service has in a comparison.
const members = 3

// Balsa is a cluster of "balsa serve", asked through a Clerk.
type Balsa struct {
	*processes
	clerk   *clerk.Clerk
	program string
	flags   []string
	reads   []clerk.ReadOption // of the loads
}

// Metrics is a flag whose value StartBalsa fills in: an address for each server.
const Metrics = "--listen-metrics-urls"

// OpenBalsa starts a cluster for a comparison, and waits until it answers.
func OpenBalsa(ctx context.Context, program, dir string) (*Balsa, error) {
	return StartBalsa(ctx, program, dir, members)
}

// StartBalsa starts a cluster of n servers with additional flags, and waits until it answers.
func StartBalsa(ctx context.Context, program, dir string, n int, flags ...string) (*Balsa, error) {
	return StartBalsaIn(ctx, program, dir, make([]string, n), flags...)
}

// StartBalsaIn is StartBalsa with a server for each of groups, in that control group: each is the path of its file
// cgroup.procs, or empty for the group of this process.
func StartBalsaIn(ctx context.Context, program, dir string, groups []string, flags ...string) (*Balsa, error) {
	b := &Balsa{program: program, flags: flags}
	var err error
	if b.processes, err = launch(program, dir, groups, b.arguments); err != nil {
		return nil, err
	}
	if b.clerk, err = clerk.New(b.endpoints()); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := clerkload.New(b.clerk).Get(ctx, "ready"); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for balsa: %w", err), b.Close())
	}
	return b, nil
}

func (b *Balsa) arguments(m *member, all []*member) []string {
	args := slices.Concat([]string{"serve", "--log-level", "warn"}, commonFlags(m, all), b.flags)
	if i := slices.Index(args, Metrics); i >= 0 {
		args = slices.Insert(args, i+1, "http://"+m.metrics)
	}
	return args
}

// Reading returns the same cluster, with options for the gets of its loads.
func (b *Balsa) Reading(options ...clerk.ReadOption) *Balsa {
	c := *b
	c.reads = options
	return &c
}

// Systems returns one Clerk: its connection to the leader batches what many callers ask
// at the same time.
func (b *Balsa) Systems(int) ([]loadgen.System, error) {
	return []loadgen.System{clerkload.New(b.clerk, b.reads...)}, nil
}

// Close ends clients and servers.
func (b *Balsa) Close() error {
	b.clerk.Close()
	return b.stop()
}
