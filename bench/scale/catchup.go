package scale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"balsa.example/api"
	"balsa.example/bench/measure"
	"balsa.example/bench/service"
	"balsa.example/internal/loadgen"
)

const (
	tickInterval = 100 * time.Millisecond

	allUp    = "all servers are up"
	oneDown  = "one is down"
	catching = "it catches up"
	together = "all of it"

	tookName = "time"
)

// timeline records the operations of a load in each tick, and its phases.
type timeline struct {
	mu     sync.Mutex
	ticks  []tick
	phases []phase // used by one goroutine
}

// phase is a named part of a timeline.
type phase struct {
	name     string
	from, to time.Time
}

func (c *timeline) observe(p loadgen.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks = append(c.ticks, tick{time.Now(), p.Since, p.Ops})
}

func (c *timeline) all() []tick {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticks[:len(c.ticks):len(c.ticks)]
}

// catchUp measures a load while a follower catches up by a snapshot.
func (s *session) catchUp(ctx context.Context) error {
	s.series.Axis = "while"
	s.series.Columns = []Column{{rateName, PerSecond, "", ""}, {cpuName, Seconds, "", ""}, {tookName, Seconds, "", ""}}
	due, flags := "due as they are by default", []string(nil)
	if s.cutKB > 0 {
		due, flags = fmt.Sprintf("due after each %s of log", Bytes.Text(float64(s.cutKB<<10))), raftFlag(s.cutKB<<10)
	}
	s.series.Setup = fmt.Sprintf("%d servers with %s keys, snapshots %s, one Clerk, %d callers that put values of %d bytes all the time. "+
		"%d times a follower is killed, and started when the leader's log begins behind where its own ended; it has caught up when it has applied what the leader had committed just before. "+
		"All servers are up before each time and after the last.",
		members, number(s.manyKeys), due, callers, valueSize, s.rounds)
	err := s.cluster(ctx, members, flags, func(b *service.Balsa) error {
		if _, err := s.fill(ctx, b, s.manyKeys, valueSize); err != nil {
			return err
		}
		return s.underLoad(ctx, b)
	})
	s.series.noFailures()
	ratio, ok := s.series.ratio(rateName, catching, allUp)
	s.series.goal("throughput while a follower catches up is at least 0.8 times that of all servers", Times, ratio, ratio >= 0.8, ok)
	return err
}

// underLoad runs the phases while callers put.
func (s *session) underLoad(ctx context.Context, b *service.Balsa) error {
	g, err := generator(b)
	if err != nil {
		return err
	}
	c := &timeline{}
	g.Interval, g.Observe = tickInterval, c.observe
	loading, stop := context.WithCancel(ctx)
	defer stop()
	load := s.puts(callers, s.manyKeys, valueSize)
	load.Duration = time.Hour // stop ends it
	reports := make(chan *loadgen.Report, 1)
	go func() {
		report, err := g.Run(loading, load)
		if err != nil { // the load is not valid
			panic(err)
		}
		reports <- report
	}()
	err = s.phases(ctx, b, c)
	stop()
	report := <-reports
	row := s.series.Row(together, 0)
	row.fail(report.Errors)
	row.Add(tookName, report.Elapsed.Seconds())
	row.Add(rateName, float64(report.Ops())/report.Elapsed.Seconds())
	s.series.Traces = throughput(c.all(), c.phases)
	return err
}

// throughput returns a line for each name of a phase, with about a hundred points at most in all.
func throughput(ticks []tick, phases []phase) (traces []Trace) {
	every := max(1, (len(ticks)+99)/100)
	step := time.Duration(every) * tickInterval
	for k, first := range phases {
		if slices.ContainsFunc(phases[:k], func(s phase) bool { return s.name == first.name }) {
			continue
		}
		t := Trace{Panel: "puts per second", Line: first.name, Unit: PerSecond, XLabel: "seconds", Step: step.Seconds()}
		for i := 0; i+every <= len(ticks); i += every {
			t.Values = append(t.Values, rateDuring(first.name, ticks[i:i+every], phases[k:]))
		}
		traces = append(traces, t)
	}
	return traces
}

// rateDuring returns 0, which is not drawn, outside all phases of a name.
func rateDuring(name string, ticks []tick, phases []phase) (sum float64) {
	for _, s := range phases {
		if rate, ok := rateBetween(ticks, s.from, s.to); ok && s.name == name {
			sum += rate
		}
	}
	return sum
}

func (s *session) phases(ctx context.Context, b *service.Balsa, c *timeline) error {
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, s.warmup); err != nil {
		return err
	}
	for round := range s.rounds {
		follower := (leader + 1 + round%(b.Members()-1)) % b.Members()
		if err := s.followerAbsence(ctx, b, c, leader, follower); err != nil {
			return err
		}
	}
	if err := s.during(allUp, b, c, func() error { return pause(ctx, s.phase) }); err != nil {
		return err
	}
	now, err := b.Leader(ctx)
	if err == nil && now != leader {
		s.problem("another server led in the end")
	}
	return err
}

// followerAbsence ends a follower until the log is compacted beyond its last index, and restarts it.
func (s *session) followerAbsence(ctx context.Context, b *service.Balsa, c *timeline, leader, follower int) error {
	var gone *api.StatusReply
	for _, phase := range []struct {
		name string
		do   func() error
	}{
		{allUp, func() error { return pause(ctx, s.phase) }},
		{"", func() (err error) {
			if err = b.Kill(follower); err == nil {
				gone, err = b.Status(ctx, leader)
			}
			return err
		}},
		{oneDown, func() error { return errors.Join(pause(ctx, s.phase/2), logCompacted(ctx, b, leader, gone.LastIndex)) }},
		{catching, func() error { return errors.Join(b.Restart(follower), b.CaughtUp(ctx, follower)) }},
	} {
		if err := s.during(phase.name, b, c, phase.do); err != nil {
			return err
		}
	}
	return nil
}

// during measures the callers during a phase. A phase without a name is not measured.
func (s *session) during(name string, b *service.Balsa, c *timeline, do func() error) error {
	used, err := measure.ProcessorTime(b)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("while %s: %w", name, err)
	}
	took := time.Since(began)
	now, err := measure.ProcessorTime(b)
	if err != nil || name == "" {
		return err
	}
	c.phases = append(c.phases, phase{name, began, began.Add(took)})
	row := s.series.Row(name, 0)
	row.Add(tookName, took.Seconds())
	if rate, ok := rateBetween(c.all(), began, began.Add(took)); ok {
		row.Add(rateName, rate)
		if ops := rate * took.Seconds(); ops >= 1 {
			row.Add(cpuName, (now-used).Seconds()/ops)
		}
	}
	s.say("%s: %s, %s puts/s", name, loadgen.Round(took), s.series.cells(row)[1])
	return nil
}

// logCompacted waits until the leader's log begins after an index.
func logCompacted(ctx context.Context, b *service.Balsa, leader int, index uint64) error {
	for {
		status, err := b.Status(ctx, leader)
		if err == nil && status.FirstIndex > index {
			return nil
		}
		if err := pause(ctx, watchInterval); err != nil {
			return fmt.Errorf("wait until the log is cut: %w", err)
		}
	}
}
