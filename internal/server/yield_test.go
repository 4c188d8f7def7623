package server

import (
	"testing"

	"balsa.example/raft"
	"balsa.example/rsm"
)

func TestSuccessorIsAnyoneWhoIsFit(t *testing.T) {
	leader := rsm.Status{Status: raft.Status{Commit: 7, Peers: []raft.PeerStatus{
		{ID: 2, Part: raft.Voter, Active: true, Match: 7},
		{ID: 3, Part: raft.Voter, Match: 9},
		{ID: 4, Part: raft.Voter, Active: true, Match: 8},
		{ID: 5, Part: raft.Voter, Active: true, Match: 6},
		{ID: 6, Part: raft.Learner, Active: true, Match: 9},
	}}}
	chosen := map[raft.NodeID]int{}
	for range 100 {
		chosen[successor(leader)]++
	}
	if len(chosen) != 2 || chosen[2] == 0 || chosen[4] == 0 {
		t.Errorf("chosen: %v; 2 and 4 are fit", chosen)
	}
	if got := successor(rsm.Status{}); got != raft.None {
		t.Errorf("nobody is fit, but %s is chosen", got)
	}
}
