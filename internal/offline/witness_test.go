package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/datadir"
	"balsa.example/raft"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// playWitness writes into a directory what a witness does: entries, and now and then a position before which
// they are dropped.
func playWitness(t *testing.T, fs vfs.FS, rounds int) {
	t.Helper()
	dir, err := datadir.Open(datadir.Config{
		Path:  "data",
		Owner: datadir.Owner{ID: 1, Members: []raft.NodeID{1}, NameOf: raft.NodeID.String},
		Log:   wal.Options{FS: fs, SegmentSize: 16 << 10, Inline: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	log, index := dir.Log(), raft.Index(0)
	if _, err := log.Load(raft.SnapshotMeta{}); err != nil {
		t.Fatal(err)
	}
	for range rounds {
		var entries []raft.Entry
		for range 60 {
			index++
			entries = append(entries, raft.Entry{Index: index, Term: 1, Kind: raft.EntryCommand, Data: fmt.Append(nil, "what others execute: ", index)})
		}
		hard := raft.HardState{Term: 1, Vote: 1}
		if err := log.Save([]raft.Persist{{HardState: &hard, Entries: entries}}); err != nil {
			t.Fatal(err)
		}
		position := raft.SnapshotMeta{Index: index - 10, Term: 1, Configuration: raft.NewConfiguration(1)}
		if err := errors.Join(log.SaveSnapshot(position, func(io.Writer) error { return nil }), log.Compact(position.Index)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTheDirectoryOfAWitnessIsValidAfterEachCrash: it has no state, and the log begins behind what was dropped.
func TestTheDirectoryOfAWitnessIsValidAfterEachCrash(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	crashes, random := 0, rand.New(rand.NewPCG(1, 2))
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt {
			return nil
		}
		crashes++
		crash := crashfs.Crash{UnsyncedPercent: crashes % 3 * 50, Rand: random}
		switch r, err := Check(context.Background(), mem.CrashClone(crash), "data", nil); {
		case err != nil && !errors.Is(err, ErrNothing):
			t.Fatalf("crash %d: %v", crashes, err)
		case r != nil && len(r.Problems) > 0:
			t.Fatalf("crash %d: %+v", crashes, r.Problems)
		}
		return nil
	}))
	playWitness(t, fs, 6)
	if crashes < 50 {
		t.Errorf("%d crashes", crashes)
	}
	r, err := Check(context.Background(), mem, "data", nil)
	if err != nil || len(r.Problems) > 0 || !r.Witness || r.State != nil || r.Log.Last != 360 {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestDamageOfAWitnessIsFound(t *testing.T) {
	fs := crashfs.NewMem()
	playWitness(t, fs, 2)
	names, err := fs.List("data/wal")
	if err != nil {
		t.Fatal(err)
	}
	snapshots := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".snap") {
			continue
		}
		snapshots++
		path := "data/wal/" + name
		good, err := vfs.ReadFile(fs, path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1
			replaceFile(t, fs, path, bad)
			if !found(t, fs) {
				t.Errorf("%s: nobody notices another byte at %d", path, i)
			}
		}
		if err := fs.Remove(path); err != nil {
			t.Fatal(err)
		}
		if !found(t, fs) {
			t.Errorf("nobody misses %s", path)
		}
		replaceFile(t, fs, path, good)
	}
	if snapshots != 1 || found(t, fs) {
		t.Errorf("%d positions; damage where there is none: %t", snapshots, found(t, fs))
	}
}

// TestNothingIsRecoveredFromAWitness: what it has dropped would be missing in the new cluster, without a word.
func TestNothingIsRecoveredFromAWitness(t *testing.T) {
	fs := crashfs.NewMem()
	playWitness(t, fs, 1)
	if _, err := Survey(context.Background(), fs, "data", "scratch"); !errors.Is(err, ErrWitness) {
		t.Errorf("%v, want %v", err, ErrWitness)
	}
}
