package scale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/bench/service"
)

const (
	smallValue = 100 // bytes, of many keys

	preloadName  = "preload/s"
	residentName = "memory"
	peakName     = "peak"
	diskName     = "disk"
	followerName = "restart follower"
	answerName   = "restart all, first answer"
	allName      = "restart all, caught up"
)

// keyLoads are what is measured with each number of keys.
var keyLoads = []struct {
	operation string
	reads     float64
	callers   int
}{{"put", 0, 100}, {"put", 0, 1000}, {"get", 1, 100}, {"get", 1, 1000}}

// keyNames are those of the columns of a load.
func keyNames(operation string, callers int) (rate, p99 string) {
	return fmt.Sprintf("%ss/s, %s", operation, number(callers)), fmt.Sprintf("%s %s, %s", operation, p99Name, number(callers))
}

func keyColumns() (all []Column) {
	all = append(all, Column{preloadName, PerSecond, "", ""})
	for _, l := range keyLoads {
		rate, p99 := keyNames(l.operation, l.callers)
		people := number(l.callers) + " callers"
		all = append(all,
			Column{rate, PerSecond, l.operation + "s per second", people},
			Column{p99, Seconds, p99Name + " of " + l.operation + "s", people})
		if l.callers == 100 {
			all = append(all, Column{"CPU/" + l.operation, Seconds, "", ""})
		}
	}
	return append(all,
		Column{residentName, Bytes, "memory of a server", "memory"},
		Column{peakName, Bytes, "memory of a server", "peak"},
		Column{diskName, Bytes, "", ""},
		Column{followerName, Seconds, "time to restart", "follower"},
		Column{answerName, Seconds, "time to restart", "first answer of all"},
		Column{allName, Seconds, "time to restart", "all caught up"})
}

// keys measures stores of more and more keys.
func (s *session) keys(ctx context.Context) error {
	s.series.Axis, s.series.Columns = "keys", keyColumns()
	s.series.Setup = fmt.Sprintf("%d servers, one Clerk, values of %d bytes; loads of %s at 100 and 1,000 callers. "+
		"Memory is resident, of the largest server after the loads; disk is of the largest. "+
		"Restarts are kill -9 and start, of a follower until it has applied all that is committed, and of all servers until a linearizable read is answered and until all have.",
		members, smallValue, s.duration)
	var err error
	for _, n := range s.keyCounts {
		err = s.cluster(ctx, members, nil, func(b *service.Balsa) error {
			return s.measureKeys(ctx, b, n, s.series.Row(number(n), float64(n)))
		})
		if err != nil {
			break
		}
	}
	s.series.noFailures()
	goalKeys := min(1_000_000, s.keyCounts[len(s.keyCounts)-1])
	for _, name := range []string{followerName, allName} {
		took, ok := s.series.Median(number(goalKeys), name)
		s.series.goal(fmt.Sprintf("%s with %s keys: under 5 s", name, number(goalKeys)), Seconds, took, took < 5, ok)
	}
	return err
}

func (s *session) measureKeys(ctx context.Context, b *service.Balsa, keys int, row *Row) error {
	s.say("preload %s keys", row.Label)
	rate, err := s.fill(ctx, b, keys, smallValue)
	if err != nil {
		return err
	}
	row.Add(preloadName, rate)
	for _, l := range keyLoads {
		load := s.puts(l.callers, keys, smallValue)
		load.Reads = l.reads
		sample, err := s.sample(ctx, b, load, row)
		if err != nil {
			return err
		}
		of := summary(sample)
		rateName, p99Name := keyNames(l.operation, l.callers)
		row.Add(rateName, of.PerSecond)
		row.Add(p99Name, of.Latency.P99.Seconds())
		if l.callers == 100 {
			row.Add("CPU/"+l.operation, cpuPerOp(sample))
		}
	}
	return errors.Join(s.footprint(ctx, b, row), s.restarts(ctx, b, row))
}

// footprint tells the memory and disk of the largest server.
func (s *session) footprint(ctx context.Context, b *service.Balsa, row *Row) error {
	var resident, most, disk float64
	for i := range b.Members() {
		now, peak, err := b.Memory(i)
		if err != nil {
			return err
		}
		status, err := b.Status(ctx, i)
		if err != nil {
			return err
		}
		resident, most, disk = max(resident, float64(now)), max(most, float64(peak)), max(disk, float64(status.DataBytes))
	}
	row.Add(residentName, resident)
	row.Add(peakName, most)
	row.Add(diskName, disk)
	s.say("%s keys: memory %s, peak %s, disk %s", row.Label, Bytes.Text(resident), Bytes.Text(most), Bytes.Text(disk))
	return nil
}

// restarts kills and starts a follower, and then all servers.
func (s *session) restarts(ctx context.Context, b *service.Balsa, row *Row) error {
	leader, err := b.Leader(ctx)
	if err != nil {
		return err
	}
	follower := (leader + 1) % b.Members()
	if err := errors.Join(b.CaughtUp(ctx, follower), b.Kill(follower)); err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(b.Restart(follower), b.CaughtUp(ctx, follower)); err != nil {
		return err
	}
	row.Add(followerName, time.Since(began).Seconds())

	for i := range b.Members() {
		if err := b.Kill(i); err != nil {
			return err
		}
	}
	began = time.Now()
	for i := range b.Members() {
		if err := b.Restart(i); err != nil {
			return err
		}
	}
	if err := b.Ready(ctx); err != nil {
		return err
	}
	row.Add(answerName, time.Since(began).Seconds())
	if err := caughtUp(ctx, b); err != nil {
		return err
	}
	row.Add(allName, time.Since(began).Seconds())
	s.say("%s keys: restart of a follower %s, of all %s", row.Label,
		Seconds.Text(row.Values[followerName][0]), Seconds.Text(row.Values[allName][0]))
	return nil
}

// caughtUp waits until all servers have caught up.
func caughtUp(ctx context.Context, b *service.Balsa) error {
	for i := range b.Members() {
		if err := b.CaughtUp(ctx, i); err != nil {
			return err
		}
	}
	return nil
}
