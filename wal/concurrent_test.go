package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
)

// Save, SaveSnapshot, Compact, OpenSnapshot and Stats at once, with the background
// goroutine at work. Meant for -race.
func TestConcurrentUse(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	opts.Inline, opts.SegmentSize = false, 16<<10
	l := mustCreate(t, opts)
	const last = 600
	saved := make(chan raft.Index, last)
	done := make(chan struct{})
	var users sync.WaitGroup
	users.Go(func() {
		defer close(saved)
		for i := raft.Index(1); i <= last; i++ {
			if err := l.Save([]raft.Persist{{Entries: entries(i, 1, 200)}}); err != nil {
				t.Error(err)
				return
			}
			saved <- i
		}
	})
	users.Go(func() {
		defer close(done)
		for i := range saved {
			if i%20 != 0 {
				continue
			}
			if err := l.SaveSnapshot(raft.SnapshotMeta{Index: i, Term: 1}, writeIndexes(i)); err != nil {
				t.Error(err)
			}
			if err := l.Compact(i); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		users.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := checkIndexes(l); err != nil {
					t.Error(err)
					return
				}
				l.Stats()
			}
		})
	}
	users.Wait()
	mustClose(t, l)
	l = mustOpen(t, opts)
	defer l.Close()
	got, err := loadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	if got.State.Snapshot.Index != last || len(got.State.Entries) != 0 {
		t.Fatalf("got %s", got)
	}
	// Close came before the background goroutine was done, maybe.
	if err := l.Compact(last); err != nil {
		t.Fatal(err)
	}
	l.background.work()
	if s := l.Stats(); s.Segments > 2 || s.SnapshotIndex != last {
		t.Fatalf("got %+v", s)
	}
}

// writeIndexes writes index i many times over.
func writeIndexes(i raft.Index) func(io.Writer) error {
	return func(w io.Writer) error {
		for range 5000 {
			if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(i))); err != nil {
				return err
			}
		}
		return nil
	}
}

func checkIndexes(l *Log) error {
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil || meta.Index == 0 {
		return err
	}
	if want := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, uint64(meta.Index)), 5000); !bytes.Equal(data, want) {
		return fmt.Errorf("the data of snapshot %s is not its own", meta)
	}
	return nil
}

// Two snapshots under way at once: the newer one stays, whichever ends first.
func TestSnapshotsOvertakeEachOther(t *testing.T) {
	l := mustCreate(t, testOptions(crashfs.NewMem(), 1))
	defer l.Close()
	err := l.SaveSnapshot(raft.SnapshotMeta{Index: 5}, func(w io.Writer) error {
		if err := l.SaveSnapshot(raft.SnapshotMeta{Index: 7}, writeIndexes(7)); err != nil {
			return err
		}
		return writeIndexes(5)(w)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkIndexes(l); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.SnapshotIndex != 7 {
		t.Fatalf("got %+v", s)
	}
	for name := range readFiles(t, l.dir.fs) {
		if isTemp(name) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestReaderOutlivesItsSnapshot(t *testing.T) {
	l := mustCreate(t, testOptions(crashfs.NewMem(), 1))
	for i := raft.Index(1); i <= 2; i++ {
		if err := l.SaveSnapshot(raft.SnapshotMeta{Index: i}, writeIndexes(i)); err != nil {
			t.Fatal(err)
		}
		if i > 1 {
			break
		}
		_, r, err := l.OpenSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			defer r.Close()
			data, err := io.ReadAll(r)
			if err != nil || len(data) != 40000 || data[0] != 1 {
				t.Errorf("read %d bytes: %v", len(data), err)
			}
		}()
	}
	mustClose(t, l)
}

// A received snapshot is durable before the log is reset to it. Compaction at its
// index, which the log has not reached, may come in between.
func TestCompactBeforeTheReset(t *testing.T) {
	for _, reset := range []bool{false, true} {
		opts := testOptions(crashfs.NewMem(), 1)
		l := mustCreate(t, opts)
		m := newModel(testConf)
		meta := raft.SnapshotMeta{Index: 30, Term: 2}
		steps := []step{
			{kind: stepSave, persists: []raft.Persist{{Entries: entries(1, 1, 900, 900, 900, 900, 900, 900)}}},
			{kind: stepSave, persists: []raft.Persist{{Entries: entries(7, 1, 900, 900)}}},
			{kind: stepSnapshot, meta: meta},
			{kind: stepCompact, index: 30},
			{kind: stepSave, persists: []raft.Persist{{Entries: entries(3, 2, 900, 900)}}},
			{kind: stepSave, persists: []raft.Persist{{Entries: entries(5, 2, 900, 900)}}},
		}
		if reset {
			steps = append(steps, step{kind: stepSave, persists: []raft.Persist{{Snapshot: &meta, Entries: entries(31, 2, 10)}}})
		}
		for _, s := range steps {
			s.onModel(m)
			if _, err := s.onLog(l, testDir, opts, testID); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, l)
		l, m, err := checkContents(opts, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkGoesOn(l, m, opts); err != nil {
			t.Fatal(err)
		}
	}
}

// Compaction removes whole segments, and the hard state survives it.
func TestCompactRemovesSegments(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	l := mustCreate(t, opts)
	if err := l.Save([]raft.Persist{{HardState: &raft.HardState{Term: 7, Vote: 3}}}); err != nil {
		t.Fatal(err)
	}
	for i := range raft.Index(50) {
		if err := l.Save([]raft.Persist{{Entries: entries(i+1, 7, 400)}}); err != nil {
			t.Fatal(err)
		}
	}
	before := l.Stats()
	if err := l.SaveSnapshot(raft.SnapshotMeta{Index: 45, Term: 7}, writeIndexes(45)); err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(45); err != nil {
		t.Fatal(err)
	}
	after := l.Stats()
	if before.Segments < 10 || after.Segments > 3 || after.LogBytes >= before.LogBytes/3 || after.SnapshotBytes < 40000 {
		t.Fatalf("before %+v\nafter %+v", before, after)
	}
	mustClose(t, l)
	l = mustOpen(t, opts)
	defer l.Close()
	st, err := load(l)
	if err != nil {
		t.Fatal(err)
	}
	if st.HardState != (raft.HardState{Term: 7, Vote: 3}) || len(st.Entries) != 5 || st.Entries[0].Index != 46 {
		t.Fatalf("got %v", st)
	}
}

// A snapshot may still be written when its log is closed. It leaves alone what the next log of the directory writes, be
// it the same snapshot.
func TestASnapshotOfAClosedLogDisturbsNobody(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	begin := func(l *Log) (release chan struct{}, saved chan error) {
		release, saved = make(chan struct{}), make(chan error)
		writing := make(chan struct{})
		go func() {
			saved <- l.SaveSnapshot(raft.SnapshotMeta{Index: 5, Term: 1}, func(w io.Writer) error {
				close(writing)
				<-release
				return writeIndexes(5)(w)
			})
		}()
		<-writing
		return release, saved
	}
	old := mustCreate(t, opts)
	releaseOld, savedOld := begin(old)
	mustClose(t, old)
	l := mustOpen(t, opts)
	defer l.Close()
	release, saved := begin(l)
	close(releaseOld)
	if err := <-savedOld; !errors.Is(err, ErrClosed) {
		t.Errorf("by the closed log: %v", err)
	}
	close(release)
	if err := <-saved; err != nil {
		t.Error(err)
	}
	if err := checkIndexes(l); err != nil {
		t.Error(err)
	}
}
