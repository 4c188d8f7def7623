package run

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// script is a life with runs that are flushed in parts, sealed and rewritten.
func (w *world) script(step func()) error {
	flush := func() error { err := w.flush(); step(); return err }
	grow := func(revisions, bytes int) {
		for range revisions {
			w.revision(1+w.random.IntN(3), bytes)
		}
	}
	grow(3, 100)
	if err := flush(); err != nil {
		return err
	}
	grow(5, 100)
	if err := flush(); err != nil { // the same file goes on
		return err
	}
	grow(40, 300)
	if err := flush(); err != nil { // some are sealed
		return err
	}
	w.kill(60)
	if err := w.rewrite(0, 3, step); err != nil {
		return err
	}
	grow(1, 9000)
	grow(3, 10)
	if err := flush(); err != nil {
		return err
	}
	w.kill(100)
	if err := w.rewrite(0, 1, step); err != nil { // nothing is left
		return err
	}
	grow(2, 10)
	return flush()
}

// A crash at any operation leaves what the manifest says, whatever part of the unsynced data is
// there.
func TestCrashAtEveryOperation(t *testing.T) {
	for seed := range uint64(4) {
		mem, crashes := newMem(t), 0
		var w *world
		crash := func() {
			for _, percent := range []int{0, 50, 100} {
				crashes++
				disk := mem.CrashClone(crashfs.Crash{UnsyncedPercent: percent, Rand: w.random})
				h, err := w.reopen(disk)
				if err != nil {
					t.Fatalf("seed %d, crash %d with %d %% of unsynced data: %v\n%s", seed, crashes, percent, err, disk)
				}
				if err := goesOn(h); err != nil {
					t.Fatalf("seed %d, crash %d: %v", seed, crashes, err)
				}
			}
		}
		fsys := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				crash()
			}
			return nil
		}))
		w, err := newWorld(testOptions(fsys), seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.script(crash); err != nil {
			t.Fatal(err)
		}
		if err := w.check(); err != nil {
			t.Fatal(err)
		}
		if crashes < 150 {
			t.Errorf("only %d crashes", crashes)
		}
	}
}

// goesOn removes strays, and appends to and flushes a history that was opened.
func goesOn(h *History) error {
	strays, err := h.Strays()
	for _, n := range strays {
		err = errors.Join(err, h.Files().Remove(n))
	}
	mod := h.Revision() + 1
	h.Append(&Record{Key: []byte("on"), Value: make([]byte, 5000), Mod: mod, Last: true})
	h.Append(&Record{Key: []byte("and on"), Mod: mod + 1, Last: true})
	infos, _, flushErr := h.Flush(context.Background(), h.Mark(), nil)
	if err := errors.Join(err, flushErr); err != nil {
		return err
	}
	for _, info := range infos {
		if err := h.Files().Verify(context.Background(), info, nil); err != nil {
			return err
		}
	}
	again, err := Open(h.opts, infos, h.NextFile())
	if err == nil && (again.Revision() != mod+1 || again.Chain() != h.Chain()) {
		err = fmt.Errorf("revision %d, want %d", again.Revision(), mod+1)
	}
	return errors.Join(err, h.Close())
}

// Whichever operation fails: the manifest holds, and unless a sync failed the work can be done
// again.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, forever := range []bool{false, true} {
		for at := 0; ; at++ {
			hits, done, err := runWithError(t, at, forever)
			if err != nil {
				t.Fatalf("operation %d fails, forever %t: %v", at, forever, err)
			}
			if hits == 0 {
				if at < 50 || !done {
					t.Errorf("only %d operations", at)
				}
				break
			}
		}
	}
}

// runWithError does the script with an error at one operation, or from there on. It returns how
// often the error came, and whether the script was done.
func runWithError(t *testing.T, at int, forever bool) (hits int, done bool, _ error) {
	mem, n, healed, syncFailed := newMem(t), 0, false, false
	fsys := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		n++
		if healed || n-1 < at || n-1 > at && !forever {
			return nil
		}
		hits++
		syncFailed = syncFailed || hits == 1 && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData)
		return errorfs.ErrInjected
	}))
	w, err := newWorld(testOptions(fsys), 7)
	if err != nil {
		return hits, false, err
	}
	err = w.script(func() {})
	healed = true
	if err == nil {
		return hits, true, w.check()
	}
	if !errors.Is(err, errorfs.ErrInjected) {
		return hits, false, fmt.Errorf("the error is hidden: %w", err)
	}
	for _, disk := range []vfs.FS{mem, mem.CrashClone(crashfs.Crash{})} {
		if _, err := w.reopen(disk); err != nil {
			return hits, false, err
		}
	}
	failed := errors.Is(err, ErrFailed)
	if failed != syncFailed {
		return hits, false, fmt.Errorf("a sync failed: %t, %w", syncFailed, err)
	}
	again := w.flush()
	if failed != errors.Is(again, ErrFailed) || !failed && again != nil {
		return hits, false, fmt.Errorf("after %w: flush again: %w", err, again)
	}
	if failed {
		return hits, false, nil
	}
	_, err = w.reopen(mem.CrashClone(crashfs.Crash{}))
	return hits, false, errors.Join(err, w.check())
}
