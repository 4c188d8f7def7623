package datadir

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/birth"
	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
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
func TestMemberFileKeepsWhatItFoundAfterAKill(t *testing.T) {
	for ops := range 20 {
		mem := crashfs.NewCrashableMem()
		if err := errors.Join(mem.MkdirAll("n2", 0o700), vfs.SyncDir(mem, "")); err != nil {
			t.Fatal(err)
		}
		makeFile(t, mem, "n2")
		l := reopen(t, crashfs.Inject(mem, killAfter(100)), "n2")
		l.fs = crashfs.Inject(mem, killAfter(ops))
		_, _, err := l.Hear(founder(firstLife))

		if told := reopen(t, mem, "n2").Record(); told.Founder != firstLife {
			continue
		}
		lost := mem.CrashClone(crashfs.Crash{})
		if v := hear(t, reopen(t, lost, "n2"), founder(secondLife)); v != birth.OtherFounder {
			t.Errorf("killed after %d operations, then told that it waits for n1, then power loss: another directory of n1 gets %d", ops, v)
		}
		if err == nil {
			return
		}
	}
	t.Error("Hear takes more than 20 operations")
}
