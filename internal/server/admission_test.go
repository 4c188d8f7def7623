package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa/raft"
)

func testOthers(n int) []Member {
	var others []Member
	for i := range n {
		others = append(others, Member{ID: raft.NodeID(i + 2), Name: fmt.Sprintf("n%d", i+2)})
	}
	return others
}

func TestAdmissionNeedsAMajorityOfTheOthers(t *testing.T) {
	for members, need := range map[int]int{1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4} {
		a := newAdmission(testOthers(members - 1))
		for i := range need {
			if a.admitted() {
				t.Errorf("%d members: admitted by %d", members, i)
			}
			a.accepted(a.others[i].ID)
			a.accepted(a.others[i].ID) // which counts once
		}
		if !a.admitted() {
			t.Errorf("%d members: not admitted by %d", members, need)
		}
	}
}

func TestAdmissionFailsWhenTooManyRefuse(t *testing.T) {
	for members, fatal := range map[int]int{2: 1, 3: 1, 4: 2, 5: 2, 7: 3} {
		a := newAdmission(testOthers(members - 1))
		for i := range fatal {
			if err := a.verdict("n1", "dir"); err != nil {
				t.Errorf("%d members: given up after %d refusals", members, i)
			}
			a.refuse(a.others[i].ID, "no")
		}
		err := a.verdict("n1", "dir")
		if !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "n2 says: no") {
			t.Errorf("%d members, %d refusals: %v", members, fatal, err)
		}
		a.accepted(a.others[0].ID)
		if err := a.verdict("n1", "dir"); err != nil {
			t.Errorf("%d members: a member that thought better of it still counts: %v", members, err)
		}
	}
}

func TestAdmissionTellsWhomItWaitsFor(t *testing.T) {
	a := newAdmission(testOthers(3))
	a.accepted(3)
	a.refuse(2, "no")
	if got := strings.Join(a.missing(), " "); got != "n2 n4" {
		t.Errorf("it waits for %s", got)
	}
}
