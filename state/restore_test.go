package state_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
	"balsa.example/vfs"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// imageOf returns the image of the newest checkpoint.
func imageOf(t *testing.T, m *state.Machine) *state.Image {
	t.Helper()
	stream, err := m.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(stream.Data)
	if err = errors.Join(err, stream.Data.Close()); err != nil {
		t.Fatal(err)
	}
	im, err := state.DecodeImage(b, 7)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// restored opens what a new cluster of an image begins with.
func restored(t *testing.T, im *state.Image, from run.Files, revision, moveTo uint64) (*state.Machine, vfs.FS) {
	t.Helper()
	fs := crashfs.NewCrashableMem()
	_, err := im.Restore(context.Background(), from, state.Restoration{FS: fs, Dir: "state", Revision: revision, MoveTo: moveTo})
	if err != nil {
		t.Fatalf("restore revision %d: %v", revision, err)
	}
	return born(t, fs), fs
}

// born opens a restored state as a member of a new cluster.
func born(t *testing.T, fs vfs.FS) *state.Machine {
	t.Helper()
	origin, err := state.OriginOf(fs, "state")
	if err != nil {
		t.Fatal(err)
	}
	m := state.New(state.Config{
		FS: fs, Dir: "state", Cluster: 99, ID: 5, RunBytes: 8 << 10, CacheBytes: -1, Origin: origin, Configuration: raft.NewConfiguration(5, 6),
	})
	position, _, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	if position.Index != 1 || position.Term != 1 || !reflect.DeepEqual(position.Configuration, raft.NewConfiguration(5, 6)) {
		t.Fatalf("restored at %s", position)
	}
	return m
}

// checkDir checks all files of the state of a member that does not run.
func checkDir(t interface{ Fatal(...any) }, fs vfs.FS) {
	state.CheckDir(context.Background(), fs, "state", 7, nil, func(err error) { t.Fatal(err) })
}

func entriesAt(t *testing.T, m *state.Machine, revision uint64) []kv.Entry {
	t.Helper()
	r, err := m.Range(kv.RangeOp{Revision: revision})
	if err != nil {
		t.Fatalf("range at %d: %v", revision, err)
	}
	return r.Entries
}

// history is a machine with a history of keys, deletions, leases and compactions, whose files were
// written anew.
func longHistory(t *testing.T, fs vfs.FS, seed uint64) *state.Machine {
	t.Helper()
	m, _ := openMachine(t, fs)
	rng := rand.New(rand.NewPCG(seed, 2))
	index := raft.Index(0)
	stamp := logtime.Stamp{Log: 1e9, Wall: 1_700_000_000e9}
	do := func(c state.Command) {
		if index++; c.More != nil {
			stamp.Log, stamp.Wall = stamp.Log+1e8, stamp.Wall+1e8
			c.More.Stamp = stamp
		}
		m.DoOp(c)
	}
	for round := range 12 {
		for i := range 200 {
			key := fmt.Sprintf("key %03d", rng.IntN(150))
			switch rng.IntN(10) {
			case 0:
				do(state.Command{Op: kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}})
			case 1:
				do(state.Command{More: &state.More{Kind: state.KindGrant, Lease: int64(round*1000 + i + 1), TTL: 30e9, IsSession: i%2 == 0}})
				put := kv.TxnOp{Put: &kv.PutOp{Key: key, Value: []byte("leased"), Lease: int64(round*1000 + i + 1)}}
				do(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{put}}}})
			case 2:
				do(state.Command{More: &state.More{Kind: state.KindTick}})
			default:
				do(set(key, fmt.Sprint(rng.Uint64())))
			}
		}
		if round == 4 || round == 8 || round == 11 {
			do(compact(m.Revision() - 100 - rng.Uint64N(200)))
		}
		if err := checkpoint(m, index); err != nil {
			t.Fatal(err)
		}
		for more, err := true, error(nil); more; {
			if more, err = m.Maintain(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// TestRestoreBringsBackEachRevision: what is restored is what was there, at the revisions that can be
// read, whatever was compacted and written anew before and after.
func TestRestoreBringsBackEachRevision(t *testing.T) {
	rewritten := 0
	for seed := range uint64(8) {
		fs := crashfs.NewCrashableMem()
		m := longHistory(t, fs, seed)
		im := imageOf(t, m)
		if im.Revision() != m.Revision() || im.Compacted() != m.Compacted() || im.Hash() != m.Hash() {
			t.Fatalf("the image has revisions %d to %d", im.Compacted(), im.Revision())
		}
		for _, info := range im.Runs() {
			if info.Rewritten && info.Last > im.Compacted() {
				rewritten++
			}
		}
		files := run.Files{FS: fs, Dir: "state", Cluster: 7}
		for revision := im.Compacted(); revision < im.Revision(); revision += 23 {
			checkRestored(t, m, im, files, revision)
		}
		checkRestored(t, m, im, files, im.Revision())
	}
	if rewritten == 0 {
		t.Error("no run that is cut was written anew")
	}
}

// checkRestored restores a revision, and compares it with the machine that the image is of.
func checkRestored(t *testing.T, m *state.Machine, im *state.Image, files run.Files, revision uint64) {
	t.Helper()
	want := entriesAt(t, m, revision)
	kept, _ := restored(t, im, files, revision, 0)
	if kept.Revision() != revision || kept.Compacted() != m.Compacted() {
		t.Fatalf("kept revisions %d to %d", kept.Compacted(), kept.Revision())
	}
	moved, _ := restored(t, im, files, revision, 1_000_000)
	if moved.Revision() != 1_000_000 || moved.Compacted() != 1_000_000 {
		t.Fatalf("moved on to revisions %d to %d", moved.Compacted(), moved.Revision())
	}
	for _, machine := range []*state.Machine{kept, moved} {
		if got := entriesAt(t, machine, 0); !reflect.DeepEqual(got, want) {
			t.Fatalf("at %d: %d entries, want %d", revision, len(got), len(want))
		}
	}
	if before := (revision + im.Compacted()) / 2; !reflect.DeepEqual(entriesAt(t, kept, before), entriesAt(t, m, before)) {
		t.Fatalf("restored at %d: other entries at %d", revision, before)
	}
	checkLeases(t, moved, want)
}

// checkLeases compares the leases with the keys that hang on them.
func checkLeases(t *testing.T, m *state.Machine, entries []kv.Entry) {
	t.Helper()
	want, got := map[string]int64{}, map[string]int64{}
	for _, e := range entries {
		if e.Lease != 0 {
			want[e.Key] = e.Lease
		}
	}
	for _, id := range m.Leases() {
		info, keys, _ := m.Lease(id, true)
		if info.Session || info.Remaining != info.TTL || info.TTL != 30e9 && info.TTL != 60e9 {
			t.Errorf("lease %d: %+v", id, info)
		}
		for _, key := range keys {
			got[key] = id
		}
	}
	if !maps.Equal(want, got) {
		t.Errorf("leases of keys %v, want %v", got, want)
	}
}

// A restored state goes on: it takes writes, is checkpointed, opened again, tidied up, and received by a
// member that has nothing.
func TestARestoredStateGoesOn(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	im := imageOf(t, longHistory(t, fs, 2))
	m, disk := restored(t, im, run.Files{FS: fs, Dir: "state", Cluster: 7}, im.Revision()-20, 1_000_000)
	index := raft.Index(1)
	for i := range 2000 {
		index++
		if r := m.DoOp(set(fmt.Sprintf("key %03d", i%150), fmt.Sprint("new ", i))); r.Code != kv.CodeOK || r.Revision != uint64(1_000_001+i) {
			t.Fatalf("%d: %v", i, r)
		}
	}
	index++
	m.DoOp(compact(m.Revision() - 10))
	if err := checkpoint(m, index); err != nil {
		t.Fatal(err)
	}
	for more, err := true, error(nil); more; {
		if more, err = m.Maintain(); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkpoint(m, index); err != nil {
		t.Fatal(err)
	}
	again := state.New(state.Config{FS: disk, Dir: "state", Cluster: 99, ID: 5})
	if _, _, err := again.Open(); err != nil || again.Hash() != m.Hash() {
		t.Fatalf("opened again: %v", err)
	}
	if _, err := disk.Stat("state/RESTORED"); err == nil {
		t.Error("RESTORED is still there")
	}
	joined := state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 99, ID: 6})
	if _, _, err := joined.Open(); err != nil {
		t.Fatal(err)
	}
	joined.UseFetcher(from{m})
	stream, err := m.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	if err := joined.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil {
		t.Fatal(err)
	}
	if _, err := joined.InstallState(stream.Position); err != nil || joined.Hash() != m.Hash() {
		t.Errorf("received: %v", err)
	}
}

// All who restore the same have the same origin, and a state with another one is refused, as is one
// that is missing.
func TestMembersBeginWithTheSameRestoredState(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	im := imageOf(t, longHistory(t, fs, 3))
	files := run.Files{FS: fs, Dir: "state", Cluster: 7}
	origins := map[state.Origin]int{}
	for _, revision := range []uint64{im.Revision(), im.Revision(), im.Revision() - 1} {
		disk := crashfs.NewCrashableMem()
		if _, err := im.Restore(context.Background(), files, state.Restoration{FS: disk, Dir: "state", Revision: revision, MoveTo: 1e6}); err != nil {
			t.Fatal(err)
		}
		origin, err := state.OriginOf(disk, "state")
		if err != nil || origin == (state.Origin{}) {
			t.Fatalf("origin %x: %v", origin, err)
		}
		origins[origin]++
		for _, other := range []state.Origin{{}, {1}} {
			m := state.New(state.Config{FS: disk, Dir: "state", Cluster: 99, ID: 5, Origin: other, Configuration: raft.NewConfiguration(5)})
			if _, _, err := m.Open(); err == nil {
				t.Errorf("opened with origin %x", other)
			}
		}
	}
	if len(origins) != 2 {
		t.Errorf("origins %x", origins)
	}
	empty := state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 99, ID: 5, Origin: state.Origin{1}})
	if _, _, err := empty.Open(); err == nil {
		t.Error("an empty directory was opened for a cluster that began with a restored state")
	}
}

// A process that is killed while it makes the first manifest makes it at the next start.
func TestAdoptionSurvivesCrashes(t *testing.T) {
	source := crashfs.NewCrashableMem()
	im := imageOf(t, longHistory(t, source, 4))
	files := run.Files{FS: source, Dir: "state", Cluster: 7}
	mem := crashfs.NewCrashableMem()
	if _, err := im.Restore(context.Background(), files, state.Restoration{FS: mem, Dir: "state", Revision: im.Revision(), MoveTo: 1e6}); err != nil {
		t.Fatal(err)
	}
	want := entriesAt(t, born(t, mem.CrashClone(crashfs.Crash{})), 0)
	origin, err := state.OriginOf(mem, "state")
	if err != nil {
		t.Fatal(err)
	}
	crashes := 0
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(errorfs.Op) error {
		crashed := mem.CrashClone(crashfs.Crash{})
		crashes++
		m := state.New(state.Config{FS: crashed, Dir: "state", Cluster: 99, ID: 5, Origin: origin, Configuration: raft.NewConfiguration(5)})
		if position, _, err := m.Open(); err != nil || position.Index != 1 {
			t.Fatalf("crash %d: at %s: %v", crashes, position, err)
		}
		if got := entriesAt(t, m, 0); !reflect.DeepEqual(got, want) {
			t.Fatalf("crash %d: other entries", crashes)
		}
		return nil
	}))
	m := state.New(state.Config{FS: fs, Dir: "state", Cluster: 99, ID: 5, Origin: origin, Configuration: raft.NewConfiguration(5)})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	if crashes < 10 {
		t.Errorf("%d crashes", crashes)
	}
}

// TestWatchersOfARestoredStateBeginAtItsRevision: that is the lowest that a watcher can begin at, so whoever was told
// so does. It has no events, and what follows comes in order.
func TestWatchersOfARestoredStateBeginAtItsRevision(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	im := imageOf(t, longHistory(t, fs, 5))
	for _, writes := range []uint64{0, 1, 40} {
		m, _ := restored(t, im, run.Files{FS: fs, Dir: "state", Cluster: 7}, im.Revision(), 1_000_000)
		for range writes {
			m.DoOp(set("key", "value"))
		}
		hub := watch.New(m, m.Revision(), m.Compacted(), watch.Limits{PieceBytes: 1000}, func() {})
		stream := hub.NewStream(watch.NativeFace, func() {})
		if err := stream.Watch(watch.Request{ID: 1, Revision: m.Compacted()}); err != nil {
			t.Fatal(err)
		}
		next := m.Compacted() + 1
		for out, ok := stream.Next(1); ok; out, ok = stream.Next(1) {
			if out.Kind == watch.Canceled {
				t.Fatalf("after %d writes: %v", writes, out.Err)
			}
			for _, b := range out.Batches {
				if b.Revision != next {
					t.Fatalf("after %d writes: revision %d, want %d", writes, b.Revision, next)
				}
				next++
			}
		}
		if next != m.Revision()+1 {
			t.Errorf("after %d writes: up to %d, want %d", writes, next-1, m.Revision())
		}
	}
}

// TestACheckpointThatIsWantedSatisfies also where nothing was written yet: a member has compared its history with that of a
// store that is empty, or was restored.
func TestACheckpointThatIsWantedSatisfies(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	im := imageOf(t, longHistory(t, fs, 6))
	after, _ := restored(t, im, run.Files{FS: fs, Dir: "state", Cluster: 7}, im.Revision(), 1_000_000)
	empty, _ := openMachine(t, crashfs.NewCrashableMem())
	for _, m := range []*state.Machine{after, empty} {
		if err := checkpoint(m, 2); err != nil {
			t.Fatal(err)
		}
		asked, err := m.OpenFile([]byte("state"), 0)
		if err == nil {
			err = errors.Join(asked.Close(), checkpoint(m, 3))
		}
		if err != nil || m.CheckpointWanted() {
			t.Errorf("at revision %d: wanted again: %t, %v", m.Revision(), m.CheckpointWanted(), err)
		}
	}
}

func filesOf(fs vfs.FS) run.Files { return run.Files{FS: fs, Dir: "state", Cluster: 7} }
