package wal

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
)

// storage is rsm.Storage, which this package cannot name.
type storage interface {
	Load(from raft.SnapshotMeta) (raft.State, error)
	Save(ps []raft.Persist) error
	SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error
	OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error)
	Compact(index raft.Index) error
}

var _ storage = (*Log)(nil)

func TestLogEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := testOptions(crashfs.NewMem(), 1)
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

// OnSync hears of the syncs that a Save waits for, and of all that is written: those
// of other files are not its business.
func TestOnSyncHearsOfEverySyncOfASave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writeTime, syncTime = 3 * time.Second, 2 * time.Second
		fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch {
			case !strings.HasSuffix(op.Path, segmentSuffix):
			case op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData:
				time.Sleep(syncTime)
			case op.Kind == errorfs.OpFileWriteAt:
				time.Sleep(writeTime)
			}
			return nil
		}))
		syncs, bytes := 0, 0
		opts := testOptions(fs, 1)
		opts.OnSync = func(took time.Duration, n int) {
			syncs++
			bytes += n
			if took != syncTime {
				t.Errorf("a sync took %s, not %s", took, syncTime)
			}
		}
		l := mustCreate(t, opts)
		defer l.Close()
		save := func(i raft.Index) {
			t.Helper()
			if err := l.Save([]raft.Persist{{Entries: entries(i, 0, 500)}}); err != nil {
				t.Fatal(err)
			}
		}
		save(1) // leaves the first segment, which has no entries and is removed
		syncs, bytes = 0, 0
		const saves = 10
		before := l.Stats()
		for i := range raft.Index(saves) {
			save(2 + i)
		}
		if err := l.Save(nil); err != nil {
			t.Fatal(err)
		}
		after := l.Stats()
		sealed := after.Segments - before.Segments
		if sealed == 0 || syncs != saves+sealed {
			t.Errorf("%d syncs of %d saves that sealed %d segments", syncs, saves, sealed)
		}
		if want := int(after.LogBytes-before.LogBytes) - sealed*headerSize; bytes != want {
			t.Errorf("%d bytes written, the log has grown by %d", bytes, want)
		}
	})
}

// A huge batch has a buffer of its size, which the next huge one uses again, and which
// small ones do not keep.
func TestBuffersOfHugeBatchesAreNotKept(t *testing.T) {
	l := mustCreate(t, testOptions(crashfs.NewMem(), 1))
	defer mustClose(t, l)
	if _, err := load(l); err != nil {
		t.Fatal(err)
	}
	index := raft.Index(0)
	save := func(bytes int) *byte {
		index++
		p := raft.Persist{Seq: uint64(index), HardState: &raft.HardState{Term: 1}, Entries: entries(index, 1, bytes)}
		if err := l.Save([]raft.Persist{p}); err != nil {
			t.Fatal(err)
		}
		if cap(l.writer.mu.buf) == 0 {
			return nil
		}
		return &l.writer.mu.buf[:1][0]
	}
	save(2 * maxKeptBuffer)
	if first, second := save(2*maxKeptBuffer), save(2*maxKeptBuffer); first != second {
		t.Error("each of two huge batches made a buffer")
	}
	save(10)
	if save(10); cap(l.writer.mu.buf) > maxKeptBuffer {
		t.Errorf("small batches keep a buffer of %d bytes", cap(l.writer.mu.buf))
	}
}
