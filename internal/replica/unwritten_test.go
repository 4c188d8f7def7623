package replica_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/vfs"
)

// hungDisk syncs no data until it may.
type hungDisk struct {
	*crashfs.Mem
	goOn chan struct{}
}

func (d *hungDisk) Create(name string) (vfs.File, error) {
	f, err := d.Mem.Create(name)
	return &hungFile{f, d.goOn}, err
}

func (d *hungDisk) OpenReadWrite(name string) (vfs.File, error) {
	f, err := d.Mem.OpenReadWrite(name)
	return &hungFile{f, d.goOn}, err
}

type hungFile struct {
	vfs.File
	goOn chan struct{}
}

func (f *hungFile) SyncData() error {
	<-f.goOn
	return f.File.SyncData()
}

// Writes of a few bytes copy a large value each, and the disk of the state hangs, but not that of the log. They wait
// before the copies fill the memory, and none of them fails.
func TestWritesWaitWhereTheHistoryCannotBeWritten(t *testing.T) {
	const writes, size, most = 200, 10_000, 64 << 10
	synctest.Test(t, func(t *testing.T) {
		disk := &hungDisk{crashfs.NewMem(), make(chan struct{})}
		var waiting, waits atomic.Int64 // as metrics tell them
		onWork := func(w state.Work) func(error) {
			if w != state.WorkFlush {
				return func(error) {}
			}
			waiting.Add(1)
			return func(error) { waiting.Add(-1); waits.Add(1) }
		}
		r, err := replica.New(t.Context(), replica.Config{
			ID: 1, Log: rsm.NewMemoryStorage(raft.NewConfiguration(1)), Transport: nowhere{}, Seed: 1,
			State: state.Config{FS: disk, Dir: stateDir, RunBytes: 16 << 10, CacheBytes: -1, MaxUnwritten: most, OnWork: onWork},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		time.Sleep(3 * time.Second) // elected
		var done, failed atomic.Int64
		write := func(req *api.Request) {
			if reply, err := r.Do(context.Background(), req); err != nil || reply.Code != api.Reply_OK {
				failed.Add(1)
			}
			done.Add(1)
		}
		write(set("large", make([]byte, size)))
		keep := &api.Txn{Then: []*api.TxnOp{{Op: &api.TxnOp_Put{Put: &api.Put{Key: []byte("large"), IgnoreValue: true}}}}}
		for i := range writes {
			go write(&api.Request{Id: uint64(i), Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: keep}})
		}
		time.Sleep(time.Minute)
		if n := done.Load(); n < most/size || n > 3*most/size {
			t.Errorf("%d writes of %d bytes are executed while the disk hangs", n, size)
		}
		if waiting.Load() != 1 || waits.Load() != 0 {
			t.Errorf("%d waits go on, and %d have ended, while the disk hangs", waiting.Load(), waits.Load())
		}
		close(disk.goOn)
		time.Sleep(time.Minute)
		if done.Load() != writes+1 || failed.Load() != 0 {
			t.Errorf("%d of %d writes have ended, %d failed", done.Load(), writes+1, failed.Load())
		}
		if waiting.Load() != 0 || waits.Load() == 0 {
			t.Errorf("%d waits go on, and %d have ended", waiting.Load(), waits.Load())
		}
		if reply, err := r.Do(context.Background(), set("another", nil)); err != nil || reply.Code != api.Reply_OK {
			t.Error(fmt.Sprint(reply), err)
		}
	})
}
