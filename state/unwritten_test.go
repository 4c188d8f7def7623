package state_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

const (
	copiedBytes = 10_000
	mostWanted  = 64 << 10
	// mostUnwritten is what may be in memory alone: twice what makes a checkpoint due, what is appended between two looks,
	// and one revision.
	mostUnwritten = 2*mostWanted + 2*mostWanted/16 + 2*copiedBytes
)

// copying is a member whose commands copy a large value, and that keeps little of its history in memory alone.
func copying(t *testing.T, disk *smallDisk, pace func(bytes, times int) bool) *deleting {
	t.Helper()
	d := &deleting{t: t, fs: disk.Mem, position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	d.m = state.New(state.Config{FS: disk, Dir: "state", Cluster: 7, ID: 1, RunBytes: 32 << 10, CacheBytes: -1, MaxUnwritten: mostWanted, Pace: pace})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	d.do(set("large", strings.Repeat("v", copiedBytes)))
	return d
}

func copyLarge() state.Command {
	return state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "large", IgnoreValue: true}}}}}}
}

// Commands of a few bytes write a large value anew each, and no checkpoint is made. What is in memory alone has a bound all
// the same. The files that were written for it count with the next checkpoint, and not before.
func TestHistoryInMemoryAloneHasABound(t *testing.T) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := copying(t, disk, nil)
	d.checkpoint()
	first, hash := d.position.Index, d.m.Hash()
	for range 200 {
		if d.do(copyLarge()); d.m.Unwritten() > mostUnwritten {
			t.Fatalf("%d bytes are in memory alone after %d commands, want at most %d", d.m.Unwritten(), d.position.Index, mostUnwritten)
		}
	}
	if err := d.m.Failed(); err != nil {
		t.Fatal(err)
	}
	opened, position := openMachine(t, disk.Mem.CrashClone(crashfs.Crash{}))
	if position.Index != first || opened.Hash() != hash {
		t.Errorf("opened at %s with hash %x, want %d and %x", position, opened.Hash(), first, hash)
	}
	d.checkpoint()
	d.do(copyLarge())
	if opened, position = openMachine(t, disk.Mem.CrashClone(crashfs.Crash{})); position.Index != d.position.Index-1 || opened.Revision() != d.m.Revision()-1 {
		t.Errorf("opened at %s and revision %d, want %d and %d", position, opened.Revision(), d.position.Index-1, d.m.Revision()-1)
	}
}

// A checkpoint is asked for, and commands that come before it begins fill the memory. Its manifest ends where it was asked for,
// and so its files do. What came later is written by the next one.
func TestACheckpointThatHasNotBegunIsNotOvertaken(t *testing.T) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := copying(t, disk, nil)
	for range 5 {
		d.do(copyLarge())
	}
	first, hash, work := d.position, d.m.Hash(), d.m.Checkpoint(d.position)
	for range 100 {
		d.do(copyLarge())
	}
	if _, err := work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if opened, position := openMachine(t, disk.Mem.CrashClone(crashfs.Crash{})); position.Index != first.Index || opened.Hash() != hash {
		t.Errorf("opened at %s with hash %x, want %d and %x", position, opened.Hash(), first.Index, hash)
	}
	d.checkpoint()
	for range 100 {
		if d.do(copyLarge()); d.m.Unwritten() > mostUnwritten {
			t.Fatalf("%d bytes are in memory alone, want at most %d", d.m.Unwritten(), mostUnwritten)
		}
	}
}

// A checkpoint is written more slowly than commands are executed: these wait for it. None of them is refused.
func TestCommandsWaitForASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		paces := 0
		d := copying(t, &smallDisk{crashfs.NewCrashableMem(), 1 << 40}, func(int, int) bool { paces++; <-goOn; return true })
		d.do(copyLarge())
		work := d.m.Checkpoint(d.position)
		written, done := make(chan error, 1), make(chan struct{})
		go func() {
			_, err := work(t.Context())
			written <- err
		}()
		synctest.Wait() // it has begun
		var executed atomic.Int64
		go func() {
			for range 100 {
				d.do(copyLarge())
				executed.Add(1)
			}
			close(done)
		}()
		synctest.Wait()
		if n := executed.Load(); n < mostWanted/copiedBytes || n > mostUnwritten/copiedBytes {
			t.Errorf("%d commands are executed while the disk hangs, and %d bytes are in memory alone", n, d.m.Unwritten())
		}
		close(goOn)
		if err := <-written; err != nil {
			t.Error(err)
		}
		<-done
		if paces != 1 {
			t.Errorf("what commands waited for has rested %d times, want once, before they came", paces)
		}
		if executed.Load() != 100 || d.m.Failed() != nil || d.m.Unwritten() > mostUnwritten {
			t.Errorf("%d commands are executed, %d bytes are in memory alone, %v", executed.Load(), d.m.Unwritten(), d.m.Failed())
		}
	})
}

// A repair waits for a member that hangs. Commands do not wait for it for long.
func TestCommandsDoNotWaitForARepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
		d := copying(t, disk, nil)
		d.position.Configuration = raft.NewConfiguration(1, 2)
		for range 10 {
			d.do(copyLarge())
		}
		d.checkpoint()
		if err := vfs.WriteFile(disk, "state/run-1", []byte("damaged")); err != nil {
			t.Fatal(err)
		}
		line := hanging{make(chan struct{}, 1)}
		d.m.UseFetcher(line)
		ended := make(chan error)
		go func() {
			_, err := d.m.Scrub()
			ended <- err
		}()
		<-line.asked
		begin := time.Now()
		for range 50 {
			if d.do(copyLarge()); d.m.Unwritten() > mostUnwritten {
				t.Fatalf("%d bytes are in memory alone, want at most %d", d.m.Unwritten(), mostUnwritten)
			}
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("commands have waited for %v", took)
		}
		if err := <-ended; err == nil {
			t.Error("the run is repaired")
		}
	})
}

// On a full disk commands go on: some of them make room.
func TestCommandsGoOnWhereTheHistoryFindsNoSpace(t *testing.T) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := copying(t, disk, nil)
	d.checkpoint()
	disk.bytes = disk.used()
	for range 50 {
		d.do(copyLarge())
	}
	if err := d.m.Failed(); err != nil {
		t.Fatal(err)
	}
	disk.bytes = 1 << 40
	d.checkpoint()
	for range 50 {
		if d.do(copyLarge()); d.m.Unwritten() > mostUnwritten {
			t.Fatalf("%d bytes are in memory alone, want at most %d", d.m.Unwritten(), mostUnwritten)
		}
	}
}

// A state that was received may go on in the files of this one: nothing is written over it.
func TestAStateThatWasReceivedIsNotWrittenOver(t *testing.T) {
	disk := &smallDisk{crashfs.NewCrashableMem(), 1 << 40}
	d := copying(t, disk, nil)
	d.checkpoint()
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	leader.DoOp(set("large", strings.Repeat("v", copiedBytes)))
	for range 2 {
		leader.DoOp(copyLarge())
	}
	if err := checkpoint(leader, 100); err != nil {
		t.Fatal(err)
	}
	d.m.UseFetcher(from{leader})
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Data.Close()
	if err := d.m.ReceiveState(t.Context(), stream.Position, 0, 0, stream.Data); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		d.do(copyLarge())
	}
	if _, err := d.m.InstallState(stream.Position); err != nil || d.m.Hash() != leader.Hash() {
		t.Errorf("hash %x, want %x: %v", d.m.Hash(), leader.Hash(), err)
	}
	if opened, position := openMachine(t, disk.Mem.CrashClone(crashfs.Crash{})); position.Index != 100 || opened.Hash() != leader.Hash() {
		t.Errorf("opened at %s with hash %x, want 100 and %x", position, opened.Hash(), leader.Hash())
	}
}

// What commands wait for is written in large pieces, also where what was written before could wait.
func TestPiecesOfWhatCommandsWaitForAreLarge(t *testing.T) {
	const most, value = 2 << 20, 100 << 10
	syncs := 0
	d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	disk := crashfs.Inject(d.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData {
			syncs++
		}
		return nil
	}))
	gentle := func(int, int) bool { return true }
	d.m = state.New(state.Config{FS: disk, Dir: "state", Cluster: 7, ID: 1, CacheBytes: -1, MaxUnwritten: most, Pace: gentle})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	put := func() { d.do(set("k", strings.Repeat("v", value))) }
	put()
	d.checkpoint()
	for syncs = 0; syncs == 0 && d.m.Unwritten() < 3*most; {
		put()
	}
	if syncs == 0 || syncs > 2*most>>20+2 {
		t.Errorf("up to %d bytes are written with %d syncs", 2*most, syncs)
	}
}

// A checkpoint rests. Where commands soon wait for it, it does not.
func TestACheckpointDoesNotRestNearTheBound(t *testing.T) {
	for _, near := range []bool{false, true} {
		paces := 0
		pace := func(int, int) bool { paces++; return true }
		d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
		d.m = state.New(state.Config{FS: d.fs, Dir: "state", Cluster: 7, ID: 1, CacheBytes: -1, MaxUnwritten: mostWanted, Pace: pace})
		if _, _, err := d.m.Open(); err != nil {
			t.Fatal(err)
		}
		for d.m.Unwritten() <= mostWanted || near && d.m.Unwritten() <= mostWanted/2*3 {
			d.do(set("k", valueOf(1)))
		}
		if d.checkpoint(); paces > 0 == near {
			t.Errorf("near the bound: %t: a checkpoint rests %d times", near, paces)
		}
	}
}
