package replica

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/raft"
)

// leaderlessTimeouts is how many election timeouts a replica may know no leader before those
// who watch with it are told.
const leaderlessTimeouts = 3

// Watches are those who watch with one replica. Run does for the Hub what needs goroutines.
type Watches struct {
	Hub *watch.Hub

	published wake.Signal

	mu         sync.Mutex
	leaderless chan struct{}
}

// NewWatches returns the Watches of a store that is at a revision, with the history from
// compacted on.
func NewWatches(history watch.History, revision, compacted uint64, limits watch.Limits) *Watches {
	w := &Watches{published: wake.New(), leaderless: make(chan struct{})}
	w.Hub = watch.New(history, revision, compacted, limits, w.published.Set)
	return w
}

// watchLimits are those of watches of a store with such limits of requests.
func watchLimits(l kv.Limits) watch.Limits {
	return watch.LimitsFor(cmp.Or(l.MaxValueBytes, kv.DefaultLimits.MaxValueBytes))
}

// leaders tells of leaders. *rsm.Node is one.
type leaders interface {
	AwaitLeaderChange(ctx context.Context, known raft.NodeID) (raft.NodeID, error)
}

// Run matches what is published, and looks after the leader, until ctx ends.
func (w *Watches) Run(ctx context.Context, node leaders, electionTimeout time.Duration) {
	var work sync.WaitGroup
	work.Go(func() { w.match(ctx) })
	w.followLeader(ctx, node, leaderlessTimeouts*electionTimeout)
	work.Wait()
}

func (w *Watches) match(ctx context.Context) {
	for {
		select {
		case <-w.published.C():
			w.Hub.Match()
		case <-ctx.Done():
			return
		}
	}
}

// followLeader closes leaderless when no leader has been known for a time, and makes a new
// one when there is a leader again.
func (w *Watches) followLeader(ctx context.Context, node leaders, patience time.Duration) {
	for known := raft.None; ; {
		waiting, cancel := ctx, func() {}
		if known == raft.None && !wake.Closed(w.Leaderless()) {
			waiting, cancel = context.WithTimeout(ctx, patience)
		}
		leader, err := node.AwaitLeaderChange(waiting, known)
		cancel()
		switch {
		case err == nil:
			known = leader
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			close(w.leaderless)
		default: // the replica has stopped
			return
		}
		if known != raft.None && wake.Closed(w.leaderless) {
			w.mu.Lock()
			w.leaderless = make(chan struct{})
			w.mu.Unlock()
		}
	}
}

// Leaderless returns a channel that is closed when the replica has known no leader for three
// election timeouts.
func (w *Watches) Leaderless() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaderless
}
