package state_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"balsa.example/state"
)

// A rewrite rests far longer than it works while there is not more garbage than before, and hurries more and more while
// there is. Up to some garbage is never a reason to hurry.
func TestRewritesHurryWhereGarbageGrows(t *testing.T) {
	const mib = 1 << 20
	var rests []int
	var l state.Leisure
	for _, size := range []struct{ all, left int64 }{
		{20_000 * mib, 1000 * mib}, // much at the first look, as after the first compaction
		{19_000 * mib, 1000 * mib}, {19_000 * mib, 1000 * mib},
		{19_001 * mib, 1000 * mib}, {19_002 * mib, 1000 * mib}, {19_100 * mib, 1000 * mib}, {19_200 * mib, 1000 * mib},
		{19_100 * mib, 1000 * mib}, {19_200 * mib, 1000 * mib}, {19_000 * mib, 1000 * mib}, {18_000 * mib, 1000 * mib},
		{1465 * mib, 1000 * mib}, {1500 * mib, 1000 * mib}, {1464 * mib, 1000 * mib},
		{64 * mib, 0}, {65 * mib, 0}, {0, 0},
	} {
		rests = append(rests, l.Next(size.all, size.left))
	}
	if want := []int{8, 8, 8, 4, 2, 1, 1, 2, 1, 2, 4, 8, 4, 8, 8, 4, 8}; !slices.Equal(rests, want) {
		t.Errorf("rewrites rest %v times as long as they work, want %v", rests, want)
	}
}

// A rewrite rests long. Once a checkpoint waits for it, it does not.
func TestARewriteThatIsWaitedForHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rests []int
		goOn := make(chan struct{}, 1)
		rewriting := false
		d, disk := littered(t, 1, func(_, times int) {
			if rewriting {
				rests = append(rests, times)
				<-goOn
			}
		})
		disk.bytes = 1 << 40
		rewriting = true
		maintained := make(chan struct{})
		go func() {
			d.maintain()
			close(maintained)
		}()
		synctest.Wait()
		if !slices.Equal(rests, []int{8}) {
			t.Fatalf("the rewrite rests %v times as long as it worked, want 8 times, once until now", rests)
		}
		work, written := d.m.Checkpoint(d.position), make(chan error, 1)
		go func() {
			_, err := work(t.Context())
			written <- err
		}()
		synctest.Wait()
		goOn <- struct{}{}
		synctest.Wait()
		if !slices.Equal(rests, []int{8, 1}) {
			t.Errorf("the rewrite rests %v times as long as it worked, want 8 times, and once while a checkpoint waits", rests)
		}
		close(goOn)
		if err := <-written; err != nil {
			t.Error(err)
		}
		<-maintained
	})
}
