package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

func TestCreateRefusesADirectoryInUse(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	mustClose(t, mustCreate(t, opts))
	before := readFiles(t, opts.FS)
	if err := Create(testDir, opts, testID, testConf); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v", err)
	}
	if err := opts.FS.Remove(filepath.Join(testDir, identityName)); err != nil {
		t.Fatal(err)
	}
	if err := Create(testDir, opts, testID, testConf); !errors.Is(err, ErrExists) {
		t.Fatalf("without %s: got %v", identityName, err)
	}
	delete(before, identityName)
	for name, b := range readFiles(t, opts.FS) {
		if !bytes.Equal(b, before[name]) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestCreateLeavesForeignFilesAlone(t *testing.T) {
	fs := crashfs.NewMem()
	if err := fs.MkdirAll(testDir, 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"notes.txt", "db.tmp", "12.log", "MANIFEST-000001", "000000000000000G.log", "x.snap.tmp"}
	for _, name := range foreign {
		f, err := fs.Create(filepath.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	opts := testOptions(fs, 1)
	mustClose(t, mustCreate(t, opts))
	files := readFiles(t, fs)
	for _, name := range foreign {
		if _, ok := files[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestOpenOfNothing(t *testing.T) {
	fs := crashfs.NewMem()
	if _, err := Open(testDir, testOptions(fs, 1), testID); !errors.Is(err, ErrNotCreated) {
		t.Fatalf("got %v", err)
	}
	if ok, err := Exists(fs, testDir); ok || err != nil {
		t.Fatalf("exists: %v, %v", ok, err)
	}
}

func TestOpenByAnotherNode(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	mustClose(t, mustCreate(t, opts))
	for _, id := range []Identity{{ClusterID: 0xc1, NodeID: 2}, {ClusterID: 0xc2, NodeID: 1}} {
		_, err := Open(testDir, opts, id)
		var other *IdentityError
		if !errors.As(err, &other) || other.Have != testID || other.Want != id {
			t.Fatalf("got %v", err)
		}
		for _, name := range []string{testDir, testID.NodeID.String(), id.NodeID.String(), "00000000000000c1"} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%q does not name %s", err, name)
			}
		}
	}
	l, err := Open(testDir, opts, Identity{ClusterID: testID.ClusterID, NodeID: testID.NodeID})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Identity() != testID {
		t.Fatalf("identity %v", l.Identity())
	}
}

// A segment of the same node from before its disk was emptied is not its own.
func TestSegmentOfAnotherIncarnation(t *testing.T) {
	d := newDamagedLog(t, 100)
	for _, name := range append(d.names(segmentSuffix), d.names(snapshotSuffix)...) {
		img := bytes.Clone(d.files[name])
		img[32]++
		binary.LittleEndian.PutUint32(img[12:], headerCRC(img))
		mustRefuse(t, d.with(t, name, img), name, "another incarnation")
	}
}

func TestOtherFormatIsNamed(t *testing.T) {
	d := newDamagedLog(t, 100)
	for name, img := range d.files {
		if len(img) == 0 {
			continue // LOCK
		}
		for version, want := range map[uint32]error{reusedVersion + 1: ErrNewerFormat, formatVersion - 1: ErrOlderFormat} {
			img = bytes.Clone(img)
			binary.LittleEndian.PutUint32(img[8:], version)
			binary.LittleEndian.PutUint32(img[12:], headerCRC(img))
			_, err := Open(testDir, testOptions(d.with(t, name, img), 2), testID)
			if !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": crashfs.NewMem(), "disk": vfs.OS} {
		t.Run(name, func(t *testing.T) {
			dir, opts := testDir, testOptions(fs, 1)
			if fs == vfs.OS {
				dir = t.TempDir()
			}
			if err := Create(dir, opts, testID, testConf); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, opts, testID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, opts, testID); !errors.Is(err, ErrLocked) {
				t.Fatalf("open twice: %v", err)
			}
			if err := Create(dir, opts, testID, testConf); !errors.Is(err, ErrLocked) {
				t.Fatalf("create under it: %v", err)
			}
			mustClose(t, l)
			if l, err = Open(dir, opts, testID); err != nil {
				t.Fatal(err)
			}
			mustClose(t, l)
		})
	}
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	fs := crashfs.NewMem()
	opts := testOptions(fs, 1)
	mustClose(t, mustCreate(t, opts))
	for _, name := range []string{identityName + vfs.TempSuffix, segmentName(2) + vfs.TempSuffix, "0000000000000007-1.snap.tmp"} {
		f, err := fs.Create(filepath.Join(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	mustClose(t, mustOpen(t, opts))
	for name := range readFiles(t, fs) {
		if strings.HasSuffix(name, vfs.TempSuffix) {
			t.Errorf("%s is left", name)
		}
	}
}

func TestClosedLogRefusesEverything(t *testing.T) {
	for _, none := range []bool{false, true} {
		opts := testOptions(crashfs.NewMem(), 1)
		opts.NoSnapshots = none
		l := mustCreate(t, opts)
		mustClose(t, l)
		mustClose(t, l)
		_, err := l.Load(raft.SnapshotMeta{})
		errs := []error{err, l.Save(nil), l.Compact(0), l.SaveSnapshot(raft.SnapshotMeta{Index: 1}, func(io.Writer) error { return nil })}
		_, _, err = l.OpenSnapshot()
		for i, err := range append(errs, err) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("NoSnapshots %v: call %d: %v", none, i, err)
			}
		}
	}
}

func TestImpossibleSaveIsRefused(t *testing.T) {
	meta := &raft.SnapshotMeta{Index: 9, Term: 1}
	for name, ps := range map[string][]raft.Persist{
		"gap before":        {{Entries: entries(7, 1, 1)}},
		"gap inside":        {{Entries: append(entries(6, 1, 1), entries(8, 1, 1)...)}},
		"compacted entry":   {{Entries: entries(3, 1, 1)}},
		"unstored snapshot": {{Snapshot: meta}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(crashfs.NewMem(), 1)
			l := mustCreate(t, opts)
			m := newModel(testConf)
			for _, s := range []step{
				{kind: stepSave, persists: []raft.Persist{{Entries: entries(1, 1, 1, 1, 1, 1)}}},
				{kind: stepSnapshot, meta: raft.SnapshotMeta{Index: 3, Term: 1}},
				{kind: stepCompact, index: 3},
				{kind: stepSave, persists: []raft.Persist{{Entries: entries(5, 1, 1)}}},
			} {
				s.onModel(m)
				if _, err := s.onLog(l, testDir, opts, testID); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Save(ps); err == nil {
				t.Fatal("accepted")
			}
			if err := l.Save(nil); err == nil {
				t.Fatal("the log goes on")
			}
			mustClose(t, l)
			if _, _, err := checkContents(opts, m); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCompactBeyondTheSnapshotIsRefused(t *testing.T) {
	l := mustCreate(t, testOptions(crashfs.NewMem(), 1))
	defer l.Close()
	if err := l.Save([]raft.Persist{{Entries: entries(1, 1, 1)}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(1); err == nil {
		t.Fatal("accepted")
	}
}

// Load of a log that was only created: the configuration and nothing else.
func TestNewLogHoldsTheConfiguration(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	l := mustCreate(t, opts)
	defer l.Close()
	got, err := loadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	if want := newModel(testConf).contents(); !got.equal(want) {
		t.Fatalf("got %s, want %s", got, want)
	}
	if _, err := load(l); err == nil {
		t.Fatal("loaded twice")
	}
}
