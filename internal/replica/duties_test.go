package replica_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/replica"
	"balsa.example/state"
)

// A file is written anew, and its disk hangs. What is due is asked for all the same: here a compaction.
func TestWhatIsDueDoesNotWaitForTheFiles(t *testing.T) {
	var hangs atomic.Bool
	var goOn chan struct{}
	disk := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if hangs.Load() && op.Kind == errorfs.OpFileSyncData {
			<-goOn
		}
		return nil
	}))
	onWork := func(w state.Work) func(error) {
		hangs.Store(w == state.WorkRewrite)
		return func(error) {}
	}
	cfg := replica.Config{Retention: state.Retention{Revisions: 1}, State: state.Config{FS: disk, OnWork: onWork}}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		goOn = make(chan struct{}) // in the bubble of virtual time
		defer close(goOn)
		put := func(n int) {
			for i := range n {
				ask(set(fmt.Sprint(i%10), make([]byte, 1000)))
			}
		}
		put(1000)
		time.Sleep(time.Minute)
		if !hangs.Load() {
			t.Fatal("no file is written anew")
		}
		put(1000)
		time.Sleep(time.Minute)
		if f := r.State.Figures(); f.Compacted+1 < f.Revision {
			t.Errorf("the history is compacted up to %d of %d while the disk hangs", f.Compacted, f.Revision)
		}
	})
}
