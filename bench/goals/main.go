// Command goals measures, at their full size, goals that take more memory, disk or time than a test has. There is one
// command for each; figures mean most on a machine with nothing else to do:
//
//	cd bench && go run ./goals memory      # values of five times the memory of their servers: root, 4 minutes, 25 GB of disk
//	cd bench && go run ./goals follower    # a follower that many bytes behind catches up under load: 4 minutes, 30 GB
//	cd bench && go run ./goals longest     # the longest put while files are written, rewritten and received: 3 minutes, 10 GB
//	cd bench && go run ./goals full        # servers whose index fills its part of their memory: root, 3 minutes, 2 GB
//	cd bench && go run ./goals plain       # the same load beside programs that have nothing of balsa: 4 minutes, 20 GB
//
// Each starts three servers on loopback, and ends with a table of the goals and what was seen.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"balsa.example/bench/service"
)

// options are the sizes of a measurement.
type options struct {
	bytes  int64         // of values
	memory int64         // of each server's control group; 0: no group
	value  int           // bytes
	phase  time.Duration // how long each load takes
	every  time.Duration // how often a load tells how it is going; 0: at its end alone
	dir    string
	balsa  string // the program; empty: built from the module around
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == neighbourCommand {
		exit(beNeighbour(os.Args[2:], os.Stdin, os.Stdout))
	}
	var o options
	gib := flag.Float64("gib", 5, "GiB of values")
	mib := flag.Int64("memory", 1024, "of memory: MiB of memory that each server may use, cached pages of files included")
	flag.DurationVar(&o.phase, "phase", 20*time.Second, "how long each load takes")
	flag.DurationVar(&o.every, "every", 0, "how often a load tells its latencies, and the processors that each server and the clients use (default: at its end alone)")
	flag.StringVar(&o.dir, "dir", "", "folder for all files; must not exist (default: a temporary one, which is removed)")
	flag.StringVar(&o.balsa, "balsa", "", "the balsa to run (default: built from the module around)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: goals [flags] memory | follower | longest | full | plain")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.bytes, o.memory, o.value = int64(*gib*(1<<30)), *mib<<20, 4<<10
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, flag.Args(), o, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "goals:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// measurements are the commands.
var measurements = map[string]func(*rig, context.Context) error{
	"memory":   (*rig).measureMemory,
	"follower": (*rig).measureFollower,
	"longest":  (*rig).measureLongest,
	"full":     (*rig).measureFull,
	"plain":    (*rig).measurePlain,
}

// run makes the folder, and balsa, and measures.
func run(ctx context.Context, args []string, o options, w io.Writer) (err error) {
	if len(args) != 1 || measurements[args[0]] == nil {
		return errors.New("say what to measure: memory, follower, longest, full or plain; -help tells more")
	}
	if o.bytes < int64(100*o.value) || o.phase <= 0 || o.every < 0 || o.memory < 0 {
		return errors.New("there must be a hundred values, time for each load, and nothing negative")
	}
	service.CollectSeldom()
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "balsa-goals-"); err != nil {
			return err
		}
	} else if err := os.Mkdir(o.dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	if o.balsa == "" {
		o.balsa = filepath.Join(o.dir, "balsa")
		if err := service.Build(ctx, o.balsa); err != nil {
			return err
		}
	}
	r := &rig{options: o, w: w, began: time.Now()}
	err = measurements[args[0]](r, ctx)
	return errors.Join(err, r.writeTable())
}
