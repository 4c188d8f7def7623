package metrics

import (
	"testing"
	"time"
)

func TestTotalsCountSinceTheBeginning(t *testing.T) {
	requests, syncs := NewRequests([]string{"get", "put"}, []string{"ok", "unavailable"}), NewSyncs()
	r := NewRecent(requests, NewCalls(), syncs)
	for kind, codes := range map[int][]int{0: {0, 0, 0}, 1: {0, 1}} {
		for _, code := range codes {
			requests.Kind(kind).Count(code)
		}
	}
	syncs.Observe(150*time.Microsecond, 10)
	syncs.Observe(50*time.Millisecond, 20)
	r.Look(time.UnixMilli(1), 1, "") // which changes nothing of this
	got := r.Totals()
	if got.Reads != 3 || got.Writes != 1 || got.Failed != 1 || got.Syncs != 2 || got.LogBytes != 30 || got.SyncTime.Round(time.Microsecond) != 50150*time.Microsecond {
		t.Errorf("%+v", got)
	}
	last := UpTo{}
	for _, up := range got.SyncTimes {
		if up.Took <= last.Took || up.Count < last.Count {
			t.Errorf("%v after %v", up, last)
		}
		want := uint64(0)
		for _, took := range []time.Duration{150 * time.Microsecond, 50 * time.Millisecond} {
			if took <= up.Took {
				want++
			}
		}
		if last = up; up.Count != want {
			t.Errorf("%d took up to %s, want %d", up.Count, up.Took, want)
		}
	}
	if last.Count != 2 {
		t.Errorf("the last bound is %s", last.Took)
	}
}
