package wal

import (
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
)

// ownLog makes the log of a machine that keeps its own state: entries 1 to 9 of term 1,
// compacted at 5.
func ownLog(t *testing.T) Options {
	t.Helper()
	opts := testOptions(crashfs.NewMem(), 1)
	opts.NoSnapshots = true
	l := mustCreate(t, opts)
	if _, err := l.Load(raft.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	for i := range raft.Index(9) {
		if err := l.Save([]raft.Persist{{HardState: &raft.HardState{Term: 1}, Entries: entries(i+1, 1, 600)}}); err != nil {
			t.Fatal(err)
		}
		if i == 5 {
			if err := l.Compact(5); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := l.Stats().Segments; n > 3 {
		t.Fatalf("%d segments: Compact has removed none", n)
	}
	mustClose(t, l)
	return opts
}

// A machine that comes back below what was compacted has lost its state.
func TestLoadRefusesAMachineThatLostItsState(t *testing.T) {
	opts := ownLog(t)
	l := mustOpen(t, opts)
	before := readFiles(t, opts.FS)
	for _, from := range []raft.SnapshotMeta{{}, {Index: 4, Term: 1}} {
		if _, err := l.Load(from); err == nil {
			t.Errorf("a log that was compacted at 5 is loaded behind %s", from)
		}
	}
	if !maps.EqualFunc(before, readFiles(t, opts.FS), slices.Equal[[]byte]) {
		t.Error("a Load that was refused has changed the files")
	}
	if err := l.Save([]raft.Persist{{Entries: entries(10, 1, 1)}}); err == nil {
		t.Error("Save before Load")
	}
	st, err := l.Load(raft.SnapshotMeta{Index: 6, Term: 1})
	if err != nil || len(st.Entries) != 3 || st.Snapshot.Index != 6 || st.HardState.Term != 1 {
		t.Errorf("loaded %v, %v", st, err)
	}
	if err := l.Save([]raft.Persist{{Entries: entries(10, 1, 1)}}); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
}

// The log of one kind of machine is not taken for that of the other.
func TestLogOfTheOtherKindOfMachineIsRefused(t *testing.T) {
	opts := ownLog(t)
	opts.NoSnapshots = false
	var corruption *CorruptionError
	if _, err := Open(testDir, opts, testID); !errors.As(err, &corruption) {
		t.Errorf("without its snapshots a log that was compacted is opened: %v", err)
	}

	opts = testOptions(crashfs.NewMem(), 1)
	l := mustCreate(t, opts)
	if err := l.SaveSnapshot(raft.SnapshotMeta{Index: 1, Term: 1}, writeIndexes(1)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	l = mustOpen(t, opts)
	if _, err := l.Load(raft.SnapshotMeta{}); err == nil {
		t.Error("loaded behind another state than the newest snapshot")
	}
	mustClose(t, l)
	opts.NoSnapshots = true
	if _, err := Open(testDir, opts, testID); err == nil {
		t.Error("a log with snapshots is opened as one without")
	}
}

func TestNoSnapshotsAreSavedWhereThereAreNone(t *testing.T) {
	opts := ownLog(t)
	l := mustOpen(t, opts)
	defer mustClose(t, l)
	called := false
	err := l.SaveSnapshot(raft.SnapshotMeta{Index: 7, Term: 1}, func(io.Writer) error { called = true; return nil })
	if err == nil || called {
		t.Errorf("a snapshot is saved: %v", err)
	}
	if meta, r, err := l.OpenSnapshot(); err != nil || meta.Index != 0 || r.Close() != nil {
		t.Errorf("the snapshot is %s, %v", meta, err)
	}
}
