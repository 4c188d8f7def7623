package replica_test

import (
	"fmt"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/internal/replica"
	"balsa.example/state"
)

// A file is written anew, and its disk hangs. What is due is asked for all the same: here a compaction.
func TestWhatIsDueDoesNotWaitForTheFiles(t *testing.T) {
	var disk hangingDisk
	cfg := replica.Config{Retention: state.Retention{Revisions: 1}, State: disk.state()}
	alone(t, cfg, func(t *testing.T, r *replica.Replica, ask func(*api.Request) *api.Reply) {
		defer disk.use()()
		put := func(n int) {
			for i := range n {
				ask(set(fmt.Sprint(i%10), make([]byte, 1000)))
			}
		}
		put(1000)
		time.Sleep(time.Minute)
		if !disk.hangs.Load() {
			t.Fatal("no file is written anew")
		}
		put(1000)
		time.Sleep(time.Minute)
		if f := r.State.Figures(); f.Compacted+1 < f.Revision {
			t.Errorf("the history is compacted up to %d of %d while the disk hangs", f.Compacted, f.Revision)
		}
	})
}
