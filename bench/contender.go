package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"balsa.example/bench/library"
	"balsa.example/bench/measure"
	"balsa.example/bench/service"
)

// contender is a system that takes part in a comparison.
type contender struct {
	comparison, name string
	program          string // the package to build for it; empty: none
	open             func(ctx context.Context, program, dir string, log io.Writer) (measure.Cluster, error)
}

const (
	balsaProgram = "balsa.example/cmd/balsa"
	etcdProgram  = "go.etcd.io/etcd/server/v3"
)

// contenders are all systems, balsa first.
var contenders = []contender{
	{"library", "balsa", "", inProcess(library.Balsa)},
	{"library", "dragonboat", "", inProcess(library.Dragonboat)},
	{"library", "hashicorp", "", inProcess(library.Hashicorp)},
	{"service", "balsa", balsaProgram, func(ctx context.Context, program, dir string, _ io.Writer) (measure.Cluster, error) {
		return opened(service.OpenBalsa(ctx, program, dir))
	}},
	{"service", "etcd", etcdProgram, func(ctx context.Context, program, dir string, _ io.Writer) (measure.Cluster, error) {
		return opened(service.OpenEtcd(ctx, program, dir))
	}},
	// What speaks etcd: its own client asks both.
	{"etcdapi", "balsa", balsaProgram, func(ctx context.Context, program, dir string, _ io.Writer) (measure.Cluster, error) {
		return opened(service.OpenBalsaAsEtcd(ctx, program, dir))
	}},
	{"etcdapi", "etcd", etcdProgram, func(ctx context.Context, program, dir string, _ io.Writer) (measure.Cluster, error) {
		return opened(service.OpenEtcd(ctx, program, dir))
	}},
}

func inProcess(open func(dir string, log io.Writer) (*library.Cluster, error)) func(context.Context, string, string, io.Writer) (measure.Cluster, error) {
	return func(_ context.Context, _, dir string, log io.Writer) (measure.Cluster, error) {
		return opened(open(dir, log))
	}
}

// opened returns an interface that is nil after an error; a nil pointer in it would not be nil.
func opened[C measure.Cluster](c C, err error) (measure.Cluster, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// find returns the contender of a comparison by its name.
func find(comparison, name string) (contender, error) {
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.comparison == comparison && c.name == name })
	if i < 0 {
		return contender{}, fmt.Errorf("there is no %s %q", comparison, name)
	}
	return contenders[i], nil
}

// choose returns the contenders of a comparison that are in a list of names.
func choose(comparison string, names []string) (chosen []contender) {
	for _, c := range contenders {
		if c.comparison == comparison && slices.Contains(names, c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// allNames lists the contenders' names, each once.
func allNames() (names []string) {
	for _, c := range contenders {
		if !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// checkNames refuses unknown names.
func checkNames(what string, names, known []string) error {
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("-%s: %q is none of %s", what, n, strings.Join(known, ", "))
		}
	}
	return nil
}
