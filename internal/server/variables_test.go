package server

import (
	"encoding/json"
	"testing"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// The words are those of etcd, the figures this server's.
func TestRaftStatusIsThatOfEtcd(t *testing.T) {
	st := raft.Status{ID: 0xab, Term: 3, Vote: 0xab, Leader: 0xcd, Commit: 7, Applied: 6, DurableIndex: 8, LastIndex: 9}
	for role, want := range map[raft.Role]string{
		raft.Follower: `{"id":"ab","term":3,"vote":"ab","commit":7,"lead":"cd","raftState":"StateFollower","applied":6,"progress":{},"leadtransferee":"0"}`,
		raft.Leader: `{"id":"ab","term":3,"vote":"ab","commit":7,"lead":"cd","raftState":"StateLeader","applied":6,"progress":{"ab":{"match":8,"next":10,"state":"StateReplicate"},` +
			`"cd":{"match":5,"next":6,"state":"StateSnapshot"},"ef":{"match":0,"next":1,"state":"lost"}},"leadtransferee":"0"}`,
	} {
		st.Role, st.Peers = role, nil
		if role == raft.Leader {
			st.Peers = []raft.PeerStatus{{ID: 0xcd, State: "snapshot", Match: 5, Next: 6}, {ID: 0xef, State: "lost", Next: 1}}
		}
		if got, err := json.Marshal(raftStatusOf(rsm.Status{Status: st})); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
	for role := range raft.Leader + 1 {
		if raftStates[role] == "" {
			t.Errorf("%s has no name", role)
		}
	}
}
