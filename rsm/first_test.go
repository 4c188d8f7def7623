package rsm

import (
	"slices"
	"testing"

	"balsa.example/raft"
)

// A cluster is born, and its first leader commits nothing. The second one has not executed what the first has left in
// its log when operations arrive, its own and forwarded ones. They wait for what it has to say first, and that is said
// once.
func TestFirstWaitsForEarlierTerms(t *testing.T) {
	g := newGroup(t)
	asked := map[raft.NodeID]int{}
	for id, r := range g.replicas {
		r.First = func() []byte {
			if asked[id]++; slices.Contains(g.executed, "first") {
				return nil
			}
			return []byte("first")
		}
	}
	g.filter = loses[*raft.AppendEntriesReply]
	g.elect(1)
	for range g.replicas[3].core.ElectionTimeoutTicks() { // until it would vote again
		g.tick(3)
	}
	g.elect(2)
	if r := g.replicas[2]; r.core.Last() < 2 || r.applied > 0 {
		t.Fatalf("the second leader has a log up to %d, and has executed %d", r.core.Last(), r.applied)
	}
	g.forward(2, "a")
	g.forward(3, "b")
	g.want("a", ErrBusy.Error(), 0)
	g.want("b", ErrBusy.Error(), 0)
	g.filter = nil
	g.settle(2)
	for _, op := range []string{"c", "d"} {
		g.forward(3, op)
		g.settle(2)
		g.want(op, "executed", 1)
	}
	if n := asked[2]; n != 3 {
		t.Errorf("it was asked %d times, want once for a, b and c each", n)
	}
	g.wantOrder("first", "c", "d")

	// Later there is an answer to be waited for again. The operation does not wait.
	said := false
	g.replicas[3].First = func() []byte {
		if said = said || slices.Contains(g.executed, "again"); said {
			return nil
		}
		return []byte("again")
	}
	g.filter = loses[*raft.AppendEntriesReply]
	g.forward(2, "x") // is not executed yet
	for range g.replicas[1].core.ElectionTimeoutTicks() {
		g.tick(1)
	}
	g.elect(3)
	g.forward(3, "e")
	g.filter = nil
	g.settle(3)
	g.want("e", "executed", 1)
	g.forward(3, "f")
	g.settle(3)
	g.wantOrder("first", "c", "d", "x", "e", "again", "f")
}

func (g *group) wantOrder(want ...string) {
	g.t.Helper()
	if got := slices.DeleteFunc(slices.Clone(g.executed), func(op string) bool { return op == "" }); !slices.Equal(got, want) {
		g.t.Errorf("executed %q, want %q", got, want)
	}
}
