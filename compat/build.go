package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are the paths of what runs.
type programs struct{ balsa, etcd, etcdctl, etcdutl, apiserver, kubectl, coredns string }

// target is a program that is built: where to, in the folder of which module, from which package.
type target struct{ path, module, name string }

// build builds the programs that are needed. It runs in this folder.
func build(ctx context.Context, dir string, o *options) (programs, error) {
	others := dir
	if o.bin != "" {
		others = o.bin
	}
	p := programs{
		balsa: o.balsa, etcd: filepath.Join(dir, "etcd"), etcdctl: filepath.Join(dir, "etcdctl"), etcdutl: filepath.Join(dir, "etcdutl"),
		apiserver: filepath.Join(others, "kube-apiserver"), kubectl: filepath.Join(others, "kubectl"), coredns: filepath.Join(others, "coredns"),
	}
	targets := []target{
		{p.etcdctl, ".", "go.etcd.io/etcd/etcdctl/v3"}, {p.etcdutl, ".", "go.etcd.io/etcd/etcdutl/v3"}, {p.etcd, ".", "go.etcd.io/etcd/server/v3"},
	}
	if !o.record && o.balsa == "" {
		p.balsa = filepath.Join(dir, "balsa")
		targets = append(targets, target{p.balsa, "..", "./cmd/balsa"})
	}
	for _, s := range o.suites {
		if s.needs != nil && o.bin == "" {
			targets = append(targets, s.needs(p)...)
		}
	}
	for _, t := range targets {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", t.path, t.name)
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.module, os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return p, fmt.Errorf("build %s: %w", t.name, err)
		}
	}
	return p, nil
}
