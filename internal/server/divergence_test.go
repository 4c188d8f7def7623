package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
)

// TestServerWhoseStateDivergesStopsForGood: its peers go on, and it does not start again.
func TestServerWhoseStateDivergesStopsForGood(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	odd := c.leader()
	replica := c.servers[odd].native.Replica()
	mistake := func(state.Result, error) { // on the goroutine that executes
		replica.State.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: "by mistake", Unconditional: true}})
	}
	replica.Node.SubmitFunc(state.Command{Op: kv.Op{Kind: kv.Put, Key: "a", Value: []byte("1")}}, mistake)
	// What comes of this write is open: the leader may answer with revisions that only its own state has,
	// and from them a Clerk concludes what its attempts can have done.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _ = c.clerk.Put(ctx, "b", []byte("1"), 0)
	c.clerk.Close()
	c.clerk = c.firstClerk()
	select {
	case <-c.servers[odd].Failed():
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if err := c.servers[odd].Err(); !errors.Is(err, rsm.ErrDiverged) {
		t.Errorf("it stops: %v", err)
	}
	for i := range c.servers {
		if i != odd {
			c.awaitPeer(i, odd, func(p *api.Peer) bool { return p.Diverged })
			for _, p := range c.servers[i].sample().Peers {
				if want := p.Name == c.configs[odd].Name; p.Diverged != want {
					t.Errorf("%s has %s as diverged: %t", c.configs[i].Name, p.Name, p.Diverged)
				}
			}
		}
	}
	c.stop(odd)
	if _, err := Start(c.configs[odd]); !errors.Is(err, rsm.ErrDiverged) {
		t.Errorf("it starts again: %v", err)
	}
	c.put("c", "1", 0)
	c.wants("a", "1")
}
