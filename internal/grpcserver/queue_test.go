package grpcserver

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A queue is a list of which any stream may leave.
func TestQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var q queue
	var want []*stream
	for range 10_000 {
		switch n := random.IntN(5); {
		case n < 2:
			st := new(stream)
			q.add(st)
			want = append(want, st)
		case n == 2 && len(want) > 0:
			if st := q.take(); st != want[0] || st.place.in != nil {
				t.Fatal("another stream was the first")
			}
			want = want[1:]
		case len(want) > 0:
			i := random.IntN(len(want))
			want[i].leave()
			want[i].leave() // it is in none
			want = slices.Delete(slices.Clone(want), i, i+1)
		case q.take() != nil:
			t.Fatal("something is in an empty queue")
		}
		var have []*stream
		for st := q.first; st != nil; st = st.place.next {
			have = append(have, st)
		}
		if !slices.Equal(have, want) || q.empty() != (len(want) == 0) {
			t.Fatalf("%d streams, want %d", len(have), len(want))
		}
	}
}
