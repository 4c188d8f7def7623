package replica

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/kv/watch"
	"balsa.example/raft"
)

// changes is a node whose leader changes when a test says so.
type changes chan raft.NodeID

func (c changes) AwaitLeaderChange(ctx context.Context, known raft.NodeID) (raft.NodeID, error) {
	for {
		select {
		case leader := <-c:
			if leader != known {
				return leader, nil
			}
		case <-ctx.Done():
			return raft.None, ctx.Err()
		}
	}
}

func TestReplicaIsLeaderlessAfterThreeElectionTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		w := NewWatches(nil, 1, 0, watch.Limits{})
		leader := make(changes)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx, leader, timeout)
		}()
		expect := func(after time.Duration, want bool) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if wake.Closed(w.Leaderless()) != want {
				t.Errorf("leaderless: %t, want %t", !want, want)
			}
		}
		expect(3*timeout-1, false)
		expect(1, true)
		leader <- 2
		expect(0, false)
		expect(time.Hour, false)
		leader <- raft.None
		expect(2*timeout, false)
		leader <- 3 // in time
		expect(2*timeout, false)
		leader <- raft.None
		expect(3*timeout-1, false)
		expect(1, true)
		expect(time.Hour, true)
		leader <- 1
		expect(0, false)
		cancel()
		<-done
	})
}
