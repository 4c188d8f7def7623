// Command bench compares balsa with other systems under the same loads, on this
// machine: consensus libraries in one process each, and services of three server
// processes each. It builds what it needs, starts everything on loopback with data on
// disk and syncs on, lets the systems take turns, and writes a table, the samples as
// JSON, and charts.
//
//	cd bench && go run . -quick
//	cd bench && go run .
//	cd bench && go run . -compare service -operations txn,update,range-100,range-10000,watch-1000,lease-10000
//	cd bench && go run . -draw out/results.json    # table and charts of an earlier run
//
// With -scale it measures balsa's service alone instead, and how its cost grows with
// the work.
//
//	cd bench && go run . -scale -quick
//	cd bench && go run . -scale -only 'keys|failover'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"balsa.example/bench/chart"
	"balsa.example/bench/result"
	"balsa.example/bench/scale"
)

// childCommand is how this program starts itself to run one contender.
const childCommand = "contender"

func main() {
	if len(os.Args) == 6 && os.Args[1] == childCommand {
		exit(serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are the flags.
type options struct {
	plan
	out, dir, draw string
	quick, scale   bool
	only           *regexp.Regexp // of the series of -scale
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	systems := f.String("systems", strings.Join(allNames(), ","), "systems to compare")
	comparisons := f.String("compare", "library,service", "comparisons to make: library, service, and etcdapi, where etcd's client asks balsa and etcd")
	operations := f.String("operations", "put,get", "what to measure: put, get; of services also txn, update, range-N of N keys, watch-N to N watchers, lease-N that keeps N alive")
	callers := f.String("callers", "1,100,1000", "numbers of callers at a time")
	f.BoolVar(&o.quick, "quick", false, "one short round, to see that everything works; the figures mean little")
	f.BoolVar(&o.scale, "scale", false, "measure how the cost of balsa's service grows with the work, instead of comparing")
	only := f.String("only", "", "regular expression of the series that -scale measures: "+strings.Join(scale.Names(regexp.MustCompile("")), ", "))
	f.IntVar(&o.rounds, "rounds", 5, "how often to measure everything")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "of each measurement")
	f.DurationVar(&o.warmup, "warmup", time.Second, "before each measurement")
	f.IntVar(&o.keys, "keys", 10_000, "number of keys")
	f.IntVar(&o.valueSize, "value-size", 256, "bytes of each value")
	f.StringVar(&o.out, "out", "out", "directory for table, results and charts")
	f.StringVar(&o.dir, "dir", os.TempDir(), "directory on a disk, for the systems' data while they run")
	f.StringVar(&o.draw, "draw", "", "results.json, or scale.json with -scale, to make tables and charts of, without measuring anything")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick {
		o.rounds, o.duration, o.warmup = 1, 500*time.Millisecond, 200*time.Millisecond
	}
	if o.rounds < 1 || o.duration <= 0 || o.warmup < 0 {
		return o, errors.New("-rounds and -duration must be above 0")
	}
	o.operations = strings.Split(*operations, ",")
	o.systems, o.comparisons = strings.Split(*systems, ","), strings.Split(*comparisons, ",")
	for _, text := range strings.Split(*callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-callers: %q is not a number above 0", text)
		}
		o.callers = append(o.callers, n)
	}
	return o, errors.Join(o.checkScale(f, *only), o.checkOperations(), checkNames("systems", o.systems, allNames()), checkNames("compare", o.comparisons, []string{"library", "service", "etcdapi"}))
}

// run executes the command line. When ctx ends it shows the measurements so far.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.scale {
		return runScale(ctx, o, stdout, stderr)
	}
	if o.draw != "" {
		f, err := os.Open(o.draw)
		if err != nil {
			return err
		}
		defer f.Close()
		results, err := result.Read(f)
		if err != nil {
			return err
		}
		return show(results, o.out, stdout)
	}
	results, err := comparison(ctx, o, stderr)
	if results == nil || len(results.Series) == 0 {
		return err
	}
	return errors.Join(err, show(results, o.out, stdout))
}

// withWorkDir calls f with a directory for programs and data, on a disk, and removes it afterwards.
func (o options) withWorkDir(f func(dir string) error) error {
	dir, err := os.MkdirTemp(o.dir, "balsa-bench-")
	if err != nil {
		return err
	}
	if err := checkDisk(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := f(dir); err != nil {
		return err // the directory stays, because of the logs in it
	}
	return os.RemoveAll(dir)
}

// comparison makes the comparisons.
func comparison(ctx context.Context, o options, stderr io.Writer) (results *result.Results, err error) {
	err = o.withWorkDir(func(dir string) error {
		programs, err := o.build(ctx, dir, stderr)
		if err != nil {
			return err
		}
		results = &result.Results{Began: time.Now().Round(time.Second)}
		if results.Machine, err = describeMachine(dir); err != nil {
			return err
		}
		results.Machine.Versions = versions()
		fmt.Fprintf(stderr, "load average %.2f, sync %s\n", results.Machine.Load[0], results.Machine.Sync)
		for _, name := range o.comparisons {
			if err := o.compare(ctx, name, programs, dir, results, stderr); err != nil {
				return err
			}
		}
		results.Machine.Load[1] = loadAverage()
		return nil
	})
	return results, err
}

// build makes the programs that the chosen systems need, and returns their paths.
func (o options) build(ctx context.Context, dir string, stderr io.Writer) (map[string]string, error) {
	programs := map[string]string{}
	for _, c := range contenders {
		if c.program == "" || programs[c.program] != "" || !slices.Contains(o.comparisons, c.comparison) || !slices.Contains(o.systems, c.name) {
			continue
		}
		path := filepath.Join(dir, c.name)
		if err := buildProgram(ctx, c.program, path, stderr); err != nil {
			return nil, err
		}
		programs[c.program] = path
	}
	return programs, nil
}

func buildProgram(ctx context.Context, pkg, path string, stderr io.Writer) error {
	fmt.Fprintf(stderr, "build %s\n", pkg)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
	if pkg == balsaProgram {
		cmd.Dir = ".." // with its own module's versions
	}
	cmd.Stderr = stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	return nil
}

// show prints the table, and writes everything to the directory out.
func show(results *result.Results, out string, stdout io.Writer) error {
	if err := writeAll(out, "results.json", results.Write, "table.md", results.WriteTable, results.Figures()); err != nil {
		return err
	}
	if err := write(filepath.Join(out, "summary.svg"), results.Summary().Draw); err != nil {
		return err
	}
	return results.WriteTable(stdout)
}

// writeAll writes measurements, and the tables and charts of them, to a directory.
func writeAll(out, dataName string, data func(io.Writer) error, tableName string, table func(io.Writer) error, figures map[string]chart.Figure) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := write(filepath.Join(out, dataName), data); err != nil {
		return err
	}
	if err := write(filepath.Join(out, tableName), table); err != nil {
		return err
	}
	for name, figure := range figures {
		if err := write(filepath.Join(out, name+".svg"), figure.Draw); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file of what to writes.
func write(path string, to func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(to(f), f.Close())
}
