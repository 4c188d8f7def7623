// Command sim runs seeds of the simulation until one fails or all are done.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"balsa/internal/sim"
)

func main() {
	var (
		seed     = flag.Uint64("seed", 0, "run this seed alone")
		first    = flag.Uint64("first", 1, "the first of several seeds")
		seeds    = flag.Uint64("seeds", 100, "how many seeds; 0: without end")
		duration = flag.Duration("duration", 20*time.Second, "how long faults go on in each run, in virtual time")
		faults   = flag.String("faults", "", "allow only these faults, separated by commas; "+fmt.Sprint(sim.AllFaults()))
		disk     = flag.String("disk", "", "model or wal, instead of what the seed draws")
		workers  = flag.Int("workers", 1, "how many runs at a time")
		trace    = flag.Bool("trace", false, "print every event")
		mutant   = flag.String("mutants", "", "put known bugs back, those whose name matches, and tell how many seeds find each")
		keep     = flag.Bool("keep-going", false, "go on after a failure")
	)
	flag.Parse()
	if *mutant != "" {
		os.Exit(runMutants(*mutant, *first, *seeds))
	}
	opt := sim.Options{Duration: *duration}
	if *faults != "" {
		list, err := sim.ParseFaults(*faults)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		opt.Faults = list
	}
	switch *disk {
	case "model":
		opt.Disk = sim.ModelledDisk
	case "wal":
		opt.Disk = sim.WALDisk
	}
	if *seed != 0 {
		*first, *seeds = *seed, 1
		if *trace {
			opt.Trace = os.Stdout
		}
	}
	os.Exit(run(opt, *first, *seeds, *workers, *keep))
}

func run(opt sim.Options, first, seeds uint64, workers int, keep bool) int {
	var (
		mu     sync.Mutex
		next   = first
		total  sim.Totals
		failed int
		wg     sync.WaitGroup
		shown  = time.Now()
	)
	total.Begin = time.Now()
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				o := opt
				o.Seed = next
				stop := seeds > 0 && next >= first+seeds || failed > 0 && !keep
				next++
				mu.Unlock()
				if stop {
					return
				}
				r := sim.Run(o)
				mu.Lock()
				total.Add(r)
				if r.Violation != nil {
					failed++
					report(o, r)
				}
				if time.Since(shown) > 10*time.Second {
					shown = time.Now()
					fmt.Println(&total)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Println(&total)
	if failed > 0 {
		return 1
	}
	return 0
}

// report prints what a person needs to find the mistake.
func report(o sim.Options, r sim.Result) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nseed %d: %v\n", r.Seed, r.Violation)
	for _, l := range r.Last {
		fmt.Fprintln(&b, l)
	}
	fmt.Fprintf(&b, "seed %d: %s\nreplay: go run ./internal/sim/cmd --seed %d --duration %v\n", r.Seed, r.Violation.Invariant, r.Seed, o.Duration)
	fmt.Print(b.String())
}
