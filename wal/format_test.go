package wal

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// oldFiles are directories that programs of before wrote, with these steps.
var oldFiles = []struct {
	dir   string
	steps func() []step
}{
	{"testdata/format2", formatSteps},
	{"testdata/format3", reusedSteps},
}

// formatSteps write every kind of record, and end with sealed segments, a spare one, and a
// snapshot.
func formatSteps() []step {
	meta := func(i raft.Index, term raft.Term) raft.SnapshotMeta {
		return raft.SnapshotMeta{Index: i, Term: term, Configuration: raft.NewConfiguration(1, 2, 5)}
	}
	received := meta(20, 3)
	save := func(ps ...raft.Persist) step { return step{kind: stepSave, persists: ps} }
	return []step{
		save(raft.Persist{HardState: &raft.HardState{Term: 1, Vote: 2}, Entries: entries(1, 1, 0, 10, 600)}),
		{kind: stepSnapshot, meta: meta(2, 1), data: []byte("two")},
		{kind: stepCompact, index: 2},
		save(raft.Persist{Entries: entries(4, 1, 900, 900)}),
		save(raft.Persist{Entries: entries(5, 2, 100)}),
		{kind: stepSnapshot, meta: received, data: bytes.Repeat([]byte("received"), 20)},
		save(raft.Persist{Snapshot: &received, HardState: &raft.HardState{Term: 3, LeaseGrant: 700, LostLog: 9}}),
		save(raft.Persist{Entries: entries(21, 3, 500)}),
		save(raft.Persist{HardState: &raft.HardState{Term: 4, Vote: 5, LeaseGrant: 700, LostLog: 9}, Entries: entries(22, 3, 700, 800)}),
		save(raft.Persist{Entries: entries(24, 4, 30)}),
	}
}

// reusedSteps end with segments whose files were used before, sealed and spare ones.
func reusedSteps() (steps []step) {
	for i := raft.Index(1); i < 24; i++ {
		steps = append(steps, step{kind: stepSave, persists: []raft.Persist{{HardState: &raft.HardState{Term: 1}, Entries: entries(i, 1, 500)}}})
		if i%8 == 0 {
			meta := raft.SnapshotMeta{Index: i, Term: 1, Configuration: raft.NewConfiguration(1, 2, 5)}
			steps = append(steps, step{kind: stepSnapshot, meta: meta}, step{kind: stepCompact, index: i})
		}
	}
	return steps
}

// What an older program of the same format wrote is read, and gone on with.
func TestOldFilesAreRead(t *testing.T) {
	for _, old := range oldFiles {
		t.Run(old.dir, func(t *testing.T) { checkOldFiles(t, old.dir, old.steps()) })
	}
}

func checkOldFiles(t *testing.T, from string, steps []step) {
	dir := filepath.Join(t.TempDir(), "wal")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	want := newModel(testConf)
	for _, s := range steps {
		s.onModel(want)
	}
	opts := testOptions(vfs.OS, 2)
	for range 2 {
		l, err := Open(dir, opts, testID)
		if err != nil {
			t.Fatal(err)
		}
		got, err := loadAll(l)
		if err != nil {
			t.Fatal(err)
		}
		if !got.equal(want.contents()) {
			t.Fatalf("got %s\nwant %s", got, want.contents())
		}
		next := step{kind: stepSave, persists: []raft.Persist{{Entries: entries(want.last()+1, 4, 900)}}}
		next.onModel(want)
		if _, err := next.onLog(l, dir, opts, testID); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
	}
}

// With the same salts the same steps write the same bytes as ever. If this fails, the format
// is another: it needs another formatVersion, and old files must be refused or read.
func TestFormatIsUnchanged(t *testing.T) {
	for _, old := range oldFiles {
		t.Run(old.dir, func(t *testing.T) { checkFormat(t, old.dir, old.steps()) })
	}
}

func checkFormat(t *testing.T, oldFiles string, steps []step) {
	opts := testOptions(crashfs.NewMem(), 7)
	l := mustCreate(t, opts)
	for _, s := range steps {
		if _, err := s.onLog(l, testDir, opts, testID); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	got := readFiles(t, opts.FS)
	old, err := os.ReadDir(oldFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		b, err := os.ReadFile(filepath.Join(oldFiles, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[f.Name()], b) {
			t.Errorf("%s differs from what was written once", f.Name())
		}
		delete(got, f.Name())
	}
	if delete(got, lockName); len(got) > 0 {
		t.Errorf("there are the files %q more than once", slices.Sorted(maps.Keys(got)))
	}
}
