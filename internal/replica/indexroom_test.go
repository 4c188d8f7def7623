package replica_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/state"
)

// The index stays within its bound while files are written anew on a disk that hangs.
func TestIndexIsBoundedWhileTheDiskHangs(t *testing.T) {
	const most = 1 << 20
	var disk hangingDisk
	cfg := replica.Config{MaxIndexBytes: most, Retention: state.Retention{Revisions: 1}, State: disk.state()}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		defer disk.use()()
		for i := range 1000 {
			ask(set(fmt.Sprint(i%10), make([]byte, 1000)))
		}
		time.Sleep(time.Minute)
		if !disk.hangs.Load() {
			t.Fatal("no file is written anew")
		}
		code := api.Reply_OK
		for n := 0; code == api.Reply_OK && n < 1<<17; n++ {
			if n%1000 == 0 {
				time.Sleep(time.Second) // it is looked at once a second
			}
			code = ask(set(fmt.Sprint("key ", n), nil)).Code
		}
		if size := r.State.Figures().IndexBytes; code != api.Reply_BUSY || size > 2*most {
			t.Errorf("the last put: %v; the index has %d bytes", code, size)
		}
	})
}

// hangingDisk is one that hangs while a file of the history is written anew.
type hangingDisk struct {
	hangs atomic.Bool
	goOn  chan struct{}
}

func (d *hangingDisk) state() state.Config {
	return state.Config{
		FS: crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if d.hangs.Load() && op.Kind == errorfs.OpFileSyncData {
				<-d.goOn
			}
			return nil
		})),
		OnWork: func(w state.Work) func(error) {
			d.hangs.Store(w == state.WorkRewrite)
			return func(error) {}
		},
	}
}

// use is called in the bubble of virtual time. The disk goes on when the result is called.
func (d *hangingDisk) use() (goOn func()) {
	d.goOn = make(chan struct{})
	return func() { close(d.goOn) }
}

// Keys are refused before the index has no place for them, which would end all servers, and again at each start.
func TestKeysAreRefusedBeforeTheIndexHasNoPlace(t *testing.T) {
	const most = 200
	defer replica.SetMostPlaces(float64(most) / (1 << 20))()
	cfg := replica.Config{Retention: state.Retention{Revisions: 1}}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		key := func(n int) string { return fmt.Sprint(n) + strings.Repeat("k", 4<<10) }
		n, code := 0, api.Reply_OK
		for ; code == api.Reply_OK && n < 10*most; n++ {
			if n%10 == 0 {
				time.Sleep(time.Second) // it is looked at once a second
			}
			code = ask(set(key(n), nil)).Code
		}
		if code != api.Reply_BUSY || n < most/2 || n > 2*most {
			t.Fatalf("put %d: %v", n, code)
		}
		for i := range n - 1 {
			req := &api.Request{Kind: api.Request_DELETE, Unconditional: true, Key: []byte(key(i))}
			if reply := ask(req); reply.Code != api.Reply_OK {
				t.Fatalf("delete: %v", reply)
			}
		}
		time.Sleep(time.Minute) // compacted, made durable, purged
		if reply := ask(set("again", nil)); reply.Code != api.Reply_OK {
			t.Errorf("after all was deleted: %v", reply)
		}
	})
}

// A server that has not the memory for the index of another state beside its own sends readers away while it takes that.
func TestReadersAreSentAwayWhereTwoIndexesDoNotFit(t *testing.T) {
	peersInBubble(t, func(t *testing.T, c *cluster, leader, behind raft.NodeID) {
		for i := range 300 {
			c.mustPutFast(leader, fmt.Sprint("key ", i))
		}
		c.converge()
		c.maxIndex = c.server(behind).replica.State.Figures().IndexBytes * 5 / 4
		c.stop(behind)
		for i := range 30 {
			c.mustPutFast(leader, fmt.Sprint("key ", i))
		}
		get := func() api.Reply_Code {
			req := &api.Request{Kind: api.Request_GET, Consistency: api.Request_LOCAL, Key: []byte("key 100")}
			reply, err := c.server(behind).replica.Do(t.Context(), req)
			if err != nil {
				t.Error(err)
			}
			return reply.GetCode()
		}
		codes := make(chan api.Reply_Code, 100)
		c.gently = func(id raft.NodeID, f func()) {
			codes <- get()
			f()
		}
		c.start(behind)
		c.fresh(behind)
		received, installed := <-codes, <-codes
		if received != api.Reply_OK || installed != api.Reply_UNAVAILABLE || get() != api.Reply_OK {
			t.Errorf("a local read is answered by %s as the state comes, and by %s as it is installed", received, installed)
		}
	})
}
