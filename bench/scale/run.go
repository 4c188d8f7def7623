package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"balsa.example/bench/service"
)

// Runner measures series.
type Runner struct {
	Program  string // balsa
	Dir      string // for data and logs
	Quick    bool
	Progress io.Writer
	// LoadAverage is the machine's.
	LoadAverage func() float64
}

// kind is a series that can be measured.
type kind struct {
	name, title string
	limit       time.Duration // it ends after so long, with what it has
	measure     func(s *session, ctx context.Context) error
}

// kinds are in the order in which they are measured. Their limits add up to what a
// whole run may take.
var kinds = []kind{
	{"callers", "puts against callers", 100 * time.Second, (*session).callers},
	{"sizes", "puts against the size of values", 100 * time.Second, (*session).valueSizes},
	{"reads", "gets against their consistency", 90 * time.Second, (*session).reads},
	{"allocations", "allocations of an operation", 45 * time.Second, (*session).allocations},
	{"keys", "puts, gets, memory and restarts against the number of keys", 5 * time.Minute, (*session).keys},
	{"nodes", "puts against servers", 100 * time.Second, (*session).nodes},
	{"snapshots", "latency while snapshots are taken", 150 * time.Second, (*session).snapshots},
	{"catchup", "throughput while a follower catches up", 210 * time.Second, (*session).catchUp},
	{"failover", "the end of a leader", 210 * time.Second, (*session).failover},
}

// Names are those of the series that only matches.
func Names(only *regexp.Regexp) (names []string) {
	for _, k := range kinds {
		if only.MatchString(k.name) {
			names = append(names, k.name)
		}
	}
	return names
}

// Run measures the series that only matches, one after another, and adds each to the
// report. A series that fails tells why among its problems, and the next is measured;
// the error is of all that failed.
func (r *Runner) Run(ctx context.Context, only *regexp.Regexp, report *Report) error {
	report.Quick = r.Quick
	var errs []error
	for _, k := range kinds {
		if !only.MatchString(k.name) || ctx.Err() != nil {
			continue
		}
		of := full
		if r.Quick {
			of = quick
		}
		s := &session{Runner: r, sizes: of, series: &Series{Name: k.name, Title: k.title}}
		report.Series = append(report.Series, s.series)
		if err := s.run(ctx, k); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// session is one series while it is measured.
type session struct {
	*Runner
	sizes
	series   *Series
	clusters int // started so far
}

func (s *session) run(ctx context.Context, k kind) error {
	ctx, cancel := context.WithTimeoutCause(ctx, k.limit, fmt.Errorf("the series' limit of %s is over", k.limit))
	defer cancel()
	began := time.Now()
	s.series.Load[0] = s.LoadAverage()
	s.say("%s", k.title)
	err := k.measure(s, ctx)
	s.series.Load[1], s.series.Elapsed = s.LoadAverage(), time.Since(began)
	if err == nil {
		for _, g := range s.series.Goals {
			s.say("goal: %s: %s", g.Says, g.verdict())
		}
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	s.problem("ended early: %v", err)
	return err
}

// say shows what happens.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, "%s  %-9s  %s\n", time.Now().Format(time.TimeOnly), s.series.Name, fmt.Sprintf(format, args...))
}

// problem notes and shows what should not have happened.
func (s *session) problem(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.series.Problems = append(s.series.Problems, text)
	s.say("PROBLEM: %s", text)
}

// cluster starts n servers, has f use them, and ends them. Of a failure their logs
// stay, but not their data.
func (s *session) cluster(ctx context.Context, n int, flags []string, f func(*service.Balsa) error) error {
	s.clusters++
	dir := filepath.Join(s.Dir, fmt.Sprintf("%s-%d", s.series.Name, s.clusters))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := service.StartBalsa(ctx, s.Program, dir, n, flags...)
	if err != nil {
		return fmt.Errorf("%w (see %s)", err, dir)
	}
	err = f(b)
	err = errors.Join(err, b.Close())
	if err == nil {
		return os.RemoveAll(dir)
	}
	for i := range n {
		err = errors.Join(err, os.RemoveAll(b.Data(i)))
	}
	return fmt.Errorf("%w (see %s)", err, dir)
}
