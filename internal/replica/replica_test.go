package replica_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

func TestDoEndsWithItsContext(t *testing.T) {
	h, node := nodetest.New()
	node.Hold = true
	r := &replica.Replica{Handler: h}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Do(ctx, &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// nowhere is a network without other members.
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
				r, err := replica.New(t.Context(), replica.Config{
					ID: 1, Log: rsm.NewMemoryStorage(raft.NewConfiguration(test.members...)), Transport: nowhere{}, Seed: 1,
					State:    state.Config{FS: crashfs.NewMem(), Dir: stateDir},
					LowSpace: func() bool { return true },
				})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Stop()
				time.Sleep(3 * time.Second) // elected, if that can be
				reply, err := r.Do(context.Background(), &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")})
				if err != nil || reply.Code != test.want {
					t.Errorf("the answer is %v, %v; want %v", reply, err, test.want)
				}
			})
		})
	}
}
