package run

import (
	"context"
	"testing"
)

// Where nothing is written a pace is called as well: all members compact at the same revision, and compute at the
// same time.
func TestPaceOfWorkThatWritesNothing(t *testing.T) {
	const records = 10_000
	longest := 0 // records between two calls
	since := 0
	pace := func(int) { since = 0 }
	count := func() {
		since++
		longest = max(longest, since)
	}
	h, err := Open(Options{FS: newMem(t), Dir: testDir, RunBytes: records * minRecord}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	for mod := uint64(1); mod <= 2*records; mod++ {
		h.Append(&Record{Key: []byte("k"), Mod: mod, Create: 1, Version: mod, Last: true})
	}
	rests := 0
	infos, _, err := h.Flush(context.Background(), h.Mark(), func(bytes int) {
		if bytes == 0 {
			rests++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !infos[0].Sealed || infos[0].Records < records/10 {
		t.Fatalf("the first run has %d records, sealed: %t", infos[0].Records, infos[0].Sealed)
	}
	if want := int(infos[0].Records) * 2 * recordWork / pacedBytes; rests < want {
		t.Errorf("pace was called %d times for indexes of runs of %d records, want %d", rests, infos[0].Records, want)
	}
	for _, live := range []bool{false, true} {
		longest, since = 0, 0
		rw, err := h.Rewrite(context.Background(), []uint32{infos[0].File}, func(*Record, Ref) bool {
			count()
			return live
		}, pace)
		if err != nil {
			t.Fatal(err)
		}
		if longest == 0 || longest > pacedBytes/recordWork {
			t.Errorf("live: %t: a rewrite looks at %d records without a rest", live, longest)
		}
		if !live {
			rw.Discard()
			continue
		}
		longest, since = 0, 0
		rw.Install(func([]byte, uint64, Ref, Ref) { count() })
		if longest == 0 || longest > pacedBytes/recordWork {
			t.Errorf("the places of %d records change without a rest", longest)
		}
	}
}
