package rsm_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var errDisk = errors.New("the disk is broken")

// brittle is a storage that a snapshot stops: it fails, and so does every Save after it.
type brittle struct {
	*rsm.MemoryStorage
	stopped error
}

func (b *brittle) SaveSnapshot(raft.SnapshotMeta, func(io.Writer) error) error {
	b.stopped = errDisk
	return errDisk
}

func (b *brittle) Save(ps []raft.Persist) error {
	if b.stopped != nil {
		return b.stopped
	}
	return b.MemoryStorage.Save(ps)
}

// A snapshot that stops the storage stops the replica too, although nothing more is to be
// written: a follower that only waits for a snapshot would else refuse each for ever.
func TestReplicaStopsWithItsStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &brittle{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Machine: new(Tally), Codec: Varint{}, Log: storage, Snapshots: storage, Transport: new(Network), MaxRaftState: 1, Seed: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		// It elects itself, and its first entry fills the log. Nothing more is written.
		select {
		case <-n.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("it goes on")
		}
		if !errors.Is(n.Err(), errDisk) {
			t.Errorf("it ended with %v", n.Err())
		}
	})
}
