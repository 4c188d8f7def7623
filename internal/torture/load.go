package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"balsa/clerk"
	"balsa/internal/history"
)

// load is clients that read and write some shared keys all the time, and one that
// writes a key of its own and notes when its writes were acknowledged.
type load struct {
	history *history.History
	keys    int
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	acked []time.Time // of the pulse
	bad   error       // an error that no fault explains
}

// startLoad runs clients, each with a Clerk of its own, until stop.
func startLoad(endpoints []string, clients, keys int, pause time.Duration) (*load, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{history: history.New(), keys: keys, cancel: cancel}
	for client := range clients + 1 {
		ck, err := clerk.New(endpoints)
		if err != nil {
			cancel()
			return nil, err
		}
		l.running.Go(func() {
			defer ck.Close()
			if client == 0 {
				l.pulse(ctx, ck)
			} else {
				l.client(ctx, client, ck, pause)
			}
		})
	}
	return l, nil
}

func (l *load) stop() error {
	l.cancel()
	l.running.Wait()
	return l.bad
}

// client repeats: read a key, or write it at the last version seen.
func (l *load) client(ctx context.Context, client int, ck *clerk.Clerk, pause time.Duration) {
	rng := rand.New(rand.NewPCG(uint64(client), 1))
	versions := map[string]uint64{}
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("k%d", rng.IntN(l.keys))
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		var err error
		var kv clerk.KV
		if rng.IntN(2) == 0 {
			kv, err = l.history.Get(attempt, client, ck, key)
		} else {
			kv, err = l.history.Put(attempt, client, ck, key, fmt.Sprintf("%d-%d", client, n), versions[key])
		}
		cancel()
		if err == nil {
			versions[key] = kv.Version
		}
		var mismatch *clerk.VersionError
		if errors.As(err, &mismatch) {
			versions[key] = mismatch.Current
		}
		l.explain(ctx, err)
		sleep(ctx, pause)
	}
}

// pulse writes one key for as long as the load runs: the time from a fault to its
// next acknowledgement is how long writes were away.
func (l *load) pulse(ctx context.Context, ck *clerk.Clerk) {
	version := uint64(0)
	for n := 0; ctx.Err() == nil; n++ {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		kv, err := l.history.Put(attempt, 0, ck, "pulse", fmt.Sprint(n), version)
		if errors.Is(err, clerk.ErrMaybe) || errors.Is(err, clerk.ErrVersion) {
			kv, err = l.history.Get(attempt, 0, ck, "pulse")
			if errors.Is(err, clerk.ErrNoKey) {
				err = nil
			}
		} else if err == nil {
			l.mu.Lock()
			l.acked = append(l.acked, time.Now())
			l.mu.Unlock()
		}
		cancel()
		if err == nil {
			version = kv.Version
		}
		l.explain(ctx, err)
		sleep(ctx, 2*time.Millisecond)
	}
}

// explain notes an error that a fault does not explain. Versions move under the
// clients, fates get lost, and servers go away; nothing else may happen.
func (l *load) explain(ctx context.Context, err error) {
	for _, known := range []error{clerk.ErrVersion, clerk.ErrNoKey, clerk.ErrMaybe, context.DeadlineExceeded, clerk.ErrBusy} {
		if err == nil || ctx.Err() != nil || errors.Is(err, known) {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad == nil {
		l.bad = err
	}
}

// resumed waits until a write is acknowledged that was sent after at, and returns
// how long that took.
func (l *load) resumed(at time.Time, within time.Duration) (time.Duration, error) {
	for time.Since(at) < within {
		l.mu.Lock()
		n := len(l.acked)
		// The first after the fault may have been under way already; the second was not.
		if n > 1 && l.acked[n-2].After(at) {
			i := n - 2
			for i > 0 && l.acked[i-1].After(at) {
				i--
			}
			first := l.acked[min(i+1, n-1)]
			l.mu.Unlock()
			return first.Sub(at), nil
		}
		l.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("no write was acknowledged within %v", within)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
