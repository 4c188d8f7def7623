package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/raft"
	"balsa.example/rsm"
)

func TestSuccessorIsAnyoneWhoIsFit(t *testing.T) {
	leader := rsm.Status{Status: raft.Status{Commit: 7, Peers: []raft.PeerStatus{
		{ID: 2, Active: true, Match: 7},
		{ID: 3, Match: 9},
		{ID: 4, Active: true, Match: 8},
		{ID: 5, Active: true, Match: 6},
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

// nowhere is a network with nobody on it.
type nowhere struct{ rsm.Transport }

func (nowhere) Send([]raft.Message) {}

// Only a leader refuses writes for lack of space. From a follower BUSY would keep a client
// that asked it first from ever looking for the leader.
func TestOnlyALeaderIsBusyForLackOfSpace(t *testing.T) {
	for name, test := range map[string]struct {
		members []raft.NodeID
		want    api.Reply_Code
	}{
		"leader":   {[]raft.NodeID{1}, api.Reply_BUSY},
		"follower": {[]raft.NodeID{1, 2, 3}, api.Reply_WRONG_LEADER},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, err := NewReplica(ReplicaConfig{
					ID: 1, Storage: rsm.NewMemoryStorage(raft.NewConfiguration(test.members...)), Transport: nowhere{}, Seed: 1,
					LowSpace: func() bool { return true },
				})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Stop()
				time.Sleep(3 * time.Second) // elected, if that can be
				reply, err := r.Do(context.Background(), &api.Request{Kind: api.Request_PUT, Key: []byte("k")})
				if err != nil || reply.Code != test.want {
					t.Errorf("the answer is %v, %v; want %v", reply, err, test.want)
				}
			})
		})
	}
}
