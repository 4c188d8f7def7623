package server

import (
	"fmt"

	"balsa.example/internal/machine"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// variables are those of etcd that /debug/vars has.
func (s *Server) variables() map[string]func() any {
	return map[string]func() any{
		"file_descriptor_limit": func() any { return machine.DescriptorLimit() },
		"raft.status":           s.raftStatus,
	}
}

// raftStatus is the state of consensus in etcd's words. Ids are hexadecimal.
type raftStatus struct {
	ID         string                  `json:"id"`
	Term       uint64                  `json:"term"`
	Vote       string                  `json:"vote"`
	Commit     uint64                  `json:"commit"`
	Lead       string                  `json:"lead"`
	State      string                  `json:"raftState"`
	Applied    uint64                  `json:"applied"`
	Progress   map[string]raftProgress `json:"progress"` // of all members at the leader, of none elsewhere
	Transferee string                  `json:"leadtransferee"`
}

// raftProgress is what the leader knows of a member.
type raftProgress struct {
	Match uint64 `json:"match"`
	Next  uint64 `json:"next"`
	State string `json:"state"`
}

var raftStates = map[raft.Role]string{
	raft.Follower: "StateFollower", raft.PreCandidate: "StatePreCandidate", raft.Candidate: "StateCandidate", raft.Leader: "StateLeader",
}

var raftProgressStates = map[string]string{"probe": "StateProbe", "replicate": "StateReplicate", "snapshot": "StateSnapshot"}

// raftStatus is nil until this server takes part in consensus.
func (s *Server) raftStatus() any {
	n := s.node()
	if n == nil {
		return nil
	}
	return raftStatusOf(n.Status())
}

func raftStatusOf(st rsm.Status) *raftStatus {
	id := func(id raft.NodeID) string { return fmt.Sprintf("%x", uint64(id)) }
	r := &raftStatus{
		ID: id(st.ID), Term: uint64(st.Term), Vote: id(st.Vote), Commit: uint64(st.Commit), Lead: id(st.Leader), State: raftStates[st.Role],
		Applied: uint64(st.Applied), Progress: map[string]raftProgress{}, Transferee: id(st.Transferring),
	}
	if st.Role != raft.Leader {
		return r
	}
	r.Progress[id(st.ID)] = raftProgress{uint64(st.DurableIndex), uint64(st.LastIndex) + 1, raftProgressStates["replicate"]}
	for _, p := range st.Peers {
		state, known := raftProgressStates[p.State]
		if !known {
			state = p.State // which etcd has no word for
		}
		r.Progress[id(p.ID)] = raftProgress{uint64(p.Match), uint64(p.Next), state}
	}
	return r
}
