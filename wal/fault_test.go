package wal

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// failing fails the operation numbered at, or all from there on.
type failing struct {
	count, at int
	forever   bool
	hits      int
}

func (f *failing) String() string { return "failing" }

func (f *failing) MaybeError(op errorfs.Op) error {
	f.count++
	if f.count-1 == f.at || f.forever && f.count > f.at {
		f.hits++
		return errorfs.ErrInjected
	}
	return nil
}

// Whichever operation fails: what was acknowledged is there after a restart, and
// after a power loss; what failed is there as a whole or not at all.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, c := range []struct{ forever, own bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		t.Run(fmt.Sprintf("forever %t, own state %t", c.forever, c.own), func(t *testing.T) {
			for at := 0; ; at++ {
				f := &failing{at: at, forever: c.forever}
				mem := crashfs.NewCrashableMem()
				before, after, err := runWithErrors(crashfs.Inject(mem, f), c.own)
				if err != nil {
					t.Fatalf("operation %d fails: %v", at, err)
				}
				(&crasher{t: t, mem: mem, random: seeded(uint64(at)), before: before, after: after, own: c.own}).crash()
				if before != nil {
					if _, _, err := checkContents(after.options(mem, 3), before, after); err != nil {
						t.Fatalf("operation %d fails, then a restart: %v", at, err)
					}
				}
				if f.hits == 0 {
					t.Logf("%d operations", at)
					return
				}
			}
		})
	}
}

// runWithErrors does the script as far as it goes. Before is what was acknowledged,
// and after what may be there too.
func runWithErrors(fs vfs.FS, own bool) (before, after *model, err error) {
	after = newModel(testConf)
	after.own = own
	opts := after.options(fs, 1)
	if err := Create(testDir, opts, testID, testConf); err != nil {
		return nil, after, nil
	}
	before = after
	l, err := open(testDir, opts, testID, raft.SnapshotMeta{})
	if err != nil {
		return before, after, nil
	}
	for _, s := range script() {
		after = before.clone()
		s.onModel(after)
		if s.kind == stepReopen {
			s.meta = after.snapshot
		}
		reopened, err := s.onLog(l, testDir, opts, testID)
		if err == nil {
			l, before = reopened, after
			continue
		}
		switch s.kind {
		case stepReopen:
			return before, after, nil
		case stepSave:
			if again := l.Save(s.persists); again == nil {
				return nil, nil, errors.New("Save succeeds after it failed")
			}
			return before, after, l.Close()
		case stepSnapshot:
			if l.failure.get() != nil {
				return before, after, l.Close()
			}
			if again := s.repeat(l); again != nil && l.failure.get() == nil && !errors.Is(again, errorfs.ErrInjected) {
				return nil, nil, fmt.Errorf("a snapshot fails again: %w", again)
			} else if again != nil {
				return before, after, l.Close()
			}
			before = after
		case stepCompact:
			return before, after, l.Close()
		}
	}
	return before, after, l.Close()
}

func (s step) repeat(l *Log) error {
	_, err := s.onLog(l, "", Options{}, Identity{})
	return err
}

func TestFailedWriteOfASnapshotChangesNothing(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	l := mustCreate(t, opts)
	cause := errors.New("no more data")
	err := l.SaveSnapshot(raft.SnapshotMeta{Index: 9, Term: 1}, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 3*maxChunk)); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := l.OpenSnapshot(); err != nil {
		t.Fatal(err)
	}
	for name := range readFiles(t, opts.FS) {
		if strings.HasSuffix(name, vfs.TempSuffix) {
			t.Errorf("%s is left", name)
		}
	}
	mustClose(t, l)
	if _, _, err := checkContents(opts, newModel(testConf)); err != nil {
		t.Fatal(err)
	}
}

// A write callback that does not pass on the writer's error gets it all the same.
func TestSwallowedErrorOfASnapshotIsNotLost(t *testing.T) {
	full := atomic.Bool{}
	fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	l := mustCreate(t, testOptions(fs, 1))
	defer l.Close()
	full.Store(true)
	err := l.SaveSnapshot(raft.SnapshotMeta{Index: 1}, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 2*maxChunk))
		return nil
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	full.Store(false)
	if err := l.SaveSnapshot(raft.SnapshotMeta{Index: 1}, func(io.Writer) error { return nil }); err != nil {
		t.Fatalf("with space again: %v", err)
	}
}

// On a full disk the log goes on in the segment that it has, says that space is
// low, and says so no more when there is space again.
func TestLowSpaceIsReportedAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite) {
				return syscall.ENOSPC
			}
			return nil
		}))
		opts := testOptions(fs, 1)
		opts.Inline, opts.SegmentSize = false, 64<<10
		l := mustCreate(t, opts)
		defer l.Close()
		save := func(i raft.Index) {
			t.Helper()
			if err := l.Save([]raft.Persist{{Entries: entries(i, 0, 100)}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		save(1)
		full.Store(true)
		save(2) // moves on to the segment that is ready
		if !l.LowSpace() || !l.Stats().LowSpace {
			t.Fatal("low space is not noticed")
		}
		for i := raft.Index(3); i < 300; i++ {
			save(i)
		}
		full.Store(false)
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		if l.LowSpace() {
			t.Fatal("low space does not end")
		}
		for i := raft.Index(300); i < 900; i++ {
			save(i)
		}
		if n := l.Stats().Segments; n < 3 {
			t.Fatalf("%d segments", n)
		}
	})
}

func TestSpaceIsAskedForBeforeItIsUsedUp(t *testing.T) {
	opts := testOptions(&smallDisk{FS: crashfs.NewMem(), avail: 2*2048 - 1}, 1)
	l := mustCreate(t, opts)
	defer l.Close()
	if !l.LowSpace() {
		t.Fatal("low space is not noticed")
	}
	opts.FS.(*smallDisk).avail++
	if err := l.Save([]raft.Persist{{Entries: entries(1, 0, 100)}}); err != nil {
		t.Fatal(err)
	}
	if l.LowSpace() {
		t.Fatal("low space does not end")
	}
}

type smallDisk struct {
	vfs.FS
	avail uint64
}

func (d *smallDisk) Available(string) (uint64, error) { return d.avail, nil }

// A failed sync of the segment being prepared stops nothing; it is given up.
func TestFailedPreparationFallsBack(t *testing.T) {
	var l *Log
	mem := crashfs.NewCrashableMem()
	syncs, failures := 0, 0
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpFileSyncData || l == nil || l.spare.mu.segment == nil || !strings.HasSuffix(op.Path, segmentName(l.spare.mu.segment.seq)) {
			return nil
		}
		if syncs++; syncs%3 == 0 {
			return nil
		}
		failures++
		return syscall.EIO
	}))
	opts := testOptions(fs, 1)
	l = mustCreate(t, opts)
	m := newModel(testConf)
	for i := range raft.Index(40) {
		s := step{kind: stepSave, persists: []raft.Persist{{Entries: entries(i+1, 0, 400)}}}
		s.onModel(m)
		if _, err := s.onLog(l, testDir, opts, testID); err != nil {
			t.Fatal(err)
		}
	}
	if failures < 5 {
		t.Fatalf("only %d failures", failures)
	}
	disk := testOptions(mem.CrashClone(crashfs.Crash{}), 2)
	mustClose(t, l)
	l, m, err := checkContents(disk, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkGoesOn(l, m, disk); err != nil {
		t.Fatal(err)
	}
}

// A segment whose sync has failed is removed, and not synced again: that would succeed and
// prove nothing. It also gives its space back.
func TestFailedSpareIsRemoved(t *testing.T) {
	spare := segmentName(2)
	fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.HasSuffix(op.Path, spare) {
			return syscall.EIO
		}
		return nil
	}))
	l := mustCreate(t, testOptions(fs, 1))
	defer l.Close()
	if !l.LowSpace() {
		t.Error("the failure is not noticed")
	}
	for name := range readFiles(t, fs) {
		if strings.HasSuffix(name, spare) {
			t.Errorf("%s is left", name)
		}
	}
}

// After a failed sync of the directory the log promises nothing more, whatever the sync was
// for: the next one would succeed, although names from before it may not be durable.
func TestDirectoryInDoubtStopsTheLog(t *testing.T) {
	snapshot := func(l *Log, index raft.Index) error {
		return l.SaveSnapshot(raft.SnapshotMeta{Index: index, Term: 1}, func(io.Writer) error { return nil })
	}
	for name, work := range map[string]func(l *Log, last raft.Index) error{
		"a snapshot":          func(l *Log, last raft.Index) error { return snapshot(l, last) },
		"an obsolete segment": func(l *Log, last raft.Index) error { return l.Compact(last - 1) },
	} {
		t.Run(name, func(t *testing.T) {
			var failing atomic.Bool
			fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpFileSync && op.Path == testDir && failing.Swap(false) { // once
					return syscall.EIO
				}
				return nil
			}))
			l := mustCreate(t, testOptions(fs, 1))
			defer l.Close()
			last := raft.Index(20)
			for i := range last {
				if err := l.Save([]raft.Persist{{Entries: entries(i+1, 1, 400)}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := snapshot(l, last-1); err != nil {
				t.Fatal(err)
			}
			failing.Store(true)
			_ = work(l, last) // removal is background work, so Compact does not tell its error
			if failing.Load() {
				t.Fatal("the directory was not synced")
			}
			if err := l.Save([]raft.Persist{{HardState: &raft.HardState{Term: 2}}}); !errors.Is(err, syscall.EIO) {
				t.Errorf("the log goes on: %v", err)
			}
		})
	}
}
