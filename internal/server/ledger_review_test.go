package server

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// killAfter fails every operation after some, as if the process had been killed:
// what it has written stays in the memory of the kernel.
func killAfter(ops int) errorfs.Injector {
	return errorfs.InjectorFunc(func(errorfs.Op) error {
		if ops--; ops < 0 {
			return errorfs.ErrInjected
		}
		return nil
	})
}

// A server that was killed finds its last, never synced, write in the memory of the
// kernel. What it promises because of that must survive a power loss.
func TestLedgerKeepsWhatItFoundAfterAKill(t *testing.T) {
	for ops := range 20 {
		mem := vfs.NewCrashableMem()
		if err := errors.Join(mem.MkdirAll("data", 0o700), syncDir(mem, "")); err != nil {
			t.Fatal(err)
		}
		newLedger(t, mem)
		l := reopen(t, errorfs.Wrap(mem, killAfter(100)))
		l.fs = errorfs.Wrap(mem, killAfter(ops))
		killed := l.Admit(2, firstLife) != nil

		l = reopen(t, mem)
		if known, ok := l.seen[2]; !ok {
			continue
		} else if err := l.Admit(2, known); err != nil {
			t.Fatal(err)
		}
		lost := mem.CrashClone(vfs.CrashCloneCfg{})
		if err := reopen(t, lost).Admit(2, secondLife); !errors.Is(err, ErrIncarnation) {
			t.Errorf("killed after %d operations, then told that member 2 is recorded, then power loss: "+
				"another incarnation gets %v", ops, err)
		}
		if !killed {
			return
		}
	}
	t.Error("Admit takes more than 20 operations")
}
