package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/lock"
)

// holding is the flags of what is held on a lease: a lock, or the lead.
type holding struct {
	ttl, wait time.Duration
	try       bool
}

// acquire runs take, which waits for what is held, for as long as the flags allow.
func (h *holding) acquire(ctx context.Context, p *program, n *connection, what string, take func(context.Context) error) error {
	waiting := ctx
	if h.wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, h.wait)
		defer cancel()
	}
	told := p.begin(true, func(elapsed time.Duration) string {
		return fmt.Sprintf("%s: not got yet, after %s", what, elapsed.Round(time.Second))
	})
	err := take(waiting)
	told.end()
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, lock.ErrName):
		return usageError("%w", err)
	case errors.Is(err, lock.ErrHeld):
		return withCode(exitHeld, "%s: another one has it, or waits for it", what)
	case errors.Is(err, lock.ErrLost):
		return withCode(exitLost, "%s: the lease ended while it waited", what)
	case ctx.Err() == nil && waiting.Err() != nil:
		return withCode(exitHeld, "%s: not got within %s", what, h.wait)
	}
	return n.explainCall(what, err)
}

// check refuses values of the flags that make no sense.
func (h *holding) check() error {
	switch {
	case h.ttl < time.Second:
		return usageError("--ttl must be at least 1s")
	case h.wait < 0:
		return usageError("--wait must not be below 0")
	case h.try && h.wait > 0:
		return usageError("--try and --wait exclude each other")
	}
	return nil
}

// release gives back what was held, also after Ctrl-C. It fails if it had ended
// before.
func (p *program) release(ctx context.Context, n *connection, what string, give func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.timeout)
	defer cancel()
	err := give(ctx)
	if errors.Is(err, lock.ErrNotHeld) {
		return withCode(exitLost, "%s: lost", what)
	}
	if err != nil {
		p.note("balsa: warning: %s: not given back, so it ends with its time to live: %s", what, oneLine(bare(err)))
	}
	return nil
}

// until waits until Ctrl-C, or until what is held is lost.
func until(ctx context.Context, lost <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-lost:
	}
}

// runHeld runs a command while a lock is held, and returns the exit code of both.
func (p *program) runHeld(ctx context.Context, args []string, what string, lost <-chan struct{}, variables []string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.childOutput(), p.childErrors()
	cmd.Env = append(childEnvironment(p.environ), variables...)
	code, err := runChild(ctx, cmd, lost)
	switch {
	case err != nil:
		return withCode(startCode(err), "%s: %w", what, err)
	case code != 0:
		return exitStatus(code)
	}
	return nil
}

// holder says to people which process it is.
func holder() []byte {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Appendf(nil, "%s %d", host, os.Getpid())
}

// heldJSON is what is held in the format of -o json.
type heldJSON struct {
	Name  string `json:"name"`
	Key   string `json:"key"`
	Token uint64 `json:"token"`
	Lease string `json:"lease,omitempty"`
}

// printHeld tells that it is held now.
func (p *program) printHeld(out *output, h heldJSON) error {
	if out.isJSON() {
		return writeJSON(p.stdout, h)
	}
	_, err := fmt.Fprintf(p.stdout, "token=%d key=%q\n", h.Token, h.Key)
	return err
}

// leaderJSON is a leader in the format of -o json.
func leaderJSON(name string, kv clerk.KV) any {
	value, encoded := textOrBase64(kv.Value)
	return struct {
		heldJSON
		Value       *string `json:"value,omitempty"`
		ValueBase64 string  `json:"value_base64,omitempty"`
	}{heldJSON{name, kv.Key, kv.CreateRevision, leaseText(kv.Lease)}, value, encoded}
}
