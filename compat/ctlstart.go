package main

import (
	"bufio"
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

func mustDelete(key []byte) *pb.DeleteRangeRequest { return &pb.DeleteRangeRequest{Key: key} }

// running is an etcdctl that goes on.
type running struct {
	cancel context.CancelFunc
	cmd    *exec.Cmd
	lines  chan string
	got    []string
}

// ctlStart starts etcdctl.
func (t *T) ctlStart(args ...string) *running {
	ctx, cancel := context.WithCancel(t.ctx)
	t.cleanup = append(t.cleanup, cancel)
	r := &running{cancel: cancel, cmd: exec.CommandContext(ctx, t.programs.etcdctl, args...), lines: make(chan string, 1000)}
	r.cmd.Env = append(os.Environ(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+strings.Join(t.cluster.endpoints(), ","))
	out, err := r.cmd.StdoutPipe()
	t.fail("etcdctl", err)
	t.fail("etcdctl", r.cmd.Start())
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- lines.Text()
		}
		r.cmd.Wait()
	}()
	return r
}

// awaitLines returns the first lines of its output, empty where they do not come.
func (r *running) awaitLines(n int) []string {
	timeout := time.After(callTimeout)
	for len(r.got) < n {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return append(r.got, make([]string, n)...)
			}
			r.got = append(r.got, line)
		case <-timeout:
			return append(r.got, make([]string, n)...)
		}
	}
	return r.got
}

// stop ends it, and returns all lines.
func (r *running) stop() []string {
	r.cancel()
	for line := range r.lines {
		r.got = append(r.got, line)
	}
	return r.got
}
