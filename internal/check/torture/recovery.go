package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"balsa.example/clerk"
)

// errLost says that a write is missing which a client has observed.
var errLost = errors.New("an acknowledged write is lost")

// resumed waits until a write is acknowledged that was sent after at, and returns how
// long after at that was. It may be called late.
func (l *load) resumed(ctx context.Context, at time.Time, within time.Duration) (time.Duration, error) {
	for ctx.Err() == nil {
		l.mu.Lock()
		// The first one after the fault may have been sent before it, the second one was not.
		i, _ := slices.BinarySearchFunc(l.acked, at, time.Time.Compare)
		took := time.Since(at)
		found := len(l.acked) >= i+2
		if found {
			took = l.acked[i+1].Sub(at)
		}
		l.mu.Unlock()
		switch {
		case took > within:
			return 0, fmt.Errorf("no write was acknowledged within %v", within)
		case found:
			return took, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, ctx.Err()
}

// stalled returns the longest time since at in which no write was acknowledged.
func (l *load) stalled(at time.Time) (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.acked, at, time.Time.Compare)
	for _, t := range append(slices.Clone(l.acked[i:]), time.Now()) {
		longest = max(longest, t.Sub(at))
		at = t
	}
	return longest
}

// verify checks that no key is older than clients have observed it.
func (l *load) verify(ctx context.Context, ck *clerk.Clerk) error {
	l.mu.Lock()
	newest := maps.Clone(l.newest)
	l.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		attempt, cancel := context.WithTimeout(ctx, operationTimeout)
		kv, err := ck.Get(attempt, key)
		cancel()
		want := newest[key]
		switch {
		case err != nil && !errors.Is(err, clerk.ErrNoKey):
			return fmt.Errorf("verify acknowledged writes: %w", err)
		case kv.Version < want.version:
			return fmt.Errorf("%w: %q is at version %d, and was at %d", errLost, key, kv.Version, want.version)
		case kv.Version == want.version && string(kv.Value) != want.value:
			return fmt.Errorf("%w: %q is %.20q at version %d, and was %.20q", errLost, key, kv.Value, kv.Version, want.value)
		}
	}
	return nil
}
