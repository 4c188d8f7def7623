package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/vfs"
)

// faulty is a member without others that makes checkpoints, compacts and writes runs anew, on a disk on
// which an operation fails.
type faulty struct {
	fs    vfs.FS
	m     *state.Machine
	index raft.Index
	// hashes are those of the states that may be durable, by their index. durable is the last that certainly is.
	hashes  map[raft.Index]uint64
	durable raft.Index
}

// script ends with the first error. Each round leaves garbage, which is written anew.
func (f *faulty) script() error {
	f.m = state.New(state.Config{FS: f.fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 4 << 10, CacheBytes: -1})
	if _, _, err := f.m.Open(); err != nil {
		return err
	}
	f.index, f.hashes = 0, map[raft.Index]uint64{0: f.m.Hash()}
	for round := range 3 {
		for i := range 60 {
			f.do(set(keyOf((round*20+i)%30), valueOf(i)))
		}
		f.do(compact(f.m.Revision()))
		f.hashes[f.index] = f.m.Hash()
		if err := checkpoint(f.m, f.index); err != nil {
			return err
		}
		f.durable = f.index
		for more := true; more; {
			var err error
			if more, err = f.m.Maintain(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *faulty) do(c state.Command) {
	f.m.DoOp(c)
	f.index++
}

// wantDurable opens what a disk has, which must be a state that was durable or was to become so.
func (f *faulty) wantDurable(fs vfs.FS) error {
	m := state.New(state.Config{FS: fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 4 << 10, CacheBytes: -1})
	position, _, err := m.Open()
	if err != nil {
		return err
	}
	defer m.Close()
	if hash, ok := f.hashes[position.Index]; !ok || hash != m.Hash() || position.Index < f.durable {
		return fmt.Errorf("a state at %d with hash %x, want %x, at %d or later", position.Index, m.Hash(), hash, f.durable)
	}
	for i := range 30 {
		if r := m.Get(keyOf(i)); position.Index > 0 && r.Err() != nil {
			return fmt.Errorf("%s: %w", keyOf(i), r.Err())
		}
	}
	return nil
}

// Whichever operation fails, nothing that was durable is lost: not for the next process, and not if the power
// fails with it. Unless a sync failed, the same process goes on.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, forever := range []bool{false, true} {
		for at := 0; ; at++ {
			hits, err := runWithError(at, forever)
			if err != nil {
				t.Fatalf("operation %d fails, forever %t: %v", at, forever, err)
			}
			if hits == 0 {
				if at < 120 {
					t.Errorf("only %d operations", at)
				}
				break
			}
		}
	}
}

// runWithError does the script with an error at one operation, or from there on, and returns how often it came.
func runWithError(at int, forever bool) (hits int, _ error) {
	mem := crashfs.NewCrashableMem()
	n, healed := 0, false
	f := &faulty{fs: crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if n++; healed || n-1 < at || n-1 > at && !forever {
			return nil
		}
		hits++
		return errorfs.ErrInjected
	}))}
	err := f.script()
	healed = true
	switch {
	case err != nil && !errors.Is(err, errorfs.ErrInjected):
		return hits, fmt.Errorf("the error is hidden: %w", err)
	case f.hashes == nil: // it was not opened
		return hits, nil
	}
	for _, percent := range []int{0, 50, 100} { // 100: what the next process finds
		crash := crashfs.Crash{UnsyncedPercent: percent, Rand: rand.New(rand.NewPCG(uint64(at), 1))}
		if err := f.wantDurable(mem.CrashClone(crash)); err != nil {
			return hits, fmt.Errorf("with %d %% of what was not synced: %w", percent, err)
		}
	}
	if err == nil || errors.Is(err, rsm.ErrMachineFailed) {
		return hits, nil
	}
	f.index++
	f.hashes[f.index] = f.m.Hash()
	if _, err := f.m.Checkpoint(raft.SnapshotMeta{Index: f.index, Term: 1})(context.Background()); err != nil {
		return hits, fmt.Errorf("a checkpoint afterwards: %w", err)
	}
	f.durable = f.index
	return hits, f.wantDurable(mem.CrashClone(crashfs.Crash{}))
}

// A process that has no descriptors left for a moment gives a checkpoint up, and makes the next one. Only a sync that
// failed ends it.
func TestACheckpointWithoutDescriptorsIsGivenUp(t *testing.T) {
	for at := 0; ; at++ {
		fs, left := crashfs.NewCrashableMem(), -1
		m, _ := openMachine(t, crashfs.Inject(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpCreate && op.Kind != errorfs.OpOpen && op.Kind != errorfs.OpOpenDir {
				return nil
			}
			if left--; left == 0 {
				return syscall.EMFILE
			}
			return nil
		})))
		m.DoOp(set("key", "value"))
		left = at + 1
		err := checkpoint(m, 1)
		if left > 0 {
			if err != nil || at < 4 {
				t.Errorf("a checkpoint opens %d files: %v", at, err)
			}
			return
		}
		if !errors.Is(err, syscall.EMFILE) || errors.Is(err, rsm.ErrMachineFailed) {
			t.Errorf("no descriptor for file %d: %v", at, err)
		}
		if err := checkpoint(m, 1); err != nil {
			t.Errorf("no descriptor for file %d, the next checkpoint: %v", at, err)
		}
		if opened, position := openMachine(t, fs.CrashClone(crashfs.Crash{})); position.Index != 1 || opened.Hash() != m.Hash() {
			t.Errorf("no descriptor for file %d: opened at %s", at, position)
		}
	}
}

// What cannot be removed takes space, and is told. It does not keep the log from being cut.
func TestACheckpointIsDoneWhereAFileStays(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	if err := vfs.MakeDir(fs, "state"); err != nil {
		t.Fatal(err)
	}
	var m *state.Machine
	if err := vfs.WriteFile(fs, "state/small-90", nil); err != nil {
		t.Fatal(err)
	}
	stays := true
	disk := crashfs.Inject(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if stays && op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, "small-90") {
			return errorfs.ErrInjected
		}
		return nil
	}))
	for range 2 {
		m, _ = openMachine(t, disk)
		m.DoOp(set("key", "value"))
		if err := checkpoint(m, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Maintain(); !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("nobody is told: %v", err)
		}
	}
	stays = false
	if _, err := m.Maintain(); err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat("state/small-90"); err == nil {
		t.Error("it is still there")
	}
}
