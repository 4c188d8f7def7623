package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"balsa.example/internal/loadgen"
)

// plain are the neighbours that puts share the machine with, one kind after the other.
var plain = []struct {
	kind, does string
	processes  int
}{
	{"copy-200", "a plain program copies files over loopback, 200 MB/s, with a sync of each MiB", 1},
	{"copy-100", "the same, 100 MB/s", 1},
	{"write", "three plain programs write 256 KiB and sync it each 9 ms", members},
	{"compute", "three plain programs compute for 1 ms of each 9", members},
}

// measurePlain measures what a load at half of the full one loses to plain programs beside the servers, which make no files
// meanwhile. So much it must lose to servers that have the same to do, on this machine.
func (r *rig) measurePlain(ctx context.Context) error {
	keys := int(r.bytes / livePart / smallValue)
	var full *loadgen.Summary
	if err := r.cluster(ctx, 0, neverWrite, func(c *cluster) (err error) {
		full, err = c.filledLoad(ctx, "full load", r.puts(keys, smallValue, 0))
		return err
	}); err != nil {
		return err
	}
	half := r.puts(keys, smallValue, full.PerSecond/2)
	for _, p := range plain {
		if err := r.cluster(ctx, 0, neverWrite, func(c *cluster) error {
			quiet, err := c.filledLoad(ctx, "half of it", half)
			if err != nil {
				return err
			}
			beside, err := c.beside(ctx, p.kind, p.processes, p.does, half)
			if err != nil {
				return err
			}
			r.seen("p99 while "+p.does, "%s, without %s: %.2f times; longest %s, without %s", loadgen.Round(beside.Latency.P99), loadgen.Round(quiet.Latency.P99),
				float64(beside.Latency.P99)/float64(quiet.Latency.P99), loadgen.Round(beside.Latency.Max), loadgen.Round(quiet.Latency.Max))
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// filledLoad writes all keys of a load, and then puts it on the servers.
func (c *cluster) filledLoad(ctx context.Context, what string, load loadgen.Load) (*loadgen.Summary, error) {
	if _, err := c.fill(ctx, load.Keys, load.ValueSize); err != nil {
		return nil, err
	}
	return c.load(ctx, what, load)
}

// beside puts a load on the servers while neighbours work.
func (c *cluster) beside(ctx context.Context, kind string, processes int, what string, load loadgen.Load) (_ *loadgen.Summary, err error) {
	for i := range processes {
		end, startErr := startNeighbour(ctx, kind, filepath.Join(c.dir, fmt.Sprintf("%s-%d", kind, i+1)))
		if startErr != nil {
			return nil, startErr
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	return c.load(ctx, "half of it, "+what, load)
}

// startNeighbour starts this program as a neighbour, and returns when it works. end ends it. Its files stay, as those of servers do.
func startNeighbour(ctx context.Context, kind, dir string) (end func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, neighbourCommand, kind, dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("start the neighbour %q: %w", kind, err), end())
	}
	return end, nil
}
