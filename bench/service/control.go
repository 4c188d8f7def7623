package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"balsa.example/api"
	"balsa.example/bench/usage"
	"balsa.example/clerk"
	"balsa.example/internal/loadgen/clerkload"
)

const (
	// pollInterval is the precision of the times that are measured by polling.
	pollInterval = 5 * time.Millisecond
	// pollTimeout bounds one question while waiting.
	pollTimeout = time.Second
)

// Members is how many servers the cluster has; they are numbered from 0.
func (b *Balsa) Members() int { return len(b.members) }

// Data is the directory of server i's data.
func (b *Balsa) Data(i int) string { return b.members[i].dir }

// Endpoint is where server i listens to clients.
func (b *Balsa) Endpoint(i int) string { return b.members[i].client }

// Clerk is the cluster's client.
func (b *Balsa) Clerk() *clerk.Clerk { return b.clerk }

// Kill ends server i at once, as kill -9 does, and returns when it has ended.
func (b *Balsa) Kill(i int) error {
	if err := b.members[i].signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-b.members[i].exited
	return nil
}

// Terminate asks server i to stop, and does not wait for it: Ended does.
func (b *Balsa) Terminate(i int) error { return b.members[i].signal(syscall.SIGTERM) }

// Ended waits until server i has ended.
func (b *Balsa) Ended(ctx context.Context, i int) error {
	select {
	case <-b.members[i].exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", b.members[i].name, ctx.Err())
	}
}

// Restart starts server i, which has ended, with the data that it left.
func (b *Balsa) Restart(i int) error {
	return b.members[i].start(b.program, b.arguments(b.members[i], b.members))
}

// SetFlags changes the flags that servers are restarted with.
func (b *Balsa) SetFlags(flags ...string) { b.flags = flags }

// Memory is the resident memory of server i in bytes, now and at its most.
func (b *Balsa) Memory(i int) (now, peak int64, err error) {
	return usage.Memory(b.members[i].process.Process.Pid)
}

// Metric is the value of a metric without labels that server i, started with Metrics,
// shows.
func (b *Balsa) Metric(ctx context.Context, i int, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.members[i].metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("metrics of %s: %w", b.members[i].name, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("%s shows no metric %s", b.members[i].name, name))
}

// Status asks server i for its status. It makes a new connection, since one that has failed waits
// before it connects again.
func (b *Balsa) Status(ctx context.Context, i int) (*api.StatusReply, error) {
	ck, err := clerk.New([]string{b.members[i].client})
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return ck.Status(ctx, b.members[i].client)
}

// Leader waits until a server says that it leads, and returns its number.
func (b *Balsa) Leader(ctx context.Context) (leader int, err error) {
	err = poll(ctx, "a leader", func() bool {
		for i, m := range b.members {
			if !m.runs() {
				continue
			}
			if s, err := b.Status(ctx, i); err == nil && s.Role == api.Role_LEADER {
				leader = i
				return true
			}
		}
		return false
	})
	return leader, err
}

// CaughtUp waits until server i has applied all that the leader had committed when it
// was asked just before.
func (b *Balsa) CaughtUp(ctx context.Context, i int) error {
	return b.CaughtUpAsking(ctx, i, pollInterval)
}

// CaughtUpAsking is CaughtUp with more time between the questions, which are work for both.
func (b *Balsa) CaughtUpAsking(ctx context.Context, i int, every time.Duration) error {
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	return pollEach(ctx, every, b.members[i].name+" to catch up", func() bool {
		ahead, err := b.Status(ctx, leader)
		if err != nil || ahead.Role != api.Role_LEADER {
			if next, err := b.Leader(ctx); err == nil {
				leader = next
			}
			return false
		}
		s, err := b.Status(ctx, i)
		return err == nil && s.AppliedIndex >= ahead.CommitIndex
	})
}

// Ready waits until the cluster answers a linearizable read.
func (b *Balsa) Ready(ctx context.Context) error {
	return poll(ctx, "an answer", func() bool {
		ck, err := clerk.New(b.endpoints())
		if err != nil {
			return false
		}
		defer ck.Close()
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		return clerkload.New(ck).Get(ctx, "ready") == nil
	})
}

// poll waits until done returns true.
func poll(ctx context.Context, what string, done func() bool) error {
	return pollEach(ctx, pollInterval, what, done)
}

func pollEach(ctx context.Context, interval time.Duration, what string, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(interval):
		}
	}
	return nil
}

// KindOf names the kind of a Clerk's error.
func KindOf(err error) string {
	for _, kind := range []struct {
		err  error
		name string
	}{
		{clerk.ErrMaybe, "maybe"},
		{clerk.ErrBusy, "busy"},
		{clerk.ErrWrongLeader, "no leader"},
		{clerk.ErrUnavailable, "unavailable"},
		{context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return err.Error()
}
