// Command compat runs clients of etcd against three balsa servers, and tells where they get other
// answers than from etcd.
//
//	go run .               against balsa, compared with what etcd has answered before (testdata)
//	go run . -vs etcd      against balsa and etcd, both started here
//	go run . -record       against etcd alone, whose answers become testdata
//	go run . -with kube    a program that keeps its state in them, instead: kube (kube-apiserver and kubectl,
//	                       whose first build takes minutes), coredns, patroni
//
// A check is a short program with etcd's Go client, or with etcdctl. What it says, and every message
// between it and the servers, is written down with ids, times and the like masked (render.go). The
// differences between two such records are printed, and a table of what was done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	vs      string
	record  bool
	suites  []*suite
	run     *regexp.Regexp
	list    bool
	verbose bool
	keep    string
	balsa   string // a program that is built already; empty: build
	bin     string // a folder with the other programs; empty: build
}

func main() {
	var o options
	pattern := flag.String("run", "", "run only the checks whose names match this")
	flag.StringVar(&o.vs, "vs", "", "etcd: compare with servers of etcd that run here, not with what was recorded")
	flag.BoolVar(&o.record, "record", false, "run etcd alone, and write its answers to testdata")
	with := flag.String("with", "", "kube, coredns or patroni: run this program on the servers, and no other checks; all: all of them, and the checks")
	flag.StringVar(&o.bin, "bin", "", "folder with programs that -with needs (default: built from the modules kube and coredns)")
	flag.BoolVar(&o.list, "list", false, "list the checks")
	flag.BoolVar(&o.verbose, "v", false, "print what the checks say")
	flag.StringVar(&o.keep, "dir", "", "keep data and logs of the servers here")
	flag.StringVar(&o.balsa, "balsa", "", "path of balsa (default: built from the module around)")
	flag.Parse()
	var err error
	if o.run, err = regexp.Compile(*pattern); err != nil {
		fatal(err)
	}
	if o.suites, err = suitesOf(*with); err != nil {
		fatal(err)
	}
	if o.vs != "" && o.vs != "etcd" {
		fatal(fmt.Errorf("-vs is %q; it can only be etcd", o.vs))
	}
	if o.list {
		for _, s := range o.suites {
			for _, c := range s.checks {
				fmt.Println(c.name)
			}
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ok, err := o.main(ctx)
	if err != nil {
		fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "compat:", err)
	os.Exit(2)
}

// main runs what was asked for. It returns whether there was no difference.
func (o *options) main(ctx context.Context) (ok bool, err error) {
	dir, err := filepath.Abs(o.keep)
	if err != nil {
		return false, err
	}
	if o.keep == "" {
		if dir, err = os.MkdirTemp("", "compat"); err != nil {
			return false, err
		}
		defer os.RemoveAll(dir)
	}
	programs, err := build(ctx, filepath.Join(dir, "bin"), o)
	if err != nil {
		return false, err
	}
	var balsa, etcd records
	for _, one := range o.suites {
		b, e, err := o.runSuite(ctx, one, programs, dir)
		if err != nil {
			return false, err
		}
		balsa, etcd = append(balsa, b...), append(etcd, e...)
	}
	if o.record {
		return true, nil
	}
	return report(os.Stdout, balsa, etcd), nil
}

// runSuite returns what balsa and etcd have said. Nobody asks balsa if etcd's answers are to be written.
func (o *options) runSuite(ctx context.Context, s *suite, programs programs, dir string) (balsa, etcd records, err error) {
	run := func(system string) (records, error) {
		start := time.Now()
		r, err := runChecks(ctx, s, system, programs, filepath.Join(dir, s.name+system), o)
		if err == nil {
			fmt.Printf("%s: %d checks with %d answers in %.1f s\n", system, len(r), r.answers(), time.Since(start).Seconds())
		}
		return r, err
	}
	if o.record || o.vs != "" {
		etcd, err = run("etcd")
	} else {
		etcd, err = readRecords(s.golden)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case o.record: // with -run, the others stay
		before, err := readRecords(s.golden)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		return nil, nil, etcd.over(before, s.checks).write(s.golden)
	}
	balsa, err = run("balsa")
	return balsa, etcd, err
}
