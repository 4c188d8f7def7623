package server

import (
	"errors"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// A process that was killed may have made the data directory and not synced its name.
func TestDataDirectoryKeepsItsNameAfterAKill(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	if err := mem.MkdirAll("a/data", 0o700); err != nil { // and here it was killed
		t.Fatal(err)
	}
	if err := vfs.MakeDir(mem, "a"); err != nil { // the state that MakeDir leaves: one level unsynced
		t.Fatal(err)
	}
	if err := vfs.MakeDir(mem, "a/data"); err != nil {
		t.Fatal(err)
	}
	lost := mem.CrashClone(crashfs.Crash{})
	if _, err := lost.Stat("a/data"); err != nil {
		t.Errorf("after a power loss: %v", err)
	}
}

// The log of another life of the same member, an empty one maybe, is not this
// directory's: what the ledger's incarnation has promised is not in it.
func TestHomeRefusesTheLogOfAnotherIncarnation(t *testing.T) {
	cluster, err := ParseCluster("t", "n1=http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	mem := crashfs.NewMem()
	cfg := Config{FS: mem, DataDir: "data", Cluster: cluster}
	member := cluster.Members[0]
	h, err := openHome(cfg, member)
	if err != nil {
		t.Fatal(err)
	}
	id := h.ledger.Identity()
	if err := errors.Join(h.close(), mem.RemoveAll("data/wal")); err != nil {
		t.Fatal(err)
	}
	other := wal.Identity{ClusterID: id.ClusterID, NodeID: member.ID, Incarnation: secondLife}
	if err := wal.Create("data/wal", wal.Options{FS: cfg.FS}, other, raft.NewConfiguration(cluster.IDs()...)); err != nil {
		t.Fatal(err)
	}
	if h, err := openHome(cfg, member); !errors.Is(err, ErrDamaged) {
		t.Errorf("an empty log of another incarnation: %v", err)
		if err == nil {
			h.close()
		}
	}
}
