package server

import (
	"context"
	"errors"
	"fmt"

	"balsa/api"
	"balsa/kv"
	"balsa/raft"
	"balsa/rsm"
)

// replicator is what a Service needs of an rsm.Node.
type replicator interface {
	SubmitFunc(op kv.Op, done func(kv.Result, error))
	ReadFunc(mode rsm.ReadMode, done func(error))
	TransferLeadership(ctx context.Context, to raft.NodeID) error
	Status() rsm.Status
}

// Service answers requests, without any network: it checks them, hands them to the
// replica, and says truly what became of them.
type Service struct {
	node   replicator
	store  *kv.Store
	limits kv.Limits
	// leader describes a member to clients; nil where nothing is known of it.
	leader func(raft.NodeID) *api.Leader
	// lowSpace tells that the disk is about to be full; may be nil.
	lowSpace func() bool
}

// Handle answers one request: reply is called exactly once, from this goroutine or
// from one of the replica's, and must not block.
func (s *Service) Handle(req *api.Request, reply func(*api.Reply)) {
	op := operation(req)
	if refusal := s.check(req, op); refusal != nil {
		reply(refusal)
		return
	}
	if op.Kind == kv.Get {
		s.get(req, op.Key, reply)
		return
	}
	if s.lowSpace != nil && s.lowSpace() {
		reply(busy(req.Id, "the disk of this server is almost full"))
		return
	}
	s.node.SubmitFunc(op, func(r kv.Result, err error) {
		if err != nil {
			reply(s.writeFailed(req.Id, err))
			return
		}
		reply(outcome(req.Id, r))
	})
}

// Do is Handle for callers that want to wait. When ctx ends first the error is its
// own, and whether the request was executed is unknown.
func (s *Service) Do(ctx context.Context, req *api.Request) (*api.Reply, error) {
	replies := make(chan *api.Reply, 1)
	s.Handle(req, func(r *api.Reply) { replies <- r })
	select {
	case r := <-replies:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// check returns the refusal of a request that makes no sense, else nil.
func (s *Service) check(req *api.Request, op kv.Op) *api.Reply {
	err := op.Validate(s.limits)
	_, knownConsistency := api.Request_Consistency_name[int32(req.Consistency)]
	switch {
	case errors.Is(err, kv.ErrTooLarge):
		return &api.Reply{Id: req.Id, Code: api.Reply_TOO_LARGE, Message: err.Error()}
	case err != nil:
		return invalid(req.Id, err.Error())
	case !knownConsistency:
		return invalid(req.Id, fmt.Sprintf("consistency is unknown: %d", req.Consistency))
	case req.Version != 0 && !req.Conditional:
		// Taken literally this would overwrite what the client meant to protect.
		return invalid(req.Id, "version is set, but conditional is not")
	}
	return nil
}

func invalid(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_INVALID, Message: message}
}

func operation(req *api.Request) kv.Op {
	op := kv.Op{
		Key: string(req.Key), Value: req.Value,
		Version: req.Version, Unconditional: !req.Conditional, UnchangedSince: req.UnchangedSince,
	}
	switch req.Kind {
	case api.Request_GET:
		op.Kind = kv.Get
	case api.Request_PUT:
		op.Kind = kv.Put
	case api.Request_DELETE:
		op.Kind = kv.Delete
	}
	return op
}

// get answers from the store as soon as it is fresh enough. Reads leave no trace in
// the log.
func (s *Service) get(req *api.Request, key string, reply func(*api.Reply)) {
	mode := rsm.ReadIndex
	switch req.Consistency {
	case api.Request_LOCAL:
		reply(outcome(req.Id, s.store.Get(key)))
		return
	case api.Request_LEASE:
		mode = rsm.ReadLease
	}
	s.node.ReadFunc(mode, func(err error) {
		if err != nil {
			reply(s.readFailed(req.Id, err))
			return
		}
		reply(outcome(req.Id, s.store.Get(key)))
	})
}

// outcome is the reply to an executed operation.
func outcome(id uint64, r kv.Result) *api.Reply {
	reply := &api.Reply{
		Id:             id,
		Value:          r.Value,
		Version:        r.Version,
		CreateRevision: r.CreateRevision,
		ModRevision:    r.ModRevision,
		Revision:       r.Revision,
	}
	switch r.Code {
	case kv.CodeOK:
	case kv.CodeVersion:
		reply.Code = api.Reply_VERSION_MISMATCH
	case kv.CodeNoKey:
		reply.Code = api.Reply_NO_KEY
	case kv.CodeChanged:
		reply.Code = api.Reply_CHANGED
	case kv.CodeTooLarge:
		reply.Code, reply.Message = api.Reply_TOO_LARGE, r.Err().Error()
	default:
		reply.Code, reply.Message = api.Reply_INVALID, r.Err().Error()
	}
	return reply
}

// writeFailed is the reply to a write without a result. Only two errors of Submit
// say that it was not executed; all others leave that open.
func (s *Service) writeFailed(id uint64, err error) *api.Reply {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return s.wrongLeader(id, err)
	case errors.Is(err, rsm.ErrBusy):
		return busy(id, err.Error())
	default:
		return &api.Reply{Id: id, Code: api.Reply_UNKNOWN, Message: err.Error()}
	}
}

// readFailed is the reply to a read that could not be made fresh. It was not
// executed, whatever the error.
func (s *Service) readFailed(id uint64, err error) *api.Reply {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return s.wrongLeader(id, err)
	case errors.Is(err, rsm.ErrBusy):
		return busy(id, err.Error())
	default:
		return unavailable(id, err.Error())
	}
}

func (s *Service) wrongLeader(id uint64, err error) *api.Reply {
	reply := &api.Reply{Id: id, Code: api.Reply_WRONG_LEADER}
	var known *rsm.NotLeaderError
	if errors.As(err, &known) && known.Leader != raft.None && s.leader != nil {
		reply.Leader = s.leader(known.Leader)
	}
	return reply
}

func busy(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_BUSY, Message: message}
}

func unavailable(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_UNAVAILABLE, Message: message}
}
