package wal

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
)

// slowSyncs is a disk on which each sync takes a while.
type slowSyncs time.Duration

func (s slowSyncs) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
		time.Sleep(time.Duration(s))
	}
	return nil
}

func (s slowSyncs) String() string { return "slow syncs" }

// A snapshot rests as long as it works, in small steps, unless it is urgent: also when it
// becomes so while it is written.
func TestUrgentSnapshotsDoNotRest(t *testing.T) {
	const sync, size = 10 * time.Millisecond, 8 << 20
	for _, c := range []struct {
		name            string
		from            int // the part from which it is urgent, in MiB
		atLeast, atMost time.Duration
	}{
		{"never urgent", 9, 2 * sync * size / snapshotSyncStep, 2*sync*size/snapshotSyncStep + 10*sync},
		{"urgent in the middle", 4, sync * size / snapshotSyncStep, sync*size/snapshotSyncStep + 10*sync},
		{"urgent from the beginning", 0, sync * size / urgentSyncStep, 10 * sync},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := crashfs.Inject(crashfs.NewMem(), slowSyncs(sync))
				opts, id := Options{FS: fs, SegmentSize: 1 << 10}, Identity{ClusterID: 1, NodeID: 1}
				if err := Create("wal", opts, id, raft.NewConfiguration(1)); err != nil {
					t.Fatal(err)
				}
				l, err := Open("wal", opts, id)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				time.Sleep(time.Second) // the next segment is prepared
				began := time.Now()
				err = l.SaveSnapshot(raft.SnapshotMeta{Index: 1, Term: 1, Configuration: raft.NewConfiguration(1)}, func(w io.Writer) error {
					for i := range size >> 20 {
						l.ExpediteSnapshots(i >= c.from)
						if _, err := w.Write(make([]byte, 1<<20)); err != nil {
							return err
						}
					}
					return nil
				})
				if took := time.Since(began); err != nil || took < c.atLeast || took > c.atMost {
					t.Errorf("it took %v, want %v to %v; %v", took, c.atLeast, c.atMost, err)
				}
			})
		})
	}
}
