package server

import (
	"errors"
	"fmt"
	"strings"

	"balsa/raft"
)

// ErrNotAdmitted: so many members refuse this server that it can never take part.
var ErrNotAdmitted = errors.New("this server is not admitted to the cluster")

// admission counts who has durably recorded the incarnation of a new data
// directory. A server that was never admitted takes no part in the cluster: it must
// not vote before a majority of the others would notice if it came back with
// another, empty directory.
//
// The schedule that this prevents, with members a, b and c:
//
//  1. a and b acknowledge a write while c is down. A majority has it, so the client
//     is told that it is safe.
//  2. The directory of b is lost, and b starts with an empty one.
//  3. c comes back and b votes for it: both logs lack the write. They are a
//     majority, so c leads, and the write that was safe is gone.
//
// With admission b must first be recorded by both a and c. At least one member of
// any such majority knew b by its old incarnation, and refuses.
type admission struct {
	others   []Member
	recorded map[raft.NodeID]bool
	refused  map[raft.NodeID]string // the reason
}

func newAdmission(others []Member) *admission {
	return &admission{others: others, recorded: make(map[raft.NodeID]bool), refused: make(map[raft.NodeID]string)}
}

// need is how many of the others must have recorded this server: a majority.
func (a *admission) need() int {
	if len(a.others) == 0 {
		return 0
	}
	return len(a.others)/2 + 1
}

// accepted notes that a member has recorded this server, refuse that it has not.
func (a *admission) accepted(by raft.NodeID) {
	a.recorded[by] = true
	delete(a.refused, by)
}

func (a *admission) refuse(by raft.NodeID, reason string) {
	a.refused[by] = reason
	delete(a.recorded, by)
}

func (a *admission) admitted() bool { return len(a.recorded) >= a.need() }

// verdict is ErrNotAdmitted when too many have refused for the rest to suffice.
func (a *admission) verdict(name, dir string) error {
	if len(a.others)-len(a.refused) >= a.need() {
		return nil
	}
	var reasons []string
	for _, m := range a.others {
		if reason, ok := a.refused[m.ID]; ok {
			reasons = append(reasons, fmt.Sprintf("%s says: %s", m.Name, reason))
		}
	}
	return fmt.Errorf("%w: member %s has a new data directory %s, but the others know it by an earlier one, and a member that "+
		"forgot what it promised could lose acknowledged writes; bring back the original directory (%s)",
		ErrNotAdmitted, name, dir, strings.Join(reasons, "; "))
}

// missing names those who have not answered yet, or not well.
func (a *admission) missing() []string {
	var names []string
	for _, m := range a.others {
		if !a.recorded[m.ID] {
			names = append(names, m.Name)
		}
	}
	return names
}
