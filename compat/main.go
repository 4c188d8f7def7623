// Command compat runs clients of etcd against three balsa servers, and tells where they get other
// answers than from etcd.
//
//	go run .               against balsa, compared with what etcd has answered before (testdata)
//	go run . -vs etcd      against balsa and etcd, both started here
//	go run . -record       against etcd alone, whose answers become testdata
//	go run . -kube         a kube-apiserver and kubectl on them instead (builds for a quarter of an hour once)
//
// A check is a short program with etcd's Go client, or with etcdctl. What it says, and every message
// between it and the servers, is written down with ids, times and the like masked (render.go). The
// differences between two such records are printed, and a table of what was done.
package main

import (
	"context"
	"flag"
	"fmt"
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
	kube    bool
	run     *regexp.Regexp
	list    bool
	verbose bool
	keep    string
	balsa   string // a program that is built already; empty: build
	kubeBin string // a folder with kube-apiserver and kubectl; empty: build
}

func main() {
	var o options
	pattern := flag.String("run", "", "run only the checks whose names match this")
	flag.StringVar(&o.vs, "vs", "", "etcd: compare with servers of etcd that run here, not with what was recorded")
	flag.BoolVar(&o.record, "record", false, "run etcd alone, and write its answers to testdata")
	flag.BoolVar(&o.kube, "kube", false, "run a kube-apiserver and kubectl on the servers, and no other checks")
	flag.StringVar(&o.kubeBin, "kube-bin", "", "folder with kube-apiserver and kubectl (default: built from the module kube)")
	flag.BoolVar(&o.list, "list", false, "list the checks")
	flag.BoolVar(&o.verbose, "v", false, "print what the checks say")
	flag.StringVar(&o.keep, "dir", "", "keep data and logs of the servers here")
	flag.StringVar(&o.balsa, "balsa", "", "path of balsa (default: built from the module around)")
	flag.Parse()
	var err error
	if o.run, err = regexp.Compile(*pattern); err != nil {
		fatal(err)
	}
	if o.vs != "" && o.vs != "etcd" {
		fatal(fmt.Errorf("-vs is %q; it can only be etcd", o.vs))
	}
	if o.list {
		for _, c := range o.checks() {
			fmt.Println(c.name)
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
	run := func(system string) (records, error) {
		start := time.Now()
		r, err := runChecks(ctx, system, programs, filepath.Join(dir, system), o)
		if err == nil {
			fmt.Printf("%s: %d checks with %d answers in %.1f s\n", system, len(r), r.answers(), time.Since(start).Seconds())
		}
		return r, err
	}
	if o.record {
		etcd, err := run("etcd")
		if err != nil {
			return false, err
		}
		return true, etcd.write(o.golden())
	}
	var etcd records
	if o.vs != "" {
		etcd, err = run("etcd")
	} else {
		etcd, err = readRecords(o.golden())
	}
	if err != nil {
		return false, err
	}
	balsa, err := run("balsa")
	if err != nil {
		return false, err
	}
	return report(os.Stdout, balsa, etcd), nil
}
