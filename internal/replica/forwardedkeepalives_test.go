package replica

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"balsa.example/rsm"
	"balsa.example/state"
)

// Keep-alives that wait are bounded.
func TestForwardedKeepAlivesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newForwardedKeepAlives(nobody{})
		var busy, ended int
		var mu sync.Mutex
		done := func(_ int64, err error) {
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, rsm.ErrBusy) {
				busy++
			}
			ended++
		}
		f.add(1, done)
		synctest.Wait() // the first is on its way
		for range maxKeepAlives + 5 {
			f.add(1, done)
		}
		if busy != 5 {
			t.Errorf("%d are refused", busy)
		}
		f.stop()
		if ended != maxKeepAlives+6 {
			t.Errorf("%d of %d have ended", ended, maxKeepAlives+6)
		}
	})
}

// nobody leads.
type nobody struct{}

func (nobody) SubmitAnywhere(ctx context.Context, _ state.Command) (r state.Result, e rsm.EntryID, err error) {
	<-ctx.Done()
	return r, e, ctx.Err()
}
