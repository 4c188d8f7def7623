package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa.example/raft"
)

func testOthers(n int) []Member {
	var others []Member
	for i := range n {
		others = append(others, Member{ID: raft.NodeID(i + 2), Name: fmt.Sprintf("n%d", i+2)})
	}
	return others
}

// One server with the wrong flags must not end those with the right ones.
func TestAdmissionFailsWhenAMajorityOfTheOthersRefuses(t *testing.T) {
	for members, fatal := range map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 7: 4} {
		a := &admission{testOthers(members - 1), map[raft.NodeID]string{}}
		for i := range fatal {
			if err := a.verdict(); err != nil {
				t.Errorf("%d members: given up after %d refusals", members, i)
			}
			a.refuse(a.others[i].ID, "no")
			a.refuse(a.others[i].ID, "no") // which counts once
		}
		if err := a.verdict(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "n2 says: no") {
			t.Errorf("%d members, %d refusals: %v", members, fatal, err)
		}
	}
}
