package raft

import "fmt"

// Role is the part that a node plays in its term (Raft paper, figure 4).
type Role uint8

// PreCandidate is the state of asking for pre-votes (thesis 9.6).
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader

	numRoles = 4
)

func (r Role) String() string {
	if r < numRoles {
		return [...]string{"follower", "pre-candidate", "candidate", "leader"}[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Status is a picture of the core at one moment.
type Status struct {
	ID            NodeID
	Role          Role
	Term          Term
	Vote          NodeID
	Leader        NodeID // None if not known
	Transferring  NodeID // whom leadership is being handed to, or None
	LeaderChanges uint64 // since the node started: leaders found, itself included
	Commit        Index
	Applied       Index
	FirstIndex    Index // of the log in memory; LastIndex+1 if it is empty
	LastIndex     Index
	DurableIndex  Index
	Configuration Configuration
	// Peers is what a leader knows of the others; nil on any other role.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of one other member.
type PeerStatus struct {
	ID     NodeID
	State  string // probe, replicate, snapshot or lost (see ErrLostLog)
	Match  Index
	Next   Index
	Active bool // heard from since the last quorum check, or between the two before
}
