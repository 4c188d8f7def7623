// Command torture runs a cluster of `balsa serve` processes, does to them what
// happens to processes, and checks that clients saw nothing of it: no acknowledged
// write lost, none executed twice, no stale read, and writes back soon.
//
//	go run ./internal/torture --kills 10
//
// It ends with one line that says so, or what was wrong, and leaves the logs, the
// data and a report in a folder. kill -9 leaves what was written to the page cache
// and so proves nothing about syncs: the log's own tests do that.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"balsa/clerk"
	"balsa/internal/history"
)

type options struct {
	dir, binary      string
	nodes            int
	kills, pauses    int
	clients, keys    int
	pause, within    time.Duration
	seed             uint64
	flags            string
	catchUp, restart bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder for data, logs and the report; must not exist (default: a temporary one)")
	flag.StringVar(&o.binary, "binary", "", "the balsa to run (default: built from ./cmd/balsa)")
	flag.IntVar(&o.nodes, "nodes", 3, "servers")
	flag.IntVar(&o.kills, "kills", 10, "how often to kill -9 the leader, and start it again")
	flag.IntVar(&o.pauses, "pauses", 2, "how often to stop the leader's process for a while (SIGSTOP)")
	flag.IntVar(&o.clients, "clients", 5, "clients that read and write shared keys")
	flag.IntVar(&o.keys, "keys", 50, "shared keys")
	flag.DurationVar(&o.pause, "pause", 2*time.Millisecond, "how long each client waits between operations")
	flag.DurationVar(&o.within, "within", 2*time.Second, "how soon writes must be back after a kill")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides the order and times of the faults")
	flag.StringVar(&o.flags, "flags", "--max-raft-state=262144", "more flags for balsa serve")
	flag.BoolVar(&o.catchUp, "catch-up", true, "also leave one follower down until it needs a snapshot")
	flag.BoolVar(&o.restart, "restart", true, "also kill all servers at once")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "torture: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Printf("FAILED: %v\n", err)
		os.Exit(1)
	}
}

// report is what a run leaves in report.json. Durations are in milliseconds.
type report struct {
	Verdict    string
	Seed       uint64
	Nodes      int
	Kills      int
	Pauses     int
	Operations int
	Writes     int
	Maybes     int
	Failed     int
	ResumedMs  []float64
	Took       string
}

func run(o options) (err error) {
	began := time.Now()
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "balsa-torture-"); err != nil {
			return err
		}
	} else if err := os.Mkdir(o.dir, 0o755); err != nil {
		return err
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "balsa")
		build := exec.Command("go", "build", "-o", o.binary, "./cmd/balsa")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build ./cmd/balsa: %w\n%s", err, out)
		}
	}
	fmt.Printf("seed %d, folder %s\n", o.seed, o.dir)
	c, err := newCluster(o.binary, o.dir, o.nodes, strings.Fields(o.flags))
	if err != nil {
		return err
	}
	t := &torture{o: o, c: c, rng: rand.New(rand.NewPCG(o.seed, 0)), report: report{Seed: o.seed, Nodes: o.nodes}}
	err = t.run()
	for _, m := range c.members {
		if m.paused {
			m.resume()
		}
		if !m.stop(10*time.Second) && err == nil {
			err = fmt.Errorf("%s did not stop when asked to", m.name)
		}
	}
	t.report.Took = time.Since(began).Round(time.Millisecond).String()
	return errors.Join(err, t.finish(err))
}

// finish writes the report and prints the verdict.
func (t *torture) finish(err error) error {
	r := &t.report
	r.Verdict = "ok"
	if err != nil {
		r.Verdict = err.Error()
		for _, m := range t.c.members {
			fmt.Printf("--- the end of %s\n%s\n", m.log, m.tail(5))
		}
		var picture *history.NotLinearizableError
		if errors.As(err, &picture) {
			page := filepath.Join(t.o.dir, "history.html")
			if picture.Visualize(page) == nil {
				fmt.Printf("the history is drawn in %s\n", page)
			}
		}
	}
	data, jsonErr := json.MarshalIndent(r, "", "  ")
	if jsonErr != nil {
		return jsonErr
	}
	if err := os.WriteFile(filepath.Join(t.o.dir, "report.json"), data, 0o644); err != nil {
		return err
	}
	if err == nil {
		fmt.Printf("ok: %d operations, %d writes, %d of unknown fate; %d kills, %d pauses; writes back after %s; nothing lost, nothing twice (%s)\n",
			r.Operations, r.Writes, r.Maybes, r.Kills, r.Pauses, spread(r.ResumedMs), r.Took)
	}
	return nil
}

// admin is a Clerk for asking servers about themselves.
func (t *torture) admin() (*clerk.Clerk, error) { return clerk.New(t.c.endpoints()) }

// waitReady waits until the cluster serves.
func waitReady(ck *clerk.Clerk) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := ck.Get(ctx, "ready"); err != nil && !errors.Is(err, clerk.ErrNoKey) {
		return fmt.Errorf("wait until the cluster serves: %w", err)
	}
	return nil
}
