package rsm

import (
	"slices"
	"testing"

	"balsa.example/raft"
)

func TestSubmitsEndByPlaceAndTerm(t *testing.T) {
	var s submits[string]
	for _, sub := range []submit[string]{{1, 3, "1/3"}, {1, 4, "1/4"}, {1, 9, "1/9"}, {3, 4, "3/4"}, {3, 5, "3/5"}, {4, 6, "4/6"}} {
		s.add(sub.term, sub.index, sub.waiter)
	}
	for _, step := range []struct {
		index, term uint64
		want        []string
		left        int
	}{
		{2, 1, nil, 6},
		{3, 1, []string{"1/3"}, 5},
		{4, 2, []string{"1/4", "1/9", "3/4"}, 2}, // behind an entry of term 2 none of term 1 comes
		{5, 3, []string{"3/5"}, 1},
		{6, 4, []string{"4/6"}, 0},
		{7, 4, nil, 0},
	} {
		var got []string
		s.committed(raft.Index(step.index), raft.Term(step.term), func(sub submit[string]) { got = append(got, sub.waiter) })
		if !slices.Equal(got, step.want) || s.len() != step.left {
			t.Errorf("the commit of %d/%d ends %q, %d wait; want %q, %d", step.term, step.index, got, s.len(), step.want, step.left)
		}
	}
}

func TestSubmitsAreAddedInAnyOrder(t *testing.T) {
	var s submits[string]
	for _, sub := range []submit[string]{{3, 5, "3/5"}, {1, 4, "1/4"}, {3, 4, "3/4"}, {2, 6, "2/6"}, {1, 3, "1/3"}, {3, 6, "3/6"}, {1, 9, "1/9"}} {
		s.add(sub.term, sub.index, sub.waiter)
	}
	if got, want := s.drain(), []string{"1/3", "1/4", "1/9", "2/6", "3/4", "3/5", "3/6"}; !slices.Equal(got, want) {
		t.Errorf("in order %q, want %q", got, want)
	}
}

// Many who wait from an earlier term cost each commit nothing.
func TestEarlierSubmitsAreNotScanned(t *testing.T) {
	var s submits[int]
	const n = maxWaiting
	for i := range raft.Index(n) {
		s.add(1, i+1, int(i))
	}
	s.add(2, n+1, n)
	looked := 0
	for i := range raft.Index(n) {
		s.committed(i+1, 1, func(submit[int]) { looked++ })
	}
	if looked != n || s.len() != 1 {
		t.Errorf("%d of %d ended, %d wait", looked, n, s.len())
	}
}
