package replica_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/replica"
	"balsa.example/internal/wake"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// alone runs a cluster of one in virtual time, with a function that asks it.
func alone(t *testing.T, cfg replica.Config, f func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.ID, cfg.Log, cfg.Transport, cfg.Seed = 1, rsm.NewMemoryStorage(raft.NewConfiguration(1)), nowhere{}, 1
		if cfg.State.FS == nil {
			cfg.State.FS = crashfs.NewMem()
		}
		cfg.State.Dir, cfg.State.RunBytes, cfg.State.CacheBytes = stateDir, 64<<10, -1
		r, err := replica.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		time.Sleep(3 * time.Second) // elected
		f(t, r, func(req *api.Request) *api.Reply {
			t.Helper()
			reply, err := r.Do(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			return reply
		})
	})
}

func set(key string, value []byte) *api.Request {
	return &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte(key), Value: value}
}

// The index stays within its bound, and deletes make room again.
func TestIndexIsBounded(t *testing.T) {
	const most = 1 << 20
	cfg := replica.Config{MaxIndexBytes: most, Retention: state.Retention{Revisions: 1}}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		n, code := 0, api.Reply_OK
		for ; code == api.Reply_OK && n < 1<<20; n++ {
			if n%1000 == 0 {
				time.Sleep(time.Second) // the size is looked at once a second
			}
			code = ask(set(fmt.Sprint("key ", n), nil)).Code
		}
		if size := r.State.Figures().IndexBytes; code != api.Reply_BUSY || size < most/2 || size > 2*most {
			t.Fatalf("put %d: %v; the index has %d bytes", n, code, size)
		}
		for i := range n - 1 {
			req := &api.Request{Kind: api.Request_DELETE, Unconditional: true, Key: fmt.Append(nil, "key ", i)}
			if reply := ask(req); reply.Code != api.Reply_OK {
				t.Fatalf("delete: %v", reply)
			}
		}
		time.Sleep(time.Minute) // compacted, made durable, purged
		if reply := ask(set("again", nil)); reply.Code != api.Reply_OK {
			t.Errorf("after all was deleted: %v; the index has %d bytes", reply, r.State.Figures().IndexBytes)
		}
	})
}

// What is overwritten leaves the disk while the server runs.
func TestSpaceComesBack(t *testing.T) {
	cfg := replica.Config{Retention: state.Retention{Revisions: 100}}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		value := make([]byte, 1000)
		for i := range 10_000 {
			if reply := ask(set(fmt.Sprint(i%200), value)); reply.Code != api.Reply_OK {
				t.Fatal(reply)
			}
			if i%1000 == 0 {
				time.Sleep(20 * time.Second)
			}
		}
		time.Sleep(2 * time.Minute)
		f := r.State.Figures()
		if most := int64(1.5 * 300 * 1100); f.RunBytes > most+128<<10 {
			t.Errorf("the history has %d bytes on disk, for 200 keys and 100 revisions that are kept want at most %d", f.RunBytes, most)
		}
		if f.Versions > 1500 {
			t.Errorf("%d older versions in the index, 100 are kept", f.Versions)
		}
	})
}

// A sync that fails while files are written anew, or while a damaged one is, ends the replica as any other one does. The
// cluster wants nothing of it meanwhile.
func TestAFailedSyncOfUpkeepEndsTheReplica(t *testing.T) {
	damage := harms["a byte is another"]
	for work, give := range map[state.Work]func(t *testing.T, fs *crashfs.Mem, ask func(*api.Request) *api.Reply){
		state.WorkRewrite: func(t *testing.T, _ *crashfs.Mem, ask func(*api.Request) *api.Reply) {
			for i := range 1000 {
				ask(set(fmt.Sprint(i%10), make([]byte, 1000)))
			}
		},
		state.WorkScrub: func(t *testing.T, fs *crashfs.Mem, ask func(*api.Request) *api.Reply) {
			ask(set("key", make([]byte, 1000)))
			ask(set("key", nil))
			time.Sleep(20 * time.Second) // what is forgotten makes a checkpoint due
			if err := damage(fs, stateDir+"/run-1", 200); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(string(work), func(t *testing.T) {
			fs := crashfs.NewMem()
			var busy atomic.Bool
			disk := crashfs.Inject(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if busy.Load() && op.Kind == errorfs.OpFileSyncData {
					return errorfs.ErrInjected
				}
				return nil
			}))
			onWork := func(w state.Work) func(error) {
				busy.Store(w == work)
				return func(error) { busy.Store(false) }
			}
			cfg := replica.Config{Retention: state.Retention{Revisions: 1}, State: state.Config{FS: disk, OnWork: onWork}}
			alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
				give(t, fs, ask)
				time.Sleep(2 * time.Minute)
				if !wake.Closed(r.Node.Done()) {
					t.Fatal("the replica goes on")
				}
				if err := r.Node.Err(); !errors.Is(err, rsm.ErrMachineFailed) || !errors.Is(err, errorfs.ErrInjected) {
					t.Errorf("it ends with %v", err)
				}
			})
		})
	}
}

// A quota is set where there is none, and is in force.
func TestQuotaIsProposedWhereThereIsNone(t *testing.T) {
	const quota = 64 << 10
	alone(t, replica.Config{Quota: quota}, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		time.Sleep(3 * time.Second)
		if set := r.State.Figures().Quota; set != quota {
			t.Errorf("the quota is %d", set)
		}
		code := api.Reply_OK
		for n := 0; code == api.Reply_OK && n < 100; n++ {
			code = ask(set(fmt.Sprint("key ", n), make([]byte, 1<<10))).Code
		}
		if code == api.Reply_OK {
			t.Error("more than the quota was put")
		}
	})
}

// The first write of a new cluster has the quota before it, also when it comes as soon as there is a leader.
func TestQuotaCountsFromBirth(t *testing.T) {
	const quota = 64 << 10
	synctest.Test(t, func(t *testing.T) {
		r, err := replica.New(t.Context(), replica.Config{
			ID: 1, Log: rsm.NewMemoryStorage(raft.NewConfiguration(1)), Transport: nowhere{}, Seed: 1, Quota: quota,
			State: state.Config{FS: crashfs.NewMem(), Dir: stateDir, RunBytes: 64 << 10, CacheBytes: -1},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Stop()
		for {
			reply, err := r.Do(t.Context(), set("key", make([]byte, quota)))
			switch {
			case err != nil:
				t.Fatal(err)
			case reply.Code == api.Reply_WRONG_LEADER:
				time.Sleep(time.Millisecond)
				continue
			case reply.Code != api.Reply_QUOTA:
				t.Errorf("more than the quota: %v", reply)
			}
			return
		}
	})
}
