package rsmtest_test

import (
	"errors"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/rsm/rsmtest"
	"balsa.example/vfs"
	"balsa.example/wal"
)

func TestMemoryStorage(t *testing.T) {
	disks := map[string]*rsm.MemoryStorage{}
	rsmtest.TestStorage(t, func(dir string, conf raft.Configuration) (rsm.Storage, error) {
		if disks[dir] == nil {
			disks[dir] = rsm.NewMemoryStorage(conf)
		}
		return disks[dir], nil
	})
}

func TestMemoryParts(t *testing.T) {
	disks := map[string]*rsm.MemoryStorage{}
	open := func(dir string, conf raft.Configuration) *rsm.MemoryStorage {
		if disks[dir] == nil {
			disks[dir] = rsm.NewMemoryStorage(conf)
		}
		return disks[dir]
	}
	t.Run("Log", func(t *testing.T) {
		rsmtest.TestLog(t, func(dir string, conf raft.Configuration) (rsm.Log, error) { return open(dir, conf), nil })
	})
	t.Run("Snapshots", func(t *testing.T) {
		rsmtest.TestSnapshots(t, func(dir string, conf raft.Configuration) (rsm.Snapshots, error) { return open(dir, conf), nil })
	})
}

// A member that is started from the bytes of its storage finds all that it saved.
func TestMemoryStorageFromBytes(t *testing.T) {
	disks := map[string]*rsm.MemoryStorage{}
	rsmtest.TestStorage(t, func(dir string, conf raft.Configuration) (rsm.Storage, error) {
		now := rsm.NewMemoryStorage(conf)
		if before := disks[dir]; before != nil {
			b, err := before.MarshalBinary()
			if err != nil {
				return nil, err
			}
			now = new(rsm.MemoryStorage)
			if err := now.UnmarshalBinary(b); err != nil {
				return nil, err
			}
		}
		disks[dir] = now
		return now, nil
	})
}

func TestWAL(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": vfs.OS, "memory": crashfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			open := func(dir string, conf raft.Configuration, opts wal.Options) (*wal.Log, error) {
				opts.FS, opts.SegmentSize = fs, 8<<10
				id := wal.Identity{ClusterID: 1, NodeID: 1}
				if err := wal.Create(dir, opts, id, conf); err != nil && !errors.Is(err, wal.ErrExists) {
					return nil, err
				}
				return wal.Open(dir, opts, id)
			}
			t.Run("Storage", func(t *testing.T) {
				rsmtest.TestStorage(t, func(dir string, conf raft.Configuration) (rsm.Storage, error) {
					return open(dir, conf, wal.Options{})
				})
			})
			t.Run("Log", func(t *testing.T) {
				rsmtest.TestLog(t, func(dir string, conf raft.Configuration) (rsm.Log, error) {
					return open(dir, conf, wal.Options{NoSnapshots: true})
				})
			})
			t.Run("Snapshots", func(t *testing.T) {
				rsmtest.TestSnapshots(t, func(dir string, conf raft.Configuration) (rsm.Snapshots, error) {
					return open(dir, conf, wal.Options{})
				})
			})
		})
	}
}
