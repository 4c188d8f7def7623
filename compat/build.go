package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are the paths of what runs.
type programs struct{ balsa, etcd, etcdctl, apiserver, kubectl string }

// build builds the programs that are needed. It runs in this folder.
func build(ctx context.Context, dir string, o *options) (programs, error) {
	p := programs{balsa: o.balsa, etcd: filepath.Join(dir, "etcd"), etcdctl: filepath.Join(dir, "etcdctl")}
	if o.kubeBin != "" {
		p.apiserver, p.kubectl = filepath.Join(o.kubeBin, "kube-apiserver"), filepath.Join(o.kubeBin, "kubectl")
	} else {
		p.apiserver, p.kubectl = filepath.Join(dir, "kube-apiserver"), filepath.Join(dir, "kubectl")
	}
	targets := []struct {
		want               bool
		path, module, name string
	}{
		{true, p.etcdctl, ".", "go.etcd.io/etcd/etcdctl/v3"},
		{o.vs != "" || o.record, p.etcd, ".", "go.etcd.io/etcd/server/v3"},
		{o.kube && o.kubeBin == "", p.apiserver, "kube", "k8s.io/kubernetes/cmd/kube-apiserver"},
		{o.kube && o.kubeBin == "", p.kubectl, "kube", "k8s.io/kubernetes/cmd/kubectl"},
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
		p.balsa = targets[len(targets)-1].path
	}
	return p, nil
}
