package state_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

func openMachine(t *testing.T, fs vfs.FS) (*state.Machine, raft.SnapshotMeta) {
	t.Helper()
	m := state.New(state.Config{FS: fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1})
	position, _, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	return m, position
}

func set(key, value string) state.Command {
	return state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: []byte(value), Unconditional: true}}
}

func compact(revision uint64) state.Command {
	return state.Command{More: &state.More{Kind: state.KindCompact, Revision: revision}}
}

func TestACheckpointIsWhatOpenFinds(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	m, _ := openMachine(t, fs)
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	var index raft.Index
	for round := range 20 {
		for range 300 {
			key, value := fmt.Sprintf("key %03d", rng.IntN(200)), fmt.Sprint(rng.Uint64())
			if rng.IntN(10) == 0 {
				delete(want, key)
				m.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}})
			} else {
				want[key] = value
				m.DoOp(set(key, value))
			}
			index++
		}
		if round%3 == 1 {
			if r := m.DoOp(compact(m.Revision() - 50)); r.Code != kv.CodeOK {
				t.Fatal(r.Err())
			}
			index++
		}
		if _, err := m.Checkpoint(raft.SnapshotMeta{Index: index, Term: 1})(context.Background()); err != nil {
			t.Fatal(err)
		}
		for {
			more, err := m.Maintain()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
		}
		hash := m.Hash()
		if round%4 == 3 {
			var position raft.SnapshotMeta
			if m, position = openMachine(t, fs); position.Index != index || m.Hash() != hash {
				t.Fatalf("opened at %s with hash %x, want %d and %x", position, m.Hash(), index, hash)
			}
		}
		r, err := m.Range(kv.RangeOp{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Entries) != len(want) || r.Count != int64(len(want)) {
			t.Fatalf("%d keys, want %d", len(r.Entries), len(want))
		}
		for _, e := range r.Entries {
			if want[e.Key] != string(e.Value) {
				t.Fatalf("%s is %s, want %s", e.Key, e.Value, want[e.Key])
			}
		}
	}
	names, _ := fs.List("state")
	t.Log(names, m.Figures())
}
