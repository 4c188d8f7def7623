package state_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
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
		d, disk := littered(t, 1, func(_, times int) bool {
			if rewriting {
				rests = append(rests, times)
				<-goOn
			}
			return true
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

// A checkpoint rests far longer than it works, and the next one less where half as much came meanwhile as it wrote, or where it
// had to hurry in the end.
func TestCheckpointsHurryWhereTheyDoNotKeepUp(t *testing.T) {
	const mib = 1 << 20
	var rests []int
	var f state.Flushes
	for _, flush := range []struct {
		written, left int64
		hurried       bool
	}{
		{50 * mib, 20 * mib, false}, {40 * mib, 20 * mib, false}, {1, 8 * mib, false}, {0, 0, true}, // nothing to hurry for
		{40 * mib, 21 * mib, false}, {1, 9 * mib, false}, {50 * mib, 0, true}, {100 * mib, 200 * mib, false}, {100 * mib, 51 * mib, false},
		{200 * mib, 20 * mib, false}, {200 * mib, 20 * mib, false}, {200 * mib, 20 * mib, false}, {200 * mib, 20 * mib, false},
	} {
		rests = append(rests, f.Next())
		f.Ended(flush.written, flush.left, flush.hurried)
	}
	if want := []int{8, 8, 8, 8, 8, 4, 2, 1, 1, 1, 2, 4, 8}; !slices.Equal(rests, want) {
		t.Errorf("checkpoints rest %v times as long as they work, want %v", rests, want)
	}
}

// More comes while a checkpoint is written than it writes: the next one rests half as long.
func TestACheckpointKnowsWhatCameMeanwhile(t *testing.T) {
	var rests []int
	came := false
	d := &deleting{t: t, fs: crashfs.NewCrashableMem(), position: raft.SnapshotMeta{Term: 1, Configuration: raft.NewConfiguration(1)}}
	d.m = state.New(state.Config{FS: d.fs, Dir: "state", Cluster: 7, ID: 1, CacheBytes: -1, Pace: func(_, times int) bool {
		for i := 0; !came && i < 17; i++ { // MiB
			d.do(set(keyOf(i), strings.Repeat("v", 1<<20)))
		}
		came, rests = true, append(rests, times)
		return true
	}})
	if _, _, err := d.m.Open(); err != nil {
		t.Fatal(err)
	}
	d.do(set("k", "v"))
	d.checkpoint()
	d.checkpoint()
	if rests = slices.Compact(rests); !slices.Equal(rests, []int{8, 4}) {
		t.Errorf("the checkpoints rest %v times as long as they work, want 8 and then 4", rests)
	}
}
