package run

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
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

// What can wait is written and synced in small pieces. It is asked before each of them, since somebody may come to wait.
func TestPiecesOfWhatCanWaitAreSmall(t *testing.T) {
	const values, value = 48, 64 << 10
	const size = values * value
	for name, test := range map[string]struct {
		gentle func(done int) bool
		syncs  int
	}{
		"it can wait":     {func(int) bool { return true }, size / gentlePiece},
		"it can not":      {func(int) bool { return false }, size / pieceBytes},
		"it comes to not": {func(done int) bool { return done < pieceBytes }, pieceBytes/gentlePiece + (size-pieceBytes)/pieceBytes},
	} {
		t.Run(name, func(t *testing.T) {
			syncs, done := 0, 0
			fs := crashfs.Inject(newMem(t), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpFileSyncData {
					syncs++
				}
				return nil
			}))
			h, err := Open(Options{FS: fs, Dir: testDir, Gentle: func() bool { return test.gentle(done) }}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			for mod := uint64(1); mod <= values; mod++ {
				h.Append(&Record{Key: []byte("k"), Value: make([]byte, value), Mod: mod, Create: 1, Version: mod, Last: true})
			}
			_, _, err = h.Flush(context.Background(), h.Mark(), func(bytes int) { done += bytes })
			if err != nil || done < size {
				t.Fatalf("%d bytes are written: %v", done, err)
			}
			// A piece ends early where a part of the memory does.
			if syncs < test.syncs*2/3 || syncs > test.syncs+4 {
				t.Errorf("%d bytes are written with %d syncs, want %d", done, syncs, test.syncs)
			}
		})
	}
}
