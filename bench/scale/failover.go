package scale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"balsa.example/bench/result"
	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

const (
	quiet   = "nothing"
	killed  = "kill -9 of the leader"
	stopped = "SIGTERM to the leader"

	gapName   = "median gap"
	leastName = "least"
	mostName  = "most"
	callName  = "longest put"
	timesName = "times"

	// writers put all the time, so that the gap does not depend on a single put.
	writers = 10
	// retryPause is how long a writer waits after an error, since a server may refuse at once.
	retryPause = time.Millisecond
	// settled is how long puts must be acknowledged again before an event is over.
	settled = time.Second
	// fresh is the longest pause of puts that does not count as an interruption.
	fresh = 200 * time.Millisecond
	// eventLimit is how long no put may be acknowledged.
	eventLimit = 20 * time.Second
)

// failover measures how long no put is acknowledged when a leader ends.
func (s *session) failover(ctx context.Context) error {
	s.series.Axis = "event"
	s.series.Columns = []Column{{timesName, Count, "", ""}, {gapName, Seconds, "", ""}, {leastName, Seconds, "", ""}, {mostName, Seconds, "", ""}, {callName, Seconds, "", ""}}
	s.series.Setup = fmt.Sprintf("%d servers with default timeouts (heartbeat 50 ms, election 500 ms), one Clerk, %d callers that put all the time. "+
		"A gap is the longest time between two acknowledged puts, of all callers, from the event until puts went on for %s; the longest put is that of any caller. Events take turns.",
		members, writers, settled)
	gaps, puts := map[string][]float64{}, map[string][]float64{}
	err := s.cluster(ctx, members, nil, func(b *service.Balsa) error {
		writing, stop := context.WithCancel(ctx)
		acknowledged, failures, ended := write(writing, b)
		err := s.events(ctx, b, acknowledged, gaps, puts)
		stop()
		ended()
		s.series.Setup += fmt.Sprintf(" Puts that failed, which is expected of those in progress: %v.", failures)
		return err
	})
	for _, event := range []string{quiet, killed, stopped} {
		s.summarize(event, gaps[event], puts[event])
	}
	for _, goal := range []struct {
		event string
		bound float64
	}{{killed, 0.3}, {stopped, 0.05}} {
		got, ok := s.series.Median(goal.event, gapName)
		s.series.goal(fmt.Sprintf("%s: the median gap is at most %s", goal.event, Seconds.Text(goal.bound)), Seconds, got, got <= goal.bound, ok)
	}
	return err
}

// summarize makes a row and a line of the gaps of an event.
func (s *session) summarize(event string, gaps, puts []float64) {
	if len(gaps) == 0 {
		return
	}
	row, of := s.series.Row(event, 0), result.SpreadOf(gaps)
	row.Add(timesName, float64(len(gaps)))
	row.Add(gapName, of.Median)
	row.Add(leastName, of.Low)
	row.Add(mostName, of.High)
	row.Add(callName, slices.Max(puts))
	s.series.Traces = append(s.series.Traces, Trace{
		Panel: "gaps", Line: event, Unit: Seconds, XLabel: "events with a smaller gap", Step: 1, Values: slices.Sorted(slices.Values(gaps)),
	})
}

// write lets callers put until ctx ends; ended waits for them.
func write(ctx context.Context, b *service.Balsa) (acknowledged *calls, failures map[string]int, ended func()) {
	acknowledged, failures = &calls{}, map[string]int{}
	var mu sync.Mutex // guards failures until ended returns
	var all sync.WaitGroup
	value := make([]byte, valueSize)
	for i := range writers {
		all.Go(func() {
			for n := i; ctx.Err() == nil; n += writers {
				begin := time.Now()
				_, err := b.Clerk().Set(ctx, loadgen.Key(n%fewKeys, keySize), value)
				if err == nil {
					acknowledged.add(begin, time.Now())
					continue
				}
				if ctx.Err() == nil {
					mu.Lock()
					failures[service.KindOf(err)]++
					mu.Unlock()
				}
				_ = pause(ctx, retryPause)
			}
		})
	}
	return acknowledged, failures, all.Wait
}

// events makes the events happen in turns.
func (s *session) events(ctx context.Context, b *service.Balsa, acknowledged *calls, gaps, puts map[string][]float64) error {
	for n := range s.sizes.events {
		for _, event := range []string{quiet, killed, stopped} {
			if err := errors.Join(caughtUp(ctx, b), pause(ctx, settled)); err != nil {
				return err
			}
			gap, put, err := s.event(ctx, b, event, acknowledged)
			if err != nil {
				return fmt.Errorf("event %d, %s: %w", n+1, event, err)
			}
			gaps[event], puts[event] = append(gaps[event], gap.Seconds()), append(puts[event], put.Seconds())
			s.say("%d/%d  %s: gap %s, longest put %s", n+1, s.sizes.events, event, loadgen.Round(gap), loadgen.Round(put))
		}
	}
	return nil
}

// event makes one event happen, and restarts the server that it has ended.
func (s *session) event(ctx context.Context, b *service.Balsa, event string, acknowledged *calls) (gap, put time.Duration, err error) {
	leader, err := b.Leader(ctx)
	if err != nil {
		return 0, 0, err
	}
	acknowledged.take() // drop the calls before the event
	at := time.Now()
	switch event {
	case killed:
		err = b.Kill(leader)
	case stopped:
		err = errors.Join(b.Terminate(leader), b.Ended(ctx, leader))
	}
	if err != nil {
		return 0, 0, err
	}
	if err := awaitPuts(ctx, acknowledged); err != nil {
		return 0, 0, err
	}
	all := acknowledged.take()
	gap, ok := longestGap(all, at)
	if !ok {
		return 0, 0, errors.New("no put was acknowledged around it")
	}
	if event != quiet {
		err = b.Restart(leader)
	}
	return gap, longestCall(all, at), err
}

// awaitPuts waits until puts have been acknowledged for some time, without a pause.
func awaitPuts(ctx context.Context, acknowledged *calls) error {
	ctx, cancel := context.WithTimeoutCause(ctx, eventLimit, fmt.Errorf("puts did not go on within %s", eventLimit))
	defer cancel()
	for since := time.Now(); time.Since(since) < settled; {
		if err := pause(ctx, tickInterval/4); err != nil {
			return context.Cause(ctx)
		}
		if time.Since(acknowledged.last()) > fresh {
			since = time.Now()
		}
	}
	return nil
}
