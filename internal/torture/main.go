// Command torture runs a cluster of `balsa serve` processes, does to them what happens to
// processes, disks and networks, and checks that clients saw nothing of it: no
// acknowledged write lost, none executed twice, no stale read, and writes back soon.
//
//	go run ./internal/torture --kills 10
//	go run ./internal/torture --kills 20 --network 30 --pauses 5
//	go run ./internal/torture --kills 0 --power-losses 20 --full-disk 3 --hung-disk 4
//
// It ends with one line that says so, or what was wrong, and leaves logs, histories and
// a report in a folder. The faults come in an order that the seed decides.
//
// kill -9 leaves what was written to the page cache, and so proves nothing about syncs.
// Power losses do: each server has an ext4 file system of its own, which is shut down
// under it and forgets what was not synced. That takes root and loop devices. With
// --without-sync, which leaves the sync out of the log, a run with power losses must fail.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, binary            string
	nodes                  int
	kills, pauses, network int
	powerLosses, fullDisks int
	hungDisks              int
	clients, keys, rate    int
	bulk, window           int
	pause                  time.Duration
	within, heal, rejoin   time.Duration
	seed                   uint64
	flags                  string
	catchUp, restart       bool
	withoutSync            bool

	given []string // the flags that were given, but for dir and seed
}

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.dir, "dir", "", "folder for data, logs, histories and the report; must not exist (default: a temporary one)")
	f.StringVar(&o.binary, "binary", "", "the balsa to run (default: built from ./cmd/balsa)")
	f.IntVar(&o.nodes, "nodes", 3, "servers")
	f.IntVar(&o.kills, "kills", 10, "how often to kill -9 the leader, and start it again")
	f.IntVar(&o.pauses, "pauses", 2, "how often to stop the leader's process for a while (SIGSTOP)")
	f.IntVar(&o.network, "network", 0, "network faults: "+strings.Join(networkKinds, ", "))
	f.IntVar(&o.powerLosses, "power-losses", 0, "power losses: of a follower, the leader, a majority, all (needs root)")
	f.IntVar(&o.fullDisks, "full-disk", 0, "full disks: of a follower and of the leader in turn (needs root)")
	f.IntVar(&o.hungDisks, "hung-disk", 0, "disks that hang for seconds: of a follower and of the leader in turn (needs root)")
	f.IntVar(&o.clients, "clients", 5, "clients that read and write shared keys")
	f.IntVar(&o.keys, "keys", 50, "shared keys")
	f.IntVar(&o.rate, "rate", 0, "operations a second of all clients together at most; 0: no bound")
	f.IntVar(&o.bulk, "bulk", 0, "KiB of a value that one more client writes again and again, so that the log is cut often; 0: none")
	f.IntVar(&o.window, "window", 40_000, "operations after which a history is checked and forgotten, and other keys are used")
	f.DurationVar(&o.pause, "pause", 2*time.Millisecond, "how long each client waits between operations at least")
	f.DurationVar(&o.within, "within", 2*time.Second, "how soon writes must be back after a fault of a minority")
	f.DurationVar(&o.heal, "heal", 10*time.Second, "how soon writes must be back after a majority or the network has come back")
	f.DurationVar(&o.rejoin, "rejoin", 30*time.Second, "how soon a server that is back must have caught up")
	f.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides which faults happen, and their order and times")
	f.StringVar(&o.flags, "flags", "--max-raft-state=262144", "more flags for balsa serve")
	f.BoolVar(&o.catchUp, "catch-up", true, "also leave one follower down until it needs a snapshot")
	f.BoolVar(&o.restart, "restart", true, "also kill all servers at once")
	f.BoolVar(&o.withoutSync, "without-sync", false, "leave the sync out of the log: a run with power losses has to fail")
}

// needsDisks tells whether servers must have file systems of their own.
func (o *options) needsDisks() bool { return o.powerLosses+o.fullDisks+o.hungDisks > 0 }

// command is how to repeat the run.
func (o *options) command() string {
	return strings.Join(append([]string{"go run ./internal/torture", fmt.Sprintf("--seed=%d", o.seed)}, o.given...), " ")
}

func main() {
	var o options
	o.register(flag.CommandLine)
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "torture: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.nodes < 3 {
		fmt.Fprintln(os.Stderr, "torture: --nodes must be 3 at least: the others have to go on without one")
		os.Exit(2)
	}
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "dir" && f.Name != "seed" {
			o.given = append(o.given, fmt.Sprintf("--%s='%s'", f.Name, f.Value))
		}
	})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Printf("FAILED: %s\n", oneLine(err))
		os.Exit(1)
	}
}
