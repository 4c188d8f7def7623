package wal

import (
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"balsa/raft"
)

// storage is rsm.Storage, which this package cannot name.
type storage interface {
	Load() (raft.State, error)
	Save(ps []raft.Persist) error
	SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error
	OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error)
	Compact(index raft.Index) error
}

var _ storage = (*Log)(nil)

func TestLogEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := testOptions(vfs.NewMem(), 1)
		opts.SegmentSize = int64(rapid.SampledFrom([]int{512, 2048, 8192}).Draw(t, "segment"))
		if err := Create(testDir, opts, testID, testConf); err != nil {
			t.Fatal(err)
		}
		l, err := Open(testDir, opts, testID)
		if err != nil {
			t.Fatal(err)
		}
		random := seeded(rapid.Uint64().Draw(t, "seed"))
		m := newModel(testConf)
		g := plausible{choose: random.IntN, m: m}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			s := g.next()
			if l, err = s.onLog(l, testDir, opts, testID); err != nil {
				t.Fatal(err)
			}
			if s.kind != stepReopen {
				continue
			}
			got, err := loadAll(l)
			if err != nil {
				t.Fatal(err)
			}
			if want := m.contents(); !got.equal(want) {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, m, err = checkContents(opts, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkGoesOn(l, m, opts); err != nil {
			t.Fatal(err)
		}
	})
}

// The same on the real file system, with the background goroutine.
func TestLogOnDisk(t *testing.T) {
	dir, opts := t.TempDir(), Options{SegmentSize: 64 << 10}
	if err := Create(dir, opts, testID, testConf); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir, opts, testID)
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(testConf)
	g := plausible{choose: seeded(5).IntN, m: m}
	for range 400 {
		if l, err = g.next().onLog(l, dir, opts, testID); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	if l, err = Open(dir, opts, testID); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, err := loadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	if want := m.contents(); !got.equal(want) {
		t.Fatalf("got %s\nwant %s", got, want)
	}
}
