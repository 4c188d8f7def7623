package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are the paths of what runs.
type programs struct{ balsa, etcd, etcdctl string }

// build builds the programs that are needed. It runs in this folder.
func build(ctx context.Context, dir string, o *options) (programs, error) {
	p := programs{balsa: o.balsa, etcd: filepath.Join(dir, "etcd"), etcdctl: filepath.Join(dir, "etcdctl")}
	targets := []struct {
		want               bool
		path, module, name string
	}{
		{true, p.etcdctl, ".", "go.etcd.io/etcd/etcdctl/v3"},
		{o.vs != "" || o.record, p.etcd, ".", "go.etcd.io/etcd/server/v3"},
		{!o.record && o.balsa == "", filepath.Join(dir, "balsa"), "..", "./cmd/balsa"},
	}
	for _, t := range targets {
		if !t.want {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", t.path, t.name)
		cmd.Dir, cmd.Stdout, cmd.Stderr = t.module, os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return p, fmt.Errorf("build %s: %w", t.name, err)
		}
	}
	if p.balsa == "" {
		p.balsa = targets[2].path
	}
	return p, nil
}
