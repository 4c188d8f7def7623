package main

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"balsa.example/clerk"
	"balsa.example/internal/loadgen"
	"balsa.example/internal/loadgen/clerkload"
)

const (
	defaultBenchDuration = 10 * time.Second
	// fillCallers write the keys before they are read.
	fillCallers = 64
	// maxClerks bounds --connections: a benchmark on one machine has no use for more.
	maxClerks = 1024
)

// benchOptions are the flags of bench's commands.
type benchOptions struct {
	connection   connection
	output       output
	load         loadgen.Load
	distribution string
	consistency  string
	connections  int
	fill         bool
}

func (p *program) bench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure a running cluster under load",
		Long: `Put load on a running cluster, and show its throughput and latencies. Progress goes
to the standard error, the result to the standard output. Ctrl-C ends a run early
with the result of what was done.

It ends with a verdict in words: what this cluster did, and what kept it from doing
more: the syncs of the leader's disk, round trips of the network, the processors of
the leader, of this client, or of the machine that they share, the number of callers,
or the rate that was asked for. It is concluded from figures of the leader before and
after the load, and of this process; where they do not tell, it says so.

The keys are bench/0000000000 and so on; they stay in the store. Leases are revoked
at the end.`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		p.benchCommand("put", loadgen.Load{}, "Set keys", `Set keys, whatever their version.`),
		p.benchCommand("get", loadgen.Load{Reads: 1}, "Read keys", `Read keys, after writing each of them once.`),
		p.benchCommand("mixed", loadgen.Load{Reads: 0.5}, "Set and read keys", `Set and read keys by chance, after writing each of them once.`),
		p.benchCommand("txn", loadgen.Load{Operation: loadgen.Txn}, "Set keys in transactions",
			`Set keys in transactions of one compare and one put, after writing each key once.
The compare is that the key exists.`),
		p.benchCommand("update", loadgen.Load{Operation: loadgen.Update}, "Update keys optimistically",
			`Read a key and set it if nobody else has meanwhile, else do so again. With few
--keys, callers are in each other's way. Each key is written once before.`),
		p.benchCommand("range", loadgen.Load{Operation: loadgen.Range}, "Read ranges of keys",
			`Read ranges of --range-keys keys each, after writing each key once.`),
		p.benchCommand("watch", loadgen.Load{}, "Set keys that are watched",
			`Set keys while --watchers watch all of them. A delivery is one put at one watcher;
its latency counts from the beginning of the put. Watchers that are behind at the
end are waited for, for 10 s; "undelivered" is what they were not told by then.
With --rate, watchers can follow; without, callers take all that the cluster can.`),
		p.benchCommand("lease", loadgen.Load{Operation: loadgen.KeepAlive}, "Grant leases and keep them alive",
			`Grant --leases leases of 10 minutes, 64 at a time, and keep them alive: each caller
one after another. With --rate 3334, 10,000 leases are kept alive each 3 s.`),
	)
	return c
}

const benchExitHelp = `Exit codes:
  0  done, be it that Ctrl-C ended it early
  1  any other error; keys may have been written
  2  wrong usage; values that no server takes
  5  no operation is known to have succeeded, and some may have
  6  no operation succeeded, or no server could be reached in time
  7  done, but the result could not be printed: the disk is full, or the reader has ended
  14 the user may not do that, or its password is wrong; nothing was written`

// benchCommand returns one of bench's commands; flags complete its load.
func (p *program) benchCommand(name string, load loadgen.Load, short, long string) *cobra.Command {
	o := benchOptions{load: load}
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Long: long + `

Each caller sends its next operation when its last one has ended. With --rate,
operations have appointed times, and latencies count from those, so that a stall of
the cluster shows in all that it kept waiting.
` + connectionHelp + benchExitHelp,
		Example: `  balsa bench ` + name + `
  balsa bench ` + name + ` --callers 1 --ops 1000
  balsa bench ` + name + ` --callers 1000 --connections 4 --duration 1m -o json`,
		Args: noArgs,
	}
	o.connection.addFlags(c)
	o.output.addFlag(c)
	o.addFlags(c.Flags(), name)
	choices := map[string][]string{
		"distribution": {string(loadgen.Uniform), string(loadgen.Zipf), string(loadgen.Sequential)},
		"consistency":  {"linearizable", "lease", "local"},
	}
	for flag, values := range choices {
		if c.Flags().Lookup(flag) != nil {
			c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		p.collectSeldom()
		if !c.Flags().Changed("duration") && o.load.Ops == 0 {
			o.load.Duration = defaultBenchDuration
		}
		return p.runBench(c.Context(), &o)
	}
	return c
}

func (o *benchOptions) addFlags(f *pflag.FlagSet, name string) {
	f.IntVar(&o.load.Callers, "callers", 64, "how many operations to keep in progress")
	f.IntVar(&o.connections, "connections", 1, "Clerks to share among the callers, each with its own connections")
	o.addKeyFlags(f, name)
	f.StringVar(&o.distribution, "distribution", string(loadgen.Uniform), "choice of "+o.chosen()+": uniform, zipf or sequential")
	f.DurationVar(&o.load.Duration, "duration", 0, "how long to run (default 10s, unless --ops is given)")
	f.Int64Var(&o.load.Ops, "ops", 0, "how many operations to run; 0: no limit")
	f.Float64Var(&o.load.Rate, "rate", 0, "operations per second; 0: as many as possible")
	if name == "mixed" {
		f.Float64Var(&o.load.Reads, "read-ratio", o.load.Reads, "share of reads, from 0 to 1")
	}
	if o.load.Reads > 0 || o.load.Operation == loadgen.Range {
		f.StringVar(&o.consistency, "consistency", "linearizable", "of reads: linearizable, lease or local")
	}
}

// addKeyFlags adds the flags about what the operations are on.
func (o *benchOptions) addKeyFlags(f *pflag.FlagSet, name string) {
	if o.load.Operation == loadgen.KeepAlive {
		f.IntVar(&o.load.Keys, "leases", 10_000, "number of leases")
		o.load.KeySize = 16 // of the key whose read shows that a connection works
		return
	}
	f.IntVar(&o.load.Keys, "keys", 10_000, "number of keys")
	f.IntVar(&o.load.KeySize, "key-size", 16, "bytes of each key")
	f.IntVar(&o.load.ValueSize, "value-size", 256, "bytes of each value")
	switch name {
	case "put":
		return
	case "watch":
		f.IntVar(&o.load.Watchers, "watchers", 100, "how many watch all keys")
		return
	case "range":
		f.IntVar(&o.load.RangeKeys, "range-keys", 100, "how many keys to read at a time")
	}
	f.BoolVar(&o.fill, "fill", true, "write each key once before")
}

// chosen names what an operation is on.
func (o *benchOptions) chosen() string {
	if o.load.Operation == loadgen.KeepAlive {
		return "leases"
	}
	return "keys"
}

// runBench runs a load and prints its report.
func (p *program) runBench(ctx context.Context, o *benchOptions) error {
	o.load.Distribution, o.load.Seed = loadgen.Distribution(o.distribution), rand.Uint64()
	if err := o.load.Validate(); err != nil {
		return usageError("%w", err)
	}
	g, first, closeAll, err := p.openBench(ctx, o)
	if err != nil {
		return err
	}
	defer closeAll()
	o.load.Timeout = o.connection.timeout
	if o.fill {
		if err := p.fillKeys(ctx, g, o); err != nil {
			return err
		}
	}
	g.Observe = p.showProgress
	watch := beginBenchWatch(ctx, &o.connection, first)
	report, err := o.runUntil(ctx, g, o.load, func(err error) bool { // all operations would fail so
		return errors.Is(err, clerk.ErrTooLarge) || errors.Is(err, clerk.ErrInvalid)
	})
	if err != nil {
		return err
	}
	figures := watch.end(ctx, report)
	figures.alone = o.load.Reads == 1 && o.consistency != "linearizable"
	verdict := figures.judge()
	if o.output.isJSON() {
		err = writeJSON(p.stdout, struct {
			*loadgen.Report
			Verdict *benchVerdict `json:"verdict"`
		}{report, verdict})
	} else if err = report.WriteText(p.stdout); err == nil && report.Ops() > 0 {
		err = verdict.write(p.stdout)
	}
	switch {
	case err != nil || report.Ops() > 0 || report.Failed() == 0:
		return err
	case report.Errors[kindMaybe] > 0:
		return withCode(exitMaybe, "no operation is known to have succeeded")
	default:
		return withCode(exitUnavailable, "no operation succeeded")
	}
}

// openBench makes the Clerks, and reads a key with each, so that they are connected
// before anything is measured. It also returns one of them.
func (p *program) openBench(ctx context.Context, o *benchOptions) (g *loadgen.Generator, first *clerk.Clerk, closeAll func(), err error) {
	if o.connections < 1 || o.connections > maxClerks {
		return nil, nil, nil, usageError("--connections is %d; it must be from 1 to %d", o.connections, maxClerks)
	}
	var options []clerk.ReadOption
	if o.consistency != "" {
		if options, err = readOptions(o.consistency); err != nil {
			return nil, nil, nil, err
		}
	}
	var clerks []*clerk.Clerk
	closeAll = func() {
		for _, ck := range clerks {
			ck.Close()
		}
	}
	g = &loadgen.Generator{}
	for range o.connections {
		ck, attempt, cancel, err := o.connection.open(ctx, p)
		if err != nil {
			closeAll()
			return nil, nil, nil, err
		}
		clerks = append(clerks, ck)
		target := clerkload.New(ck, options...)
		key := loadgen.Key(0, o.load.KeySize)
		err = target.Get(attempt, key)
		cancel()
		if err != nil {
			closeAll()
			return nil, nil, nil, o.connection.explain("reach the cluster by reading", key, err)
		}
		g.Systems = append(g.Systems, target)
	}
	return g, clerks[0], closeAll, nil
}

// fillKeys writes each key once, and ends at the first that cannot be written.
func (p *program) fillKeys(ctx context.Context, g *loadgen.Generator, o *benchOptions) error {
	load := o.load
	load.Operation, load.Callers, load.Reads, load.Rate, load.Duration = "", fillCallers, 0, 0, 0
	load.Distribution, load.Ops = loadgen.Sequential, int64(load.Keys)
	p.note("writing %s keys", loadgen.Thousands(load.Ops))
	filler := &loadgen.Generator{Systems: g.Systems}
	_, err := o.runUntil(ctx, filler, load, func(error) bool { return true })
	return err
}

// runUntil runs a load to its end, or until an operation fails with a fatal error.
func (o *benchOptions) runUntil(ctx context.Context, g *loadgen.Generator, load loadgen.Load, fatal func(error) bool) (*loadgen.Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first atomic.Pointer[error]
	g.Classify = func(err error) string {
		if fatal(err) {
			first.CompareAndSwap(nil, &err)
			cancel()
		}
		return kindOf(err)
	}
	report, err := g.Run(ctx, load)
	if err != nil { // the load is valid, and what it needs cannot be made
		return nil, o.connection.explain("prepare", "bench/*", err)
	}
	if err := first.Load(); err != nil {
		return nil, o.connection.explain(cmp.Or(string(load.Operation), "put"), "bench/*", *err)
	}
	return report, nil
}

// showProgress prints one line about the progress.
func (p *program) showProgress(now loadgen.Progress) {
	perSecond := float64(now.Ops) / now.Since.Seconds()
	p50, p99 := "-", "-"
	if now.Ops > 0 {
		p50, p99 = loadgen.Round(now.P50), loadgen.Round(now.P99)
	}
	p.note("%5.0fs  %10s/s  p50 %-8s p99 %-8s errors so far %s", now.Elapsed.Seconds(),
		loadgen.Thousands(int64(perSecond+0.5)), p50, p99, loadgen.Thousands(now.Failed))
}

// kindMaybe is the kind of writes whose outcome is unknown.
const kindMaybe = "maybe"

// kindOf names the kind of a Clerk's error. If the context has ended, the kind is the reason why
// the operation was not done before.
func kindOf(err error) string {
	for _, kind := range []struct {
		err  error
		name string
	}{
		{clerk.ErrMaybe, kindMaybe},
		{clerk.ErrBusy, "busy"},
		{clerk.ErrWrongLeader, "no leader"},
		{clerk.ErrUnavailable, "unavailable"},
		{clerk.ErrTooLarge, "too large"},
		{clerk.ErrNoKey, "no key"},
		{clerk.ErrNoLease, "no lease"},
		{clerk.ErrInvalid, "invalid"},
		{context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return "other"
}
