package clerktest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"balsa/clerk"
)

// History records what clients did and saw, to be checked for linearizability.
type History struct {
	mu    sync.Mutex
	start time.Time
	ops   []porcupine.Operation
	// Maybes counts the Puts of unknown fate.
	Maybes int
}

// forever is when a Put of unknown fate returns: it may be executed at any time, or never.
const forever = 1 << 62

// NewHistory starts an empty History.
func NewHistory() *History { return &History{start: time.Now()} }

// input and output are those of one Get or Put of one key.
type input struct {
	get     bool
	key     string
	value   string
	version uint64
}

type output struct {
	value   string
	version uint64
	err     error // nil, or a sentinel of package clerk
}

// Get is ck.Get, recorded for the client. Of errors only ErrNoKey is recorded: a Get that
// saw nothing says nothing.
func (h *History) Get(ctx context.Context, client int, ck *clerk.Clerk, key string) (clerk.KV, error) {
	called := time.Since(h.start)
	kv, err := ck.Get(ctx, key)
	switch {
	case err == nil:
		h.add(client, called, input{get: true, key: key}, output{value: string(kv.Value), version: kv.Version})
	case errors.Is(err, clerk.ErrNoKey):
		h.add(client, called, input{get: true, key: key}, output{err: clerk.ErrNoKey})
	}
	return kv, err
}

// Put is ck.Put, recorded for the client unless it was certainly not executed.
func (h *History) Put(ctx context.Context, client int, ck *clerk.Clerk, key, value string, version uint64) error {
	called := time.Since(h.start)
	_, err := ck.Put(ctx, key, []byte(value), version)
	for _, known := range []error{nil, clerk.ErrMaybe, clerk.ErrVersion, clerk.ErrNoKey} {
		if errors.Is(err, known) {
			h.add(client, called, input{key: key, value: value, version: version}, output{err: known})
			break
		}
	}
	return err
}

func (h *History) add(client int, called time.Duration, in input, out output) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(called), Return: int64(time.Since(h.start))}
	if out.err == clerk.ErrMaybe {
		h.Maybes++
		op.Return = forever
	}
	h.ops = append(h.ops, op)
}

// checkTimeout is for Check outside of a synctest bubble; in one it never ends.
const checkTimeout = 20 * time.Second

// Check fails the test if the history is not linearizable, has fewer than least
// operations, leaves over a tenth of them in doubt, or takes too long to check.
func (h *History) Check(t testing.TB, least int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ops) < least {
		t.Errorf("only %d operations, want %d", len(h.ops), least)
	}
	ops, doubts := decide(h.ops)
	if doubts*10 > len(h.ops) {
		t.Errorf("the fate of %d of %d operations is unknown", doubts, len(h.ops))
	}
	ops, err := narrow(ops)
	if err != nil {
		t.Errorf("history of %d operations is not linearizable: %v", len(h.ops), err)
		return
	}
	switch porcupine.CheckOperationsTimeout(model, ops, checkTimeout) {
	case porcupine.Illegal:
		t.Errorf("history of %d operations is not linearizable", len(h.ops))
	case porcupine.Unknown:
		t.Errorf("history of %d operations is not checked after %v", len(h.ops), checkTimeout)
	}
}

// Len is the number of operations recorded.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// register is the state of one key; version 0: absent.
type register struct {
	value   string
	version uint64
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, op := range history {
			key := op.Input.(input).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return register{} },
	Step: func(state, in, out any) (bool, any) {
		return step(state.(register), in.(input), out.(output))
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// step says whether the key could be as state when in gave out, and how it was then. A
// Put of unknown fate that was never executed stands at the end, where no one looks.
func step(state register, in input, out output) (bool, register) {
	if in.get {
		if state.version == 0 {
			return out.err == clerk.ErrNoKey, state
		}
		return out.err == nil && out.value == state.value && out.version == state.version, state
	}
	if in.version == state.version {
		return out.err == nil || out.err == clerk.ErrMaybe, register{in.value, in.version + 1}
	}
	refusal := clerk.ErrVersion
	if state.version == 0 {
		refusal = clerk.ErrNoKey
	}
	return out.err == refusal || out.err == clerk.ErrMaybe, state
}
