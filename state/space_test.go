package state_test

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

// smallDisk has room for so many bytes in the files of the directory of a state.
type smallDisk struct {
	*crashfs.Mem
	bytes int64
}

func (d *smallDisk) used() (total int64) {
	names, _ := d.List("state")
	for _, name := range names {
		if info, err := d.Stat(filepath.Join("state", name)); err == nil {
			total += info.Size()
		}
	}
	return total
}

func (d *smallDisk) Available(string) (uint64, error) { return uint64(max(d.bytes-d.used(), 0)), nil }

func (d *smallDisk) Create(name string) (vfs.File, error) { return d.file(d.Mem.Create(name)) }

func (d *smallDisk) OpenReadWrite(name string) (vfs.File, error) {
	return d.file(d.Mem.OpenReadWrite(name))
}

func (d *smallDisk) file(f vfs.File, err error) (vfs.File, error) {
	return &smallDiskFile{f, d}, err
}

type smallDiskFile struct {
	vfs.File
	disk *smallDisk
}

func (f *smallDiskFile) Write(b []byte) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return f.WriteAt(b, info.Size())
}

func (f *smallDiskFile) WriteAt(b []byte, at int64) (int, error) {
	info, err := f.Stat()
	if left, _ := f.disk.Available(""); err == nil && at+int64(len(b))-info.Size() > int64(left) {
		err = syscall.ENOSPC
	}
	if err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

// littered is a member with keys of which it has deleted some, one after as many that it keeps.
func littered(t *testing.T, keeps int, pace func(bytes, times int) bool) (*deleting, *smallDisk) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := &deleting{t: t, fs: disk.Mem, position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	d.m = state.New(state.Config{FS: disk, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1, Pace: pace})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		d.do(set(keyOf(i), valueOf(i)))
	}
	for i := 0; i < 1000; i += keeps + 1 {
		d.do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: keyOf(i), Unconditional: true}})
	}
	d.do(compact(d.m.Revision()))
	d.checkpoint()
	disk.bytes = disk.used() + 40<<10
	return d, disk
}

// wantSpace wants that hardly anything is left but what is alive.
func (d *deleting) wantSpace(keeps int) {
	d.t.Helper()
	d.maintain()
	if f := d.m.Figures(); f.RunBytes > f.HistoryBytes*13/10 { // the indexes of the runs take some
		d.t.Errorf("%d bytes are left of %d that are alive", f.RunBytes, f.HistoryBytes)
	}
	for i := range 1000 {
		if r := d.m.Get(keyOf(i)); (r.Err() == nil) != (i%(keeps+1) > 0) {
			d.t.Fatalf("%s: %v", keyOf(i), r.Err())
		}
	}
}

// What was deleted gives its space back on a disk that has room for a few runs, and not for all that are worth
// writing anew; also if it is so little that it would stay where it is on a disk with more room.
func TestSpaceComesBackOnADiskThatIsNearlyFull(t *testing.T) {
	for _, keeps := range []int{1, 3, 9} {
		d, _ := littered(t, keeps, nil)
		d.wantSpace(keeps)
	}
}

// While a stream needs the files, to write them anew would take the last space, and give none back.
func TestSpaceIsNotTakenWhileAStreamNeedsFiles(t *testing.T) {
	d, disk := littered(t, 3, nil)
	stream, err := d.m.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	before := disk.used()
	d.maintain()
	if used := disk.used(); used > before {
		t.Errorf("%d bytes were taken", used-before)
	}
	if err := stream.Data.Close(); err != nil {
		t.Fatal(err)
	}
	d.wantSpace(3)
}

// A checkpoint is wanted when much of the history is in memory alone, though the log be short; and earlier where
// the disk is nearly full.
func TestUnwrittenHistoryIsBounded(t *testing.T) {
	const most = 256 << 10
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := &deleting{t: t, fs: disk.Mem, position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	d.m = state.New(state.Config{FS: disk, Dir: "state", Cluster: 7, ID: 1, RunBytes: 32 << 10, MaxUnwritten: most})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	d.do(set("large", strings.Repeat("v", 10_000)))
	keep := state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "large", IgnoreValue: true}}}}}}
	for _, test := range []struct{ left, unwritten int64 }{{1 << 40, most}, {1 << 20, most / 16}} {
		disk.bytes = disk.used() + test.left
		for unwritten := int64(10_000); unwritten < test.unwritten; unwritten += 10_000 {
			if d.m.CheckpointWanted() {
				t.Fatalf("with %d bytes left a checkpoint is wanted of %d", test.left, unwritten)
			}
			d.do(keep)
		}
		d.do(keep)
		if !d.m.CheckpointWanted() {
			t.Errorf("with %d bytes left no checkpoint is wanted of %d", test.left, test.unwritten)
		}
		if d.checkpoint(); d.m.CheckpointWanted() {
			t.Error("a checkpoint is wanted after it was made")
		}
		d.do(keep)
	}
}

// A checkpoint for which there is no space leaves nothing behind: that would take the space that the next one needs.
func TestACheckpointThatFailsLeavesNoFiles(t *testing.T) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := &deleting{t: t, fs: disk.Mem, position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	d.m = state.New(state.Config{FS: disk, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	d.do(set("key", "value"))
	d.checkpoint()
	d.do(set("key", "another"))
	failed := 0
	for room := int64(0); ; room += 16 {
		disk.bytes = disk.used() + room
		if checkpoint(d.m, d.position.Index) == nil {
			break
		}
		failed++
		names, err := disk.List("state")
		if err != nil {
			t.Fatal(err)
		}
		if slices.Sort(names); len(names) > 3 { // the manifest, the small file of it, and the run
			t.Errorf("with room for %d bytes it leaves %q", room, names)
		}
	}
	if failed < 5 {
		t.Errorf("only %d checkpoints have failed", failed)
	}
}
