// Command sim runs seeds of the simulation until one fails or all are done.
//
//	go run ./internal/check/sim/cmd                        a hundred seeds
//	go run ./internal/check/sim/cmd --seeds 0              until something breaks
//	go run ./internal/check/sim/cmd --seed 48 --trace      one seed, event for event
//	go run ./internal/check/sim/cmd --seed 48 --shrink     and with as few faults as will do
//	go run ./internal/check/sim/cmd --mutants .            is every known bug found?
//	go run ./internal/check/sim/cmd --mutants . --part 3/20    the third of twenty parts of them
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"balsa.example/internal/check/sim"
)

// settings are the flags.
type settings struct {
	opt          sim.Options
	first, seeds uint64
	workers      int
	keepGoing    bool
	shrink       bool
	twice        bool
}

func main() {
	debug.SetGCPercent(1600) // a run holds some megabytes, and makes much garbage
	var (
		s        settings
		seed     = flag.Uint64("seed", 0, "run this seed alone")
		faults   = flag.String("faults", "", "let seeds draw only from these faults, separated by commas, or from none: "+fmt.Sprint(sim.AllFaults()))
		without  = flag.String("without", "", "leave out these of the faults that a seed draws")
		keep     = flag.String("keep", "", "leave out all injections but those of these numbers; none: -")
		disk     = flag.String("disk", "", "model or wal, instead of what the seed draws")
		trace    = flag.Bool("trace", false, "with --seed: print every event")
		picture  = flag.String("picture", "", "draw a history that is not linearizable into this HTML file")
		profile  = flag.String("profile", "", "write a profile of the processor time of the runs into this file")
		mutants  = flag.String("mutants", "", "put known bugs back, those whose name matches, and tell how many seeds find each")
		of       = part{1, 1}
		duration = flag.Duration("duration", 20*time.Second, "how long faults go on in each run, in virtual time")
	)
	flag.Var(&of, "part", "with --mutants: only the K-th of N parts of them, as `K/N`")
	flag.Uint64Var(&s.first, "first", 1, "the first of several seeds")
	flag.Uint64Var(&s.seeds, "seeds", 100, "how many seeds; 0: without end")
	flag.IntVar(&s.workers, "workers", 2, "how many runs, or mutants, at a time")
	flag.BoolVar(&s.keepGoing, "keep-going", false, "go on after a failure")
	flag.BoolVar(&s.shrink, "shrink", false, "make failing runs smaller")
	flag.BoolVar(&s.twice, "twice", false, "run each seed twice, and demand the same")
	flag.Parse()
	if *mutants != "" {
		os.Exit(runMutants(*mutants, of, s.first, s.seeds, s.workers))
	}
	if of != (part{1, 1}) {
		fmt.Fprintln(os.Stderr, "--part is of --mutants")
		os.Exit(2)
	}
	err := s.read(*faults, *without, *keep, *disk)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	s.opt.Duration, s.opt.Picture = *duration, *picture
	if *seed != 0 {
		s.first, s.seeds = *seed, 1
		if *trace {
			s.opt.Trace = os.Stdout
		}
	}
	os.Exit(s.profiled(*profile))
}

// profiled is run, and writes a profile of it where the file has a name.
func (s *settings) profiled(name string) int {
	if name == "" {
		return s.run()
	}
	file, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer pprof.StopCPUProfile()
	return s.run()
}

// read understands those flags that are lists and choices.
func (s *settings) read(faults, without, keep, disk string) (err error) {
	if faults != "" {
		if s.opt.Faults, err = sim.ParseFaults(faults); err != nil {
			return err
		}
	}
	if without != "" {
		if s.opt.Without, err = sim.ParseFaults(without); err != nil {
			return err
		}
	}
	switch disk {
	case "":
	case "model":
		s.opt.Disk = sim.ModelledDisk
	case "wal":
		s.opt.Disk = sim.WALDisk
	default:
		return fmt.Errorf("no disk is called %q", disk)
	}
	if keep == "" {
		return nil
	}
	s.opt.Keep = []int{}
	if keep == "-" {
		return nil
	}
	for _, n := range strings.Split(keep, ",") {
		i, err := strconv.Atoi(n)
		if err != nil {
			return fmt.Errorf("read the number of an injection: %w", err)
		}
		s.opt.Keep = append(s.opt.Keep, i)
	}
	return nil
}

// run lets the workers go through the seeds, and returns the exit code.
func (s *settings) run() int {
	var (
		mu    sync.Mutex
		next  = s.first
		total = sim.Totals{Begin: time.Now()}
		wg    sync.WaitGroup
		shown = time.Now()
	)
	for range s.workers {
		wg.Go(func() {
			for {
				mu.Lock()
				opt := s.opt
				opt.Seed = next
				over := s.seeds > 0 && next >= s.first+s.seeds || total.Failed > 0 && !s.keepGoing
				next++
				mu.Unlock()
				if over {
					return
				}
				run := sim.Run
				if s.twice {
					run = sim.RunTwice
				}
				r := run(opt)
				mu.Lock()
				total.Add(r)
				if r.Violation != nil {
					s.report(opt, r)
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
	if total.Failed > 0 {
		return 1
	}
	// Of many seeds that may draw anything, all is demanded.
	if s.seeds >= 200 && s.opt.Faults == nil && s.opt.Without == nil && s.opt.Disk == 0 {
		if problems := total.Empty(); len(problems) > 0 {
			fmt.Println("these runs prove nothing:", strings.Join(problems, "; "))
			return 1
		}
	}
	return 0
}

// report prints what a person needs to find the mistake.
func (s *settings) report(opt sim.Options, r sim.Result) {
	if s.shrink {
		opt, r = sim.Shrink(opt, 300, func(r sim.Result) { fmt.Printf("still fails: %v\n", firstLine(r.Violation)) })
	}
	fmt.Printf("\nseed %d: %v\n", r.Seed, r.Violation)
	fmt.Printf("%+v\n", r.Mix)
	for i, injection := range r.Injections {
		if injection.At <= r.Violation.At && opt.Injects(i) {
			fmt.Printf("%12.6f  injection %d: %s\n", injection.At.Seconds(), i, injection)
		}
	}
	for _, l := range r.Last {
		fmt.Println(l)
	}
	fmt.Printf("seed %d: %s\nreplay: %s\n", r.Seed, firstLine(r.Violation), replay(opt))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// replay is the command that repeats a run.
func replay(opt sim.Options) string {
	args := []string{"go run ./internal/check/sim/cmd", "--seed", fmt.Sprint(opt.Seed), "--duration", opt.Duration.String()}
	list := func(faults []sim.Fault) string {
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(faults), "[]"), " ", ",")
	}
	if opt.Faults != nil {
		args = append(args, "--faults", list(opt.Faults))
	}
	if opt.Without != nil {
		args = append(args, "--without", list(opt.Without))
	}
	switch opt.Disk {
	case sim.ModelledDisk:
		args = append(args, "--disk", "model")
	case sim.WALDisk:
		args = append(args, "--disk", "wal")
	}
	if opt.Keep != nil {
		keep := strings.ReplaceAll(strings.Trim(fmt.Sprint(opt.Keep), "[]"), " ", ",")
		if keep == "" {
			keep = "-"
		}
		args = append(args, "--keep", keep)
	}
	return strings.Join(args, " ")
}
