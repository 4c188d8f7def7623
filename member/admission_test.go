package member

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa.example/raft"
)

func testOthers(n int) []Spec {
	var others []Spec
	for i := range n {
		others = append(others, Spec{ID: raft.NodeID(i + 2), Name: fmt.Sprintf("n%d", i+2)})
	}
	return others
}

// One server with the wrong flags must not end those with the right ones.
func TestAdmissionFailsWhenAMajorityOfTheOthersRefuses(t *testing.T) {
	nobody := func(raft.NodeID) bool { return false }
	for members, fatal := range map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 7: 4} {
		a := &admission{testOthers(members - 1), map[raft.NodeID]string{}}
		for i := range fatal {
			if err := a.verdict(nobody); err != nil {
				t.Errorf("%d members: given up after %d refusals", members, i)
			}
			a.refuse(a.others[i].ID, "no")
			a.refuse(a.others[i].ID, "no") // which counts once
		}
		if err := a.verdict(nobody); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "n2 says: no") {
			t.Errorf("%d members, %d refusals: %v", members, fatal, err)
		}
	}
}

// A member that was refused by mistake, and is admitted later, is not held to the refusal.
func TestARefusalThatWasTakenBackDoesNotCount(t *testing.T) {
	a := &admission{testOthers(2), map[raft.NodeID]string{}}
	a.refuse(2, "no")
	a.refuse(3, "no")
	if err := a.verdict(func(id raft.NodeID) bool { return id == 2 }); err != nil {
		t.Errorf("given up: %v", err)
	}
	if err := a.verdict(func(raft.NodeID) bool { return false }); err != nil {
		t.Errorf("the refusal that was taken back counts again: %v", err)
	}
}
