package sim

import (
	"errors"
	"fmt"

	"balsa/api"
	"balsa/kv"
	"balsa/raft"
	"balsa/rsm"
)

// attempt names one sending of one operation.
type attempt struct {
	record *record
	number int
}

// handle answers a request as a server does: see Service.Handle of package server,
// whose place this takes.
func (n *node) handle(req *api.Request, a attempt, reply func(*api.Reply)) {
	op := kv.Op{
		Kind: opKinds[req.Kind], Key: string(req.Key), Value: req.Value,
		Version: req.Version, Unconditional: !req.Conditional, UnchangedSince: req.UnchangedSince,
	}
	if err := op.Validate(kv.Limits{}); err != nil {
		n.w.failf("simulator", "invalid request: %v", err)
	}
	if op.Kind == kv.Get {
		n.get(req, a, reply)
		return
	}
	n.submit(&waiter{data: kv.Codec{}.Append(nil, op), attempt: a, done: func(r kv.Result, err error) {
		switch {
		case err == nil:
			reply(outcome(r))
		case errors.Is(err, rsm.ErrWrongLeader):
			reply(n.wrongLeader(err))
		case errors.Is(err, rsm.ErrBusy):
			n.w.injected(FullQueue)
			reply(&api.Reply{Code: api.Reply_BUSY})
		default:
			reply(&api.Reply{Code: api.Reply_UNKNOWN})
		}
	}})
}

var opKinds = map[api.Request_Kind]kv.OpKind{
	api.Request_GET: kv.Get, api.Request_PUT: kv.Put, api.Request_DELETE: kv.Delete,
}

func (n *node) get(req *api.Request, a attempt, reply func(*api.Reply)) {
	x := &waiter{mode: rsm.ReadIndex, attempt: a}
	switch req.Consistency {
	case api.Request_LOCAL:
		reply(outcome(n.store.Get(string(req.Key))))
		return
	case api.Request_LEASE:
		x.mode = rsm.ReadLease
	}
	store := n.store
	x.done = func(_ kv.Result, err error) {
		switch {
		case err == nil:
			reply(outcome(store.Get(string(req.Key))))
		case errors.Is(err, rsm.ErrWrongLeader):
			reply(n.wrongLeader(err))
		default:
			reply(&api.Reply{Code: api.Reply_UNAVAILABLE})
		}
	}
	n.read(x)
}

func outcome(r kv.Result) *api.Reply {
	reply := &api.Reply{
		Value: r.Value, Version: r.Version, CreateRevision: r.CreateRevision, ModRevision: r.ModRevision, Revision: r.Revision,
	}
	switch r.Code {
	case kv.CodeVersion:
		reply.Code = api.Reply_VERSION_MISMATCH
	case kv.CodeNoKey:
		reply.Code = api.Reply_NO_KEY
	case kv.CodeChanged:
		reply.Code = api.Reply_CHANGED
	}
	return reply
}

func (n *node) wrongLeader(err error) *api.Reply {
	reply := &api.Reply{Code: api.Reply_WRONG_LEADER}
	var known *rsm.NotLeaderError
	if errors.As(err, &known) && known.Leader != raft.None {
		reply.Leader = &api.Leader{NodeId: uint64(known.Leader), ClientUrls: []string{"http://" + address(known.Leader)}}
	}
	return reply
}

func address(id raft.NodeID) string { return fmt.Sprintf("node%d:1", uint64(id)) }
