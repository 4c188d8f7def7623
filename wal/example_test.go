package wal_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"balsa.example/raft"
	"balsa.example/wal"
)

// The log of a new member, and what a restart finds. rsm.Start makes these calls: a program
// that replicates a state machine only makes Create and Open.
func Example() {
	parent, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "member1")

	id := wal.Identity{ClusterID: 7, NodeID: 1}
	if err := wal.Create(dir, wal.Options{}, id, raft.NewConfiguration(1, 2, 3)); err != nil {
		panic(err)
	}
	log := load(dir, id)
	err = log.Save([]raft.Persist{{
		HardState: &raft.HardState{Term: 1, Vote: 1},
		Entries:   []raft.Entry{{Index: 1, Term: 1, Data: []byte("a")}, {Index: 2, Term: 1, Data: []byte("b")}},
	}})
	if err != nil {
		panic(err)
	}
	// A snapshot of the state after entry 1, and so the log may forget that entry.
	meta := raft.SnapshotMeta{Index: 1, Term: 1, Configuration: raft.NewConfiguration(1, 2, 3)}
	err = log.SaveSnapshot(meta, func(w io.Writer) error {
		_, err := io.WriteString(w, "state a")
		return err
	})
	if err != nil {
		panic(err)
	}
	if err := log.Compact(1); err != nil {
		panic(err)
	}
	if err := log.Close(); err != nil {
		panic(err)
	}

	log = load(dir, id)
	defer log.Close()
	// Output:
	// term 0, 0 entries behind snapshot 0: ""
	// term 1, 1 entries behind snapshot 1: "state a"
}

// load opens a log, and prints what it holds.
func load(dir string, id wal.Identity) *wal.Log {
	log, err := wal.Open(dir, wal.Options{}, id)
	if err != nil {
		panic(err)
	}
	meta, snapshot, err := log.OpenSnapshot()
	if err != nil {
		panic(err)
	}
	defer snapshot.Close()
	data, err := io.ReadAll(snapshot)
	if err != nil {
		panic(err)
	}
	state, err := log.Load(meta)
	if err != nil {
		panic(err)
	}
	fmt.Printf("term %d, %d entries behind snapshot %d: %q\n", state.HardState.Term, len(state.Entries), meta.Index, data)
	return log
}

// The log of a state machine that keeps its own durable state: it names its position.
func ExampleLog_Load_noSnapshots() {
	parent, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)

	opts, id := wal.Options{NoSnapshots: true}, wal.Identity{ClusterID: 7, NodeID: 1}
	if err := wal.Create(parent, opts, id, raft.NewConfiguration(1)); err != nil {
		panic(err)
	}
	log, err := wal.Open(parent, opts, id)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	// The machine has executed entry 5 of term 2, and the log has not got so far.
	state, err := log.Load(raft.SnapshotMeta{Index: 5, Term: 2, Configuration: raft.NewConfiguration(1)})
	if err != nil {
		panic(err)
	}
	fmt.Printf("the log goes on behind %d, with %d entries\n", state.Snapshot.Index, len(state.Entries))
	err = log.Save([]raft.Persist{{Entries: []raft.Entry{{Index: 6, Term: 2}}}})
	fmt.Println(err)
	// Output:
	// the log goes on behind 5, with 0 entries
	// <nil>
}
