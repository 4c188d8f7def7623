package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds the judgement of a test's history. In a synctest bubble, where
// the clock stands while the checker works, it never ends.
const checkTimeout = 20 * time.Second

// Check fails a test (t is its testing.TB) if the history is wrong, has fewer than
// least operations, or leaves more than a tenth of them in doubt.
func (h *History) Check(t interface {
	Helper()
	Errorf(format string, args ...any)
}, least int) {
	t.Helper()
	ops := h.Ops()
	if len(ops) < least {
		t.Errorf("only %d operations, want %d", len(ops), least)
	}
	if _, doubts := decide(ops); doubts*10 > len(ops) {
		t.Errorf("the fate of %d of %d operations is unknown", doubts, len(ops))
	}
	if err := Check(ops, checkTimeout); err != nil {
		t.Errorf("history of %d operations: %v", len(ops), err)
	}
}

// Check tells what is wrong with a history, or nil. It takes about timeout at most;
// a history that it could not decide within that is wrong too. Keys must not have
// been deleted, and no two Puts of a key have the same value.
func Check(ops []Op, timeout time.Duration) error {
	if err := checkRevisions(ops); err != nil {
		return err
	}
	if err := checkVersions(ops); err != nil {
		return err
	}
	decided, _ := decide(ops)
	narrowed, err := narrow(decided)
	if err != nil {
		return fmt.Errorf("history is not linearizable: %w", err)
	}
	result, info := porcupine.CheckOperationsVerbose(model, operations(narrowed), timeout)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("linearizability of %d operations not decided within %v", len(ops), timeout)
	default:
		return &NotLinearizableError{info}
	}
}

// NotLinearizableError is a history without an order.
type NotLinearizableError struct {
	info porcupine.LinearizationInfo
}

func (e *NotLinearizableError) Error() string { return "history is not linearizable" }

// Visualize writes a page that shows where the order breaks.
func (e *NotLinearizableError) Visualize(path string) error {
	return porcupine.VisualizePath(model, e.info, path)
}

// checkVersions finds a version of a key that two acknowledged writes made. It
// assumes that keys are not deleted.
func checkVersions(ops []Op) error {
	type made struct {
		key     string
		version uint64
	}
	by := map[made]Op{}
	for _, op := range ops {
		if op.Kind != Put || op.Outcome != OK {
			continue
		}
		m := made{op.Key, op.made()}
		if other, twice := by[m]; twice {
			return fmt.Errorf("version %d of %q was written twice: %s and %s", m.version, m.key, other, op)
		}
		by[m] = op
	}
	return nil
}

// checkRevisions is a second opinion, near-linear at any size and across keys: the
// store's revisions order all acknowledged writes, and that order must not
// contradict real time. Writes whose revision was not told are left out.
func checkRevisions(ops []Op) error {
	var writes []Op
	for _, op := range ops {
		if op.Kind == Put && op.Outcome == OK && op.Revision > 0 {
			writes = append(writes, op)
		}
	}
	slices.SortFunc(writes, func(a, b Op) int { return int(a.Revision) - int(b.Revision) })
	earliest := int64(never) // the first return of any write at or after this one
	for i := len(writes) - 1; i >= 0; i-- {
		w := writes[i]
		if i > 0 && writes[i-1].Revision == w.Revision {
			return fmt.Errorf("revision %d was given twice: %s and %s", w.Revision, writes[i-1], w)
		}
		if w.Call > earliest {
			return fmt.Errorf("revision %d of %s came after a write that was acknowledged before it began has a later one", w.Revision, w)
		}
		earliest = min(earliest, w.Return)
	}
	return nil
}

func operations(ops []Op) []porcupine.Operation {
	converted := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		converted[i] = porcupine.Operation{ClientId: op.Client, Input: op, Output: op, Call: op.Call, Return: op.Return}
	}
	return converted
}

// register is the state of one key; at version 0 it is absent.
type register struct {
	value   string
	version uint64
}

var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range all {
			key := op.Input.(Op).Key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init:              func() any { return register{} },
	Step:              func(state, in, _ any) (bool, any) { return step(state.(register), in.(Op)) },
	DescribeOperation: func(in, _ any) string { return in.(Op).String() },
}

// step tells whether a key in this state could answer op so, and what it is then.
// The fate of a Maybe is open: where it was never executed it stands at the end,
// after everything that was seen.
func step(state register, op Op) (bool, register) {
	if op.Kind == Get {
		if state.version == 0 {
			return op.Outcome == NoKey, state
		}
		return op.Outcome == OK && op.Value == state.value && op.Version == state.version, state
	}
	if op.Version == state.version {
		return op.Outcome == OK || op.Outcome == Maybe, register{op.Value, op.Version + 1}
	}
	refusal := VersionMismatch
	if state.version == 0 {
		refusal = NoKey
	}
	return op.Outcome == refusal || op.Outcome == Maybe, state
}
