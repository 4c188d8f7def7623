package wal

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// Large files are removed little by little, and never while somebody reads them.
func TestOldFilesAreRemovedLittleByLittle(t *testing.T) {
	dir := t.TempDir()
	if err := Create(dir, Options{}, testID, testConf); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, Options{SegmentSize: 64 << 10, noReuse: true}, testID)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("snapshot"), 6<<20/8)
	save := func(index raft.Index) {
		t.Helper()
		entry := raft.Entry{Index: index, Term: 1, Data: content[:100<<10]}
		if err := l.Save([]raft.Persist{{Seq: uint64(index), HardState: &raft.HardState{Term: 1}, Entries: []raft.Entry{entry}}}); err != nil {
			t.Fatal(err)
		}
		meta := raft.SnapshotMeta{Index: index, Term: 1, Configuration: testConf}
		if err := l.SaveSnapshot(meta, func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
			t.Fatal(err)
		}
		if err := l.Compact(index); err != nil {
			t.Fatal(err)
		}
	}
	save(1)
	_, reader, err := l.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	save(2)
	if got := names(t, dir); !slices.Contains(got, snapshotName(1)+vfs.TempSuffix) {
		t.Errorf("while the old snapshot is read there are %v", got)
	}
	if read, err := io.ReadAll(reader); err != nil || !bytes.Equal(read, content) {
		t.Errorf("%d bytes of the old snapshot were read: %v", len(read), err)
	}
	reader.Close()
	for index := range raft.Index(8) {
		save(3 + index)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{}, testID)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	left := slices.DeleteFunc(names(t, dir), func(name string) bool { return strings.HasSuffix(name, vfs.TempSuffix) })
	if want := snapshotName(10); !slices.Contains(left, want) || slices.Contains(left, snapshotName(9)) {
		t.Errorf("there are %v, want %s and none before", left, want)
	}
}

func names(t *testing.T, dir string) (all []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
