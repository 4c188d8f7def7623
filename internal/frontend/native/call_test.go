package native

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/frontend/clients"
	"balsa.example/raft"
)

// nativeClient connects to a server as a client that knows the .proto, and nothing else.
func (c *network) nativeClient(n int) (kv api.KVClient, done func()) {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addressOf(n), grpc.WithContextDialer(c.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	return api.NewKVClient(conn), func() { conn.Close() }
}

// withCalls runs a test against three servers, of which one leads.
func withCalls(t *testing.T, limits clients.Limits, test func(ctx context.Context, c *network, leader int)) {
	synctest.Test(t, func(t *testing.T) {
		c := newNetworkWith(t, limits)
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		test(ctx, c, int(c.leader().cfg.Hello.NodeId))
	})
}

// One call is one request of any kind, and has its reply.
func TestCall(t *testing.T) {
	withCalls(t, clients.Limits{}, func(ctx context.Context, c *network, leader int) {
		kv, done := c.nativeClient(leader)
		defer done()
		call := func(req *api.Request) *api.Reply {
			t.Helper()
			r, err := kv.Call(ctx, req)
			if err != nil || r.Id != req.Id {
				t.Fatalf("%v: %v, %v", req.Kind, r, err)
			}
			return r
		}
		large := bytes.Repeat([]byte("v"), 600<<10)
		for id, key := range []string{"a1", "a2"} {
			if r := call(&api.Request{Id: uint64(id), Kind: api.Request_PUT, Key: []byte(key), Value: large, Unconditional: true}); r.Code != api.Reply_OK || r.Version != 1 {
				t.Errorf("put: %v %s", r.Code, r.Message)
			}
		}
		if r := call(&api.Request{Kind: api.Request_GET, Key: []byte("a1")}); !bytes.Equal(r.Value, large) {
			t.Errorf("get: %v %s, %d bytes", r.Code, r.Message, len(r.Value))
		}
		r := call(&api.Request{Kind: api.Request_RANGE, Call: rangeCall("a", "b")}).GetRange()
		if r.GetCount() != 2 || len(r.GetEntries()) != 2 || !bytes.Equal(r.Entries[1].Value, large) {
			t.Errorf("range: %d of %d entries", len(r.GetEntries()), r.GetCount())
		}
		if r := call(&api.Request{Kind: api.Request_TXN, Call: txn(put("a3", 0, false))}); !r.GetTxn().GetSucceeded() {
			t.Errorf("transaction: %v %s", r.Code, r.Message)
		}
		if r := call(&api.Request{Kind: api.Request_PUT, Key: []byte("a1"), Version: 7}); r.Code != api.Reply_VERSION_MISMATCH || r.Version != 1 {
			t.Errorf("put at another version: %v %s", r.Code, r.Message)
		}
		if r := call(&api.Request{}); r.Code != api.Reply_INVALID {
			t.Errorf("nothing: %v %s", r.Code, r.Message)
		}
	})
}

// A server that does not lead names the one that does, and answers reads. One that stops refuses.
func TestCallsElsewhere(t *testing.T) {
	withCalls(t, clients.Limits{}, func(ctx context.Context, c *network, leader int) {
		follower := leader%3 + 1
		kv, done := c.nativeClient(follower)
		defer done()
		r, err := kv.Call(ctx, &api.Request{Kind: api.Request_PUT, Key: []byte("a"), Unconditional: true})
		if err != nil || r.Code != api.Reply_WRONG_LEADER || fmt.Sprint(r.Leader.GetClientUrls()) != "[http://"+addressOf(leader)+"]" {
			t.Errorf("put: %v, %v", r, err)
		}
		r, err = kv.Call(ctx, &api.Request{Kind: api.Request_GET, Key: []byte("a"), Consistency: api.Request_LOCAL})
		if err != nil || r.Code != api.Reply_NO_KEY {
			t.Errorf("get: %v, %v", r, err)
		}
		c.servers[follower-1].Drain()
		r, err = kv.Call(ctx, &api.Request{Kind: api.Request_GET, Key: []byte("a")})
		if err == nil && r.Code != api.Reply_UNAVAILABLE || err != nil && status.Code(err) != codes.Unavailable {
			t.Errorf("get of a server that stops: %v, %v", r, err)
		}
	})
}

// Calls that nobody can answer are within the bounds of all requests, and those that are given up
// leave nothing.
func TestCallsAreBounded(t *testing.T) {
	const most = 1000
	withCalls(t, clients.Limits{Requests: most}, func(ctx context.Context, c *network, leader int) {
		c.net.Partition([]raft.NodeID{1}, []raft.NodeID{2}, []raft.NodeID{3})
		kv, done := c.nativeClient(leader)
		defer done()
		ctx, cancel := context.WithCancel(ctx)
		busy, ended := make(chan struct{}, 2*most), make(chan struct{}, 2*most)
		for range 2 * most {
			go func() {
				r, err := kv.Call(ctx, &api.Request{Kind: api.Request_PUT, Key: []byte("a"), Unconditional: true})
				if err == nil && r.Code == api.Reply_BUSY {
					busy <- struct{}{}
				}
				ended <- struct{}{}
			}()
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := c.servers[leader-1].figures().Requests; n > most || n == 0 {
			t.Errorf("%d requests are in progress, the bound is %d", n, most)
		}
		if len(busy) == 0 {
			t.Error("none of the others was refused")
		}
		cancel()
		for range 2 * most {
			<-ended
		}
		c.net.Heal()
		time.Sleep(3 * time.Second) // whatever waited is answered
		synctest.Wait()
		c.idle()
	})
}

// TestRightsOfCalls: a call has the rights of its request. Rows are those of TestRightsOfEveryRequest.
func TestRightsOfCalls(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, _ *clerk.Clerk) {
		kv, done := c.nativeClient(int(c.leader().cfg.Hello.NodeId))
		defer done()
		tokens := map[string]context.Context{}
		for _, name := range []string{"reader", "writer", "both", "root"} {
			r, err := kv.Authenticate(ctx, &api.AuthenticateRequest{User: name, Password: name})
			if err != nil {
				t.Fatal(err)
			}
			tokens[name] = metadata.AppendToOutgoingContext(ctx, "token", r.Token)
		}
		for _, row := range nativeRights {
			for i, name := range []string{"reader", "writer", "both", "root"} {
				r, err := kv.Call(tokens[name], row.req)
				if err != nil || (r.Code == api.Reply_PERMISSION_DENIED) != (row.rights[i] == 'd') {
					t.Errorf("%v as %s: %v, %v, want %c", row.req, name, r, err, row.rights[i])
				}
			}
			if r, err := kv.Call(ctx, row.req); err != nil || r.Code != api.Reply_UNAUTHENTICATED {
				t.Errorf("%v as nobody: %v, %v", row.req, r, err)
			}
		}
		wrong := metadata.AppendToOutgoingContext(ctx, "token", "wrong")
		if r, err := kv.Call(wrong, nativeRights[0].req); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with a wrong token: %v, %v", r, err)
		}
	})
}
