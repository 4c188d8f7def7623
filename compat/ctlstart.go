package main

import (
	"bufio"
	"context"
	"maps"
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
	t      *T
	step   string
	cancel context.CancelFunc
	cmd    *exec.Cmd
	lines  chan string
}

// ctlStart starts etcdctl.
func (t *T) ctlStart(step string, args ...string) *running {
	ctx, cancel := context.WithCancel(t.ctx)
	t.cleanup = append(t.cleanup, cancel)
	r := &running{t: t, step: step, cancel: cancel, cmd: exec.CommandContext(ctx, t.programs.etcdctl, args...), lines: make(chan string, 1000)}
	r.cmd.Env = t.ctlEnv(args)
	out, err := r.cmd.StdoutPipe()
	t.fail(step, err)
	t.fail(step, r.cmd.Start())
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- lines.Text()
		}
		r.cmd.Wait()
	}()
	return r
}

// until returns the lines of its output up to one that contains a text. A check makes that text the last which comes:
// who counted lines would compare those that are there by chance.
func (r *running) until(last string) (got []string) {
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.say(r.step, "it has ended; until then: %s", strings.Join(got, " | "))
				panic(errStop)
			}
			if got = append(got, line); strings.Contains(line, last) {
				return got
			}
		case <-timeout:
			r.t.say(r.step, "no %q came; until then: %s", last, strings.Join(got, " | "))
			panic(errStop)
		}
	}
}

// stop ends it. A line that has come behind the last that was awaited is a flaw of the check, or an answer too many.
func (r *running) stop() {
	r.cancel()
	for line := range r.lines {
		r.t.flaw(r.step, "a line came that nobody awaits: %s", line)
	}
}
