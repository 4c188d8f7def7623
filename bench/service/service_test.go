package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/loadgen"
)

// build makes a program, for which the first time takes minutes.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds " + pkg)
	}
	path := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

type cluster interface {
	io.Closer
	Systems(callers int) ([]loadgen.System, error)
	CPU() (time.Duration, error)
}

// exercise puts and gets, looks at the servers' clock, and ends the cluster.
func exercise(t *testing.T, c cluster, p *processes) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	systems, err := c.Systems(20)
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			s, key := systems[i%len(systems)], fmt.Sprint("key", i)
			if err := s.Put(ctx, key, []byte(key)); err != nil {
				t.Errorf("put %s: %v", key, err)
			}
			for _, k := range []string{key, key + "-absent"} {
				if err := s.Get(ctx, k); err != nil {
					t.Errorf("get %s: %v", k, err)
				}
			}
		})
	}
	callers.Wait()
	exerciseStore(ctx, t, systems)
	if used, err := c.CPU(); err != nil || used <= 0 {
		t.Errorf("the servers have used %v, %v", used, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, m := range p.members {
		select {
		case <-m.exited:
		default:
			t.Errorf("%s still runs", m.name)
		}
	}
}

// exerciseStore does every operation of a loadgen.Store a few times.
func exerciseStore(ctx context.Context, t *testing.T, systems []loadgen.System) {
	t.Helper()
	load := loadgen.Load{Callers: 4, Keys: 10, KeySize: 16, ValueSize: 32, Distribution: loadgen.Sequential, Ops: 20, RangeKeys: 5}
	for _, change := range []func(*loadgen.Load){
		func(l *loadgen.Load) { l.Watchers = 3 }, // the first: its puts make the keys
		func(l *loadgen.Load) { l.Operation = loadgen.Txn },
		func(l *loadgen.Load) { l.Operation = loadgen.Update },
		func(l *loadgen.Load) { l.Operation = loadgen.Range },
		func(l *loadgen.Load) { l.Operation = loadgen.KeepAlive },
	} {
		l := load
		change(&l)
		g := &loadgen.Generator{Systems: systems, Classify: error.Error}
		r, err := g.Run(ctx, l)
		if err != nil {
			t.Fatalf("%+v: %v", l, err)
		}
		if r.Ops() != 20 || r.Failed() != 0 || (l.Watchers > 0 && r.Main().Ops != 60) {
			t.Errorf("%+v: %d operations, errors %v", l, r.Ops(), r.Errors)
		}
	}
}

func TestBalsa(t *testing.T) {
	b, err := OpenBalsa(t.Context(), build(t, "../..", "balsa.example/cmd/balsa"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exercise(t, b, b.processes)
}

func TestEtcd(t *testing.T) {
	e, err := OpenEtcd(t.Context(), build(t, ".", "go.etcd.io/etcd/server/v3"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exercise(t, e, e.processes)
}

func TestProgramThatIsNotThere(t *testing.T) {
	if _, err := OpenBalsa(t.Context(), filepath.Join(t.TempDir(), "none"), t.TempDir()); err == nil {
		t.Error("no error")
	}
}

// TestProgramThatFails starts something that is no server.
func TestProgramThatFails(t *testing.T) {
	program := filepath.Join(t.TempDir(), "false")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := OpenBalsa(ctx, program, t.TempDir()); err == nil {
		t.Error("no error")
	}
}

// TestServersThatEnd kills a follower, stops the leader, and starts both again.
func TestServersThatEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	b, err := StartBalsa(ctx, build(t, "../..", "balsa.example/cmd/balsa"), t.TempDir(), 3, "--max-raft-state", "1000000")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	leader, err := b.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	follower := (leader + 1) % b.Members()
	used, err := b.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Kill(follower), b.Restart(follower), b.CaughtUp(ctx, follower)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Terminate(leader), b.Ended(ctx, leader), b.Ready(ctx)); err != nil {
		t.Fatal(err)
	}
	if next, err := b.Leader(ctx); err != nil || next == leader {
		t.Errorf("%d leads after %d, %v", next, leader, err)
	}
	if err := errors.Join(b.Restart(leader), b.CaughtUp(ctx, leader)); err != nil {
		t.Fatal(err)
	}
	if later, err := b.CPU(); err != nil || later <= used {
		t.Errorf("processor time was %v, and is %v, %v", used, later, err)
	}
	if now, peak, err := b.Memory(leader); err != nil || now <= 0 || peak < now {
		t.Errorf("memory is %d, at most %d, %v", now, peak, err)
	}
}
