package birth

import (
	"testing"

	"balsa.example/raft"
)

func names(ids []raft.NodeID) (s string) {
	for _, id := range ids {
		s += id.String()
	}
	return s
}

func TestAwaitedAreThoseWhoWereNotHeard(t *testing.T) {
	w := newWorld(3, 1)
	n1, n2, n3 := w.dirs[0], w.dirs[1], w.dirs[2]
	check := func(d *Birth, want string) {
		t.Helper()
		if got := names(d.Awaited()); got != want {
			t.Errorf("%s waits for %q, want %q", d.record.Self, got, want)
		}
	}
	check(n1, "n2n3")
	check(n2, "n1n3")
	sound(n1, n2.record)
	check(n1, "n2n3") // n2 is not bound yet
	sound(n2, n1.record)
	check(n2, "n3")
	sound(n1, n2.record)
	check(n1, "n3")
	sound(n3, n1.record)
	sound(n1, n3.record)
	check(n1, "")
}

func TestAClusterOfOneBeginsAtOnce(t *testing.T) {
	b := newWorld(1, 1).dirs[0]
	if !b.Begin(7) || b.record.Certificate.Cluster != 7 {
		t.Errorf("after Begin: %+v", b.record)
	}
	if b.Begin(8) || b.record.Certificate.Cluster != 7 {
		t.Errorf("after another: %+v", b.record)
	}
	if newWorld(2, 1).dirs[0].Begin(7) {
		t.Error("a cluster of two began with one")
	}
}

// Who waits for a lost directory of the founder, and the founder who made a new one, can
// both say so.
func TestAFounderThatWasEmptiedBeforeTheBirth(t *testing.T) {
	w := newWorld(3, lives)
	n1, n2, emptied := w.dirs[0], w.dirs[1], w.dirs[3]
	sound(n2, n1.record)
	if v := sound(n2, emptied.record); v != OtherFounder {
		t.Errorf("n2 says %d", v)
	}
	if v := sound(emptied, n2.record); v != OtherFounder {
		t.Errorf("n1 says %d", v)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	w := newWorld(3, 1)
	for range 3 {
		for _, d := range w.dirs {
			for _, other := range w.dirs {
				if d != other {
					f.Add(AppendRecord(nil, d.record))
					sound(d, other.record)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(1, b)
		if err != nil {
			return
		}
		if again := AppendRecord(nil, r); len(again) != len(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
