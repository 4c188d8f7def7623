package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"balsa.example/bench/cgroup"
	"balsa.example/bench/service"
	"balsa.example/bench/usage"
	"balsa.example/internal/loadgen"
)

const (
	members = 3
	keySize = 16
	// putters write at a time, and getters read: as many as in the earlier figures of docs/performance.md.
	putters, getters = 64, 16
)

// rig runs a measurement.
type rig struct {
	options
	mu       sync.Mutex // to write: a load tells how it is going beside what else happens
	w        io.Writer
	began    time.Time
	clusters int
	table    [][3]string // goal, seen, whether it is reached
}

// say tells what was seen, and when.
func (r *rig) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.w, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// goal adds a line to the table.
func (r *rig) goal(goal string, reached bool, seen string, args ...any) {
	verdict := "not reached"
	if reached {
		verdict = "reached"
	}
	r.table = append(r.table, [3]string{goal, fmt.Sprintf(seen, args...), verdict})
}

// seen adds a line to the table that is no goal.
func (r *rig) seen(what, seen string, args ...any) {
	r.table = append(r.table, [3]string{what, fmt.Sprintf(seen, args...)})
}

func (r *rig) writeTable() error {
	if len(r.table) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(r.w, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\ngoal\tseen\t\n")
	for _, row := range r.table {
		fmt.Fprintln(w, strings.Join(row[:], "\t"))
	}
	return w.Flush()
}

// cluster is servers that run, each in a control group if there is a limit.
type cluster struct {
	*rig
	*service.Balsa
	groups []*cgroup.Group
}

// cluster starts servers that may use so many bytes of memory each, lets f use them, and ends them. 0: there is no limit.
// What they have written stays until the end of all: a disk that is told which blocks are free is slow for seconds then,
// and what is measured next would show it.
func (r *rig) cluster(ctx context.Context, memory int64, flags []string, f func(*cluster) error) (err error) {
	r.clusters++
	dir := filepath.Join(r.dir, fmt.Sprint(r.clusters))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	c := &cluster{rig: r}
	defer func() {
		for _, g := range c.groups {
			err = errors.Join(err, g.Remove())
		}
	}()
	procs := make([]string, members)
	for i := range procs {
		if memory == 0 {
			continue
		}
		g, err := cgroup.New(fmt.Sprintf("balsa-goals-%d-%d", os.Getpid(), i+1), memory)
		if err != nil {
			return err
		}
		c.groups, procs[i] = append(c.groups, g), g.Procs()
	}
	if c.Balsa, err = service.StartBalsaIn(ctx, r.balsa, dir, procs, flags...); err != nil {
		return errors.Join(err, logs(dir))
	}
	err = f(c)
	if closeErr := errors.Join(c.Close(), ctx.Err()); err != nil || closeErr != nil {
		return errors.Join(err, closeErr, logs(dir))
	}
	return nil
}

// logs is an error with the ends of the servers' logs, which are removed with the rest.
func logs(dir string) error {
	const end = 2 << 10
	names, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	var errs []error
	for _, name := range names {
		b, err := os.ReadFile(name)
		errs = append(errs, err)
		if len(b) > 0 {
			errs = append(errs, fmt.Errorf("%s ends:\n%s", filepath.Base(name), b[max(0, len(b)-end):]))
		}
	}
	return errors.Join(errs...)
}

// load puts a load on the servers, and tells what was seen. Operations may not fail.
func (c *cluster) load(ctx context.Context, what string, load loadgen.Load) (*loadgen.Summary, error) {
	systems, err := c.Systems(load.Callers)
	if err != nil {
		return nil, err
	}
	load.KeySize = keySize
	before, err := c.CPU()
	if err != nil {
		return nil, err
	}
	g := loadgen.Generator{Systems: systems, Classify: service.KindOf}
	if c.every > 0 {
		g.Interval, g.Observe = c.every, c.progress(what)
	}
	report, err := g.Run(ctx, load)
	if err != nil {
		return nil, err
	}
	after, err := c.CPU()
	s := report.Main()
	switch {
	case err != nil:
		return nil, err
	case s == nil || report.Failed() > 0:
		return nil, fmt.Errorf("%s: %d operations succeeded, and of the others %v", what, report.Ops(), report.Errors)
	}
	l := s.Latency
	c.say("%s: %s in %s, %s/s, p50 %s, p99 %s, p99.9 %s, longest %s; servers %s each", what, loadgen.Thousands(s.Ops), loadgen.Round(s.Elapsed), loadgen.Thousands(int64(s.PerSecond)),
		loadgen.Round(l.P50), loadgen.Round(l.P99), loadgen.Round(l.P999), loadgen.Round(l.Max), loadgen.Round((after-before)/time.Duration(s.Ops)))
	return s, nil
}

// progress returns what tells how a load is going. The processor time of a server is known to a hundredth of a second.
func (c *cluster) progress(what string) func(loadgen.Progress) {
	last, since := c.processorTimes(), time.Now()
	return func(p loadgen.Progress) {
		now, at := c.processorTimes(), time.Now()
		line := fmt.Sprintf("%s, at %.1f s: %s, p50 %s, p99 %s", what, p.Elapsed.Seconds(), loadgen.Thousands(p.Ops), loadgen.Round(p.P50), loadgen.Round(p.P99))
		if len(now) == len(last) {
			line += "; processors of the clients and servers:"
			for i := range now {
				line += fmt.Sprintf(" %.2f", float64(now[i]-last[i])/float64(at.Sub(since)))
			}
		}
		c.say("%s", line)
		last, since = now, at
	}
}

// processorTimes are those of this process and of the servers, or fewer while one of them starts.
func (c *cluster) processorTimes() []time.Duration {
	own, _ := usage.Self()
	servers, _ := c.CPUs()
	return append([]time.Duration{own}, servers...)
}

// fill writes all keys once.
func (c *cluster) fill(ctx context.Context, keys, value int) (*loadgen.Summary, error) {
	load := loadgen.Load{Callers: putters, Keys: keys, ValueSize: value, Distribution: loadgen.Sequential, Ops: int64(keys)}
	return c.load(ctx, fmt.Sprintf("%s of keys written", text(int64(keys)*int64(value))), load)
}

// puts writes keys at random; rate 0 is as many as possible.
func (r *rig) puts(keys, value int, rate float64) loadgen.Load {
	callers := putters
	if rate > 0 {
		callers = 4 * putters // so that a stall finds who waits for it
	}
	return loadgen.Load{Callers: callers, Keys: keys, ValueSize: value, Distribution: loadgen.Uniform, Rate: rate, Duration: r.phase}
}

// errEnded is the end of a measurement whose servers want more memory than they have.
var errEnded = errors.New("a server was ended by the kernel for want of memory")

// usage tells what the servers use.
func (c *cluster) usage() error {
	for i := range members {
		_, peak, err := c.Memory(i)
		if err != nil {
			return err
		}
		disk, err := diskUse(c.Data(i))
		if err != nil {
			return err
		}
		line := fmt.Sprintf("n%d has %s on its disk, and had up to %s of memory of its own", i+1, text(disk), text(peak))
		if len(c.groups) > 0 {
			u, err := c.groups[i].Usage()
			if err != nil {
				return err
			}
			line += fmt.Sprintf("; its group %s, now %s of processes and %s of files", text(u.Most), text(u.Anonymous), text(u.File))
			if u.Killed > 0 {
				return fmt.Errorf("n%d: %w", i+1, errEnded)
			}
		}
		c.say("%s", line)
	}
	return nil
}

// diskUse is what the files of a directory take of the disk, which may change meanwhile.
func diskUse(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				if stat, ok := info.Sys().(*syscall.Stat_t); ok {
					bytes += stat.Blocks * 512
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return bytes, err
}

// text writes a number of bytes.
func text(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.2f GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}
