package roster

import (
	"testing"

	"balsa.example/raft"
)

func TestStanding(t *testing.T) {
	r := Roster{}.With(Member{ID: 1, Incarnation: Incarnation{7}}).With(Member{ID: 2}).With(Member{ID: 3, Incarnation: Incarnation{8}}).Without(3)
	for _, c := range []struct {
		name        string
		id          raft.NodeID
		incarnation Incarnation
		want        Standing
	}{
		{"a member", 1, Incarnation{7}, Admitted},
		{"a member with another directory", 1, Incarnation{9}, Replaced},
		{"a member that has not started", 2, Incarnation{9}, NotStarted},
		{"one that was removed", 3, Incarnation{8}, Unknown},
		{"a stranger", 4, Incarnation{7}, Unknown},
	} {
		if got := r.Standing(c.id, c.incarnation); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
