package translate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// ask returns the one reply to req, which a nodetest.Node gives at once.
func ask(t *testing.T, h translate.Handler, req *api.Request) (reply *api.Reply) {
	t.Helper()
	req.Id = 7
	replies := 0
	h.Handle(req, func(r *api.Reply) { reply, replies = r, replies+1 })
	if replies != 1 {
		t.Fatalf("%d replies to one request", replies)
	}
	if reply.Id != 7 {
		t.Errorf("reply to request 7 has id %d", reply.Id)
	}
	whole, err := reply.Whole()
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func TestHandlerExecutes(t *testing.T) {
	h, _ := nodetest.New()
	put := func(version uint64, unconditional bool) *api.Request {
		return &api.Request{Kind: api.Request_PUT, Key: []byte("k"), Value: []byte("v"), Version: version, Unconditional: unconditional}
	}
	get := &api.Request{Kind: api.Request_GET, Key: []byte("k")}
	remove := func(version uint64) *api.Request {
		return &api.Request{Kind: api.Request_DELETE, Key: []byte("k"), Version: version}
	}
	unchanged := func(since uint64) *api.Request {
		req := put(0, false)
		req.UnchangedSince = since
		return req
	}
	unchangedSince := func(revision uint64) *api.Request {
		return &api.Request{Kind: api.Request_PUT, Key: []byte("k"), Version: 3, UnchangedSince: revision}
	}
	first := func(version, since uint64) *api.Request {
		req := put(version, false)
		req.UnchangedSince, req.Attempt = since, api.Request_FIRST
		return req
	}
	for i, step := range []struct {
		req  *api.Request
		want *api.Reply
	}{
		{get, &api.Reply{Code: api.Reply_NO_KEY, Revision: 1}},
		{put(1, false), &api.Reply{Code: api.Reply_NO_KEY, Revision: 1}},
		{put(0, false), &api.Reply{Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2}},
		{put(0, false), &api.Reply{Code: api.Reply_VERSION_MISMATCH, Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2}},
		{put(1, false), &api.Reply{Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3}},
		{put(0, true), &api.Reply{Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
		{get, &api.Reply{Value: []byte("v"), Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
		{remove(2), &api.Reply{Code: api.Reply_VERSION_MISMATCH, Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
		{unchangedSince(3), &api.Reply{Code: api.Reply_CHANGED, Version: 3, CreateRevision: 2, ModRevision: 4, Revision: 4}},
		{remove(3), &api.Reply{Revision: 5}},
		{remove(3), &api.Reply{Code: api.Reply_NO_KEY, Revision: 5, DeleteRevision: 5}},
		{unchanged(4), &api.Reply{Code: api.Reply_CHANGED, Revision: 5, DeleteRevision: 5}},
		{unchanged(5), &api.Reply{Version: 1, CreateRevision: 6, ModRevision: 6, Revision: 6}},
		{first(1, 2), &api.Reply{Version: 2, CreateRevision: 6, ModRevision: 7, Revision: 7}},
	} {
		step.want.Id = 7
		if got := ask(t, h, step.req); !proto.Equal(got, step.want) {
			t.Errorf("step %d: %v\n got %v\nwant %v", i, step.req, got, step.want)
		}
	}
}

func TestHandlerTellsTheFate(t *testing.T) {
	elsewhere := &rsm.NotLeaderError{Leader: 2}
	for _, test := range []struct {
		err         error
		write, read api.Reply_Code
	}{
		{elsewhere, api.Reply_WRONG_LEADER, api.Reply_WRONG_LEADER},
		{rsm.ErrWrongLeader, api.Reply_WRONG_LEADER, api.Reply_WRONG_LEADER},
		{fmt.Errorf("wrapped: %w", rsm.ErrBusy), api.Reply_BUSY, api.Reply_BUSY},
		{rsm.ErrStopped, api.Reply_UNKNOWN, api.Reply_UNAVAILABLE},
		{rsm.ErrUnknown, api.Reply_UNKNOWN, api.Reply_UNAVAILABLE},
		{errors.New("anything else"), api.Reply_UNKNOWN, api.Reply_UNAVAILABLE},
	} {
		h, node := nodetest.New()
		node.SubmitErr, node.ReadErr = test.err, test.err
		write := ask(t, h, &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")})
		read := ask(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k")})
		if write.Code != test.write || read.Code != test.read {
			t.Errorf("%v: a write gets %s, want %s; a read %s, want %s", test.err, write.Code, test.write, read.Code, test.read)
		}
		if hinted := write.Leader.GetNodeId() == 2 && read.Leader.GetName() == "n2"; hinted != (test.err == error(elsewhere)) {
			t.Errorf("%v: hints %v and %v", test.err, write.Leader, read.Leader)
		}
	}
}

func TestHandlerRefusesNonsense(t *testing.T) {
	for _, test := range []struct {
		name string
		req  *api.Request
		code api.Reply_Code
		says string
	}{
		{"no kind", &api.Request{Key: []byte("k")}, api.Reply_INVALID, "kind"},
		{"an unknown kind", &api.Request{Kind: 99, Key: []byte("k")}, api.Reply_INVALID, "kind"},
		{"no key", &api.Request{Kind: api.Request_GET}, api.Reply_INVALID, "key"},
		{"an unknown consistency", &api.Request{Kind: api.Request_GET, Key: []byte("k"), Consistency: 9}, api.Reply_INVALID, "consistency"},
		{"a version without condition", &api.Request{Kind: api.Request_PUT, Key: []byte("k"), Version: 3, Unconditional: true}, api.Reply_INVALID, "unconditional"},
		{"a large key", &api.Request{Kind: api.Request_GET, Key: make([]byte, 11)}, api.Reply_TOO_LARGE, "key has 11 bytes, the limit is 10"},
		{"a large value", &api.Request{Kind: api.Request_PUT, Key: []byte("k"), Value: make([]byte, 21)}, api.Reply_TOO_LARGE, "value has 21 bytes, the limit is 20"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, node := nodetest.New()
			h.Limits = kv.Limits{MaxKeyBytes: 10, MaxValueBytes: 20}
			reply := ask(t, h, test.req)
			if reply.Code != test.code || !strings.Contains(reply.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", reply.Code, reply.Message, test.code, test.says)
			}
			if node.Submitted != 0 || len(node.Modes) != 0 {
				t.Error("the replica was asked")
			}
		})
	}
}

func TestHandlerReadsAsFreshAsAsked(t *testing.T) {
	h, node := nodetest.New()
	for _, c := range []api.Request_Consistency{api.Request_LINEARIZABLE, api.Request_LEASE, api.Request_LOCAL} {
		ask(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k"), Consistency: c})
	}
	if len(node.Modes) != 2 || node.Modes[0] != raft.ReadByIndex || node.Modes[1] != raft.ReadByLease {
		t.Errorf("the replica was asked for %v", node.Modes)
	}
	node.ReadErr = rsm.ErrWrongLeader
	if r := ask(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k"), Consistency: api.Request_LOCAL}); r.Code != api.Reply_NO_KEY {
		t.Errorf("a local read without a leader gets %s", r.Code)
	}
}

func TestHandlerRefusesWritesWhenTheDiskIsAlmostFull(t *testing.T) {
	h, node := nodetest.New()
	full := true
	h.Shortage = func() translate.Shortage { return translate.Shortage{LowSpace: full} }
	put := &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")}
	if r := ask(t, h, put); r.Code != api.Reply_BUSY || node.Submitted != 0 {
		t.Errorf("a put gets %v", r)
	}
	if r := ask(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k")}); r.Code != api.Reply_NO_KEY {
		t.Errorf("a get gets %v", r)
	}
	full = false
	if r := ask(t, h, put); r.Code != api.Reply_OK {
		t.Errorf("a put when there is space again gets %v", r)
	}
}
