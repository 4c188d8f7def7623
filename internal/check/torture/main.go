// Command torture runs a cluster of `balsa serve` processes, injects faults of processes, disks and
// networks, and checks the histories of clients: no acknowledged write is lost, none is executed
// twice, no read is stale, and writes are possible again soon. The directory of each server whose
// process was killed must be in order, says balsa check, before the server is started again.
//
//	go run ./internal/check/torture --kills 10
//	go run ./internal/check/torture --kills 20 --network 30 --pauses 5
//	go run ./internal/check/torture --kills 0 --power-losses 20 --full-disk 3 --hung-disk 4
//	go run ./internal/check/torture --netns --outages 30
//	go run ./internal/check/torture --changes 20
//	go run ./internal/check/torture --older c5cbfa1
//
// It ends with one line that says so, or what was wrong, and leaves logs, histories and a report
// in a folder. The seed decides the order of the faults.
//
// kill -9 leaves what was written to the page cache, and so proves nothing about syncs.
// Power losses do: each server has an ext4 file system of its own, which is shut down
// under it and forgets what was not synced. That takes root and loop devices. With
// --without-sync, which leaves the sync out of the log, a run with power losses must fail.
//
// The proxies of --network acknowledge what they drop. With --netns each server has a
// machine of its own, in a network of the kernel where packets are really gone, for a
// second to a minute, and machines vanish, return and move. That takes root.
//
// Some clients speak the API of etcd (--etcd-clients), on the same keys as those of the native API. What
// they hear by watches and of leases is checked as well.
//
// With --changes the members change under load: servers join, as voters, learners or a witness, are
// promoted, removed, replaced and moved to other addresses, the leader as well, and most of the
// time something fails meanwhile. After each change the leader must name exactly those members
// that the rig has, and each that was removed must have ended and say so.
//
// With --older the servers begin with the program of an older version. Under load, servers go on with
// the newer program and with the older one again, a server of each version gets its state from servers
// of the other one, and at last all are upgraded: then the cluster must use the newer version, and the
// older program must refuse the directories.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, binary, older     string
	nodes                  int
	kills, pauses, network int
	powerLosses, fullDisks int
	hungDisks, logReaders  int
	changes, upgrades      int
	clients, keys, rate    int
	etcdClients            int
	bulk, window           int
	pause                  time.Duration
	within, heal, rejoin   time.Duration
	netns                  bool
	outages                int
	shortest, longest      time.Duration
	election               time.Duration
	seed                   uint64
	flags                  string
	catchUp, restart       bool
	withoutSync            bool

	given []string // the flags that were given, without dir and seed
}

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.dir, "dir", "", "folder for data, logs, histories and the report; must not exist (default: a temporary one)")
	f.StringVar(&o.binary, "binary", "", "the balsa to run (default: built from ./cmd/balsa)")
	f.StringVar(&o.older, "older", "", "an older balsa, or a commit of this repository to build it from: servers begin with it, under load some are upgraded and downgraded, and at last all are upgraded; then only --upgrades, --changes, which come last, --kills, --pauses, --catch-up and --restart, and none of the last four unless given")
	f.IntVar(&o.upgrades, "upgrades", 4, "with --older: how often one server is upgraded or downgraded, before all are upgraded")
	f.IntVar(&o.nodes, "nodes", 3, "servers")
	f.IntVar(&o.kills, "kills", 10, "how often to kill -9 the leader, and start it again")
	f.IntVar(&o.pauses, "pauses", 2, "how often to stop the leader's process for a while (SIGSTOP)")
	f.IntVar(&o.network, "network", 0, "network faults: "+strings.Join(networkKinds, ", "))
	f.IntVar(&o.powerLosses, "power-losses", 0, "power losses: of a follower, the leader, a majority, all (needs root)")
	f.IntVar(&o.fullDisks, "full-disk", 0, "full disks: of a follower and of the leader in turn (needs root)")
	f.IntVar(&o.logReaders, "log-readers", 0, "how often those who read the servers' logs stop and end, in turn, while the leader is killed")
	f.IntVar(&o.hungDisks, "hung-disk", 0, "disks that hang for seconds: of a follower and of the leader in turn (needs root)")
	f.IntVar(&o.changes, "changes", 0, "changes of the members, each with a fault meanwhile or none; then no --kills, --pauses, --catch-up and --restart unless given")
	f.BoolVar(&o.netns, "netns", false, "give each server a machine of its own, in a network of the kernel that really drops packets (needs root, ip and nsenter); then only --outages, --kills, --pauses, --catch-up and --restart, and none of them unless given")
	f.IntVar(&o.outages, "outages", 0, "with --netns: outages of that network, with machines that vanish, move and return")
	f.DurationVar(&o.shortest, "shortest", time.Second, "the shortest outage")
	f.DurationVar(&o.longest, "longest", time.Minute, "the longest outage")
	f.DurationVar(&o.election, "election", 500*time.Millisecond, "the servers' election timeout")
	f.IntVar(&o.clients, "clients", 5, "clients that read and write shared keys")
	f.IntVar(&o.etcdClients, "etcd-clients", 2, "clients beside those that do the same by the API of etcd; each also watches there, and holds leases")
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

// serveFlags are more flags for balsa serve.
func (o *options) serveFlags() []string {
	return append([]string{
		fmt.Sprintf("--election-timeout=%d", o.election.Milliseconds()),
		fmt.Sprintf("--heartbeat-interval=%d", max(1, o.election.Milliseconds()/10)),
	}, strings.Fields(o.flags)...)
}

// validate checks the flags, and sets the defaults that depend on others.
func (o *options) validate(f *flag.FlagSet) error {
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		if f.Name != "dir" && f.Name != "seed" && f.Name != "binary" {
			o.given = append(o.given, fmt.Sprintf("--%s='%s'", f.Name, f.Value))
		}
	})
	if o.older == "" && !given["upgrades"] {
		o.upgrades = 0
	}
	if o.netns || o.changes > 0 || o.older != "" {
		for name, reset := range map[string]func(){
			"kills": func() { o.kills = 0 }, "pauses": func() { o.pauses = 0 },
			"catch-up": func() { o.catchUp = false }, "restart": func() { o.restart = false },
		} {
			if !given[name] {
				reset()
			}
		}
	}
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.nodes < 3:
		return errors.New("--nodes must be 3 at least: the others have to go on without one")
	case o.changes > 0 && (o.network+o.outages > 0 || o.needsDisks()):
		return errors.New("--network, --outages and faults of disks do not go together with --changes")
	case o.netns && o.network > 0 || o.netns && o.needsDisks():
		return errors.New("--network and faults of disks do not go together with --netns")
	case o.older == "" && o.upgrades > 0:
		return errors.New("--upgrades needs --older")
	case o.older != "" && (o.netns || o.withoutSync || o.network+o.logReaders > 0 || o.needsDisks()):
		return errors.New("--netns, --network, --log-readers, --without-sync and faults of disks do not go together with --older")
	case !o.netns && o.outages > 0:
		return errors.New("--outages needs --netns")
	case o.shortest <= 0 || o.longest < o.shortest:
		return errors.New("--shortest must be above 0, and --longest not below it")
	case o.election < 5*time.Millisecond:
		return errors.New("--election must be 5ms at least")
	}
	return nil
}

// command is how to repeat the run.
func (o *options) command() string {
	return strings.Join(append([]string{"go run ./internal/check/torture", fmt.Sprintf("--seed=%d", o.seed)}, o.given...), " ")
}

func main() {
	var o options
	o.register(flag.CommandLine)
	flag.Parse()
	if err := o.validate(flag.CommandLine); err != nil {
		fmt.Fprintf(os.Stderr, "torture: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := 0, error(nil)
	if o.netns && !insideNetns() {
		code, err = enterNetns(ctx, o)
	} else {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Printf("FAILED: %s\n", oneLine(err))
		code = 1
	}
	os.Exit(code)
}
