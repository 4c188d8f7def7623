package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds the check of a test's history. In a synctest bubble the clock stands
// while the checker works, so that there the check has no bound.
const checkTimeout = 20 * time.Second

// Check fails a test (t is its testing.TB) if the history is wrong, has fewer than
// least operations, or if more than a tenth of them have an unknown outcome.
func (h *History) Check(t interface {
	Helper()
	Errorf(format string, args ...any)
}, least int) {
	t.Helper()
	ops := h.Ops()
	if len(ops) < least {
		t.Errorf("only %d operations, want %d", len(ops), least)
	}
	if _, maybes := resolveMaybes(ops); maybes*10 > len(ops) {
		t.Errorf("%d of %d operations have an unknown outcome", maybes, len(ops))
	}
	if err := Check(ops, checkTimeout); err != nil {
		t.Errorf("history of %d operations: %v", len(ops), err)
	}
}

// Check returns why a history is wrong, nil if it is right. It takes about timeout at most; a
// history that it cannot decide in that time is wrong too. Keys must not have been deleted,
// and no two Puts of a key may have the same value.
func Check(ops []Op, timeout time.Duration) error {
	if err := checkRevisions(ops); err != nil {
		return err
	}
	if err := checkVersions(ops); err != nil {
		return err
	}
	resolved, _ := resolveMaybes(ops)
	postponed, err := postponeCalls(resolved)
	if err != nil {
		return fmt.Errorf("history is not linearizable: %w", err)
	}
	result, info := porcupine.CheckOperationsVerbose(model, operations(postponed), timeout)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("linearizability of %d operations not decided within %v", len(ops), timeout)
	default:
		return &NotLinearizableError{info}
	}
}

// NotLinearizableError says that no order of the operations explains a history.
type NotLinearizableError struct {
	info porcupine.LinearizationInfo
}

func (e *NotLinearizableError) Error() string { return "history is not linearizable" }

// Visualize writes a page that shows the longest order that was found.
func (e *NotLinearizableError) Visualize(path string) error {
	return porcupine.VisualizePath(model, e.info, path)
}

// checkVersions checks that no two acknowledged writes made the same version of a key. It
// assumes that keys are not deleted.
func checkVersions(ops []Op) error {
	by := map[keyVersion]Op{}
	for _, op := range ops {
		if op.Kind != Put || op.Outcome != OK {
			continue
		}
		v := keyVersion{op.Key, op.resultVersion()}
		if other, twice := by[v]; twice {
			return fmt.Errorf("version %d of %q was written twice: %s and %s", v.version, v.key, other, op)
		}
		by[v] = op
	}
	return nil
}

// checkRevisions is a second, independent check, which takes near-linear time and goes across
// keys: the store's revisions order all acknowledged writes, and that order must not
// contradict real time. Writes whose answer has no revision are left out.
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

// step tells whether op can have its outcome in a state of the key, and returns the next
// state. A Maybe that was never executed is ordered at the end, after all that was observed.
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
