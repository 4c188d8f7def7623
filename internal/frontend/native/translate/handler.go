//balsa:pure

package translate

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// Replica is what a Handler needs of an rsm.Node.
type Replica interface {
	SubmitFunc(op kv.Op, done func(kv.Result, error))
	ReadFunc(mode raft.ReadMode, done func(error))
}

// Handler answers requests. It checks a request, hands it to the replica, and replies what
// became of it.
type Handler struct {
	Replica Replica
	Store   *kv.Store
	Limits  kv.Limits
	// Leader describes a member to clients; nil if the member is unknown.
	Leader func(raft.NodeID) *api.Leader
	// LowSpace tells that the disk is almost full; may be nil.
	LowSpace func() bool
	// NewReply returns an empty Reply; may be nil.
	NewReply func() *api.Reply
}

func (h *Handler) newReply() *api.Reply {
	if h.NewReply == nil {
		return new(api.Reply)
	}
	return h.NewReply()
}

// Handle answers one request. It calls reply exactly once, in this goroutine or in one of
// the replica's. reply must not block.
func (h *Handler) Handle(req *api.Request, reply func(*api.Reply)) {
	op := operation(req)
	if refusal := h.check(req, op); refusal != nil {
		reply(refusal)
		return
	}
	if op.Kind == kv.Get {
		h.get(req, string(req.Key), reply)
		return
	}
	if h.LowSpace != nil && h.LowSpace() {
		reply(Busy(req.Id, "the disk of this server is almost full"))
		return
	}
	id := req.Id // req itself would keep all of its batch in memory
	h.Replica.SubmitFunc(op, func(r kv.Result, err error) {
		if err != nil {
			reply(h.writeFailed(id, err))
			return
		}
		reply(h.outcome(id, r))
	})
}

// check returns the refusal of a request that makes no sense, else nil.
func (h *Handler) check(req *api.Request, op kv.Op) *api.Reply {
	err := op.Validate(h.Limits)
	_, knownConsistency := api.Request_Consistency_name[int32(req.Consistency)]
	_, knownAttempt := api.Request_Attempt_name[int32(req.Attempt)]
	switch {
	case errors.Is(err, kv.ErrTooLarge):
		return &api.Reply{Id: req.Id, Code: api.Reply_TOO_LARGE, Message: err.Error()}
	case err != nil:
		return invalid(req.Id, err.Error())
	case !knownConsistency:
		return invalid(req.Id, fmt.Sprintf("consistency is unknown: %d", req.Consistency))
	case !knownAttempt:
		return invalid(req.Id, fmt.Sprintf("attempt is unknown: %d", req.Attempt))
	case req.Session != nil || req.Call != nil:
		return invalid(req.Id, "session and call are not supported yet")
	case req.Version != 0 && req.Unconditional:
		// Taken literally this would overwrite what the client meant to protect.
		return invalid(req.Id, "version is set, and unconditional, too")
	}
	return nil
}

func invalid(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_INVALID, Message: message}
}

// operation is req as the store takes it. Its Key is good as long as req is.
func operation(req *api.Request) kv.Op {
	op := kv.Op{
		Key: kv.Alias(req.Key), Value: req.Value,
		Version: req.Version, Unconditional: req.Unconditional, UnchangedSince: req.UnchangedSince,
		Attempt: kv.Attempt(req.Attempt),
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
func (h *Handler) get(req *api.Request, key string, reply func(*api.Reply)) {
	id, mode := req.Id, raft.ReadByIndex
	switch req.Consistency {
	case api.Request_LOCAL:
		reply(h.outcome(id, h.Store.Get(key)))
		return
	case api.Request_LEASE:
		mode = raft.ReadByLease
	}
	h.Replica.ReadFunc(mode, func(err error) {
		if err != nil {
			reply(h.readFailed(id, err))
			return
		}
		reply(h.outcome(id, h.Store.Get(key)))
	})
}

// outcome is the reply to an executed operation.
func (h *Handler) outcome(id uint64, r kv.Result) *api.Reply {
	reply := h.newReply()
	reply.Id, reply.Value, reply.Version = id, r.Value, r.Version
	reply.CreateRevision, reply.ModRevision, reply.Revision = r.CreateRevision, r.ModRevision, r.Revision
	reply.DeleteRevision = r.DeleteRevision
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

// writeFailed is the reply to a write without a result. Three errors of Submit say that the
// write was not executed. All others leave that open.
func (h *Handler) writeFailed(id uint64, err error) *api.Reply {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return h.wrongLeader(id, err)
	case errors.Is(err, rsm.ErrBusy):
		return Busy(id, err.Error())
	case errors.Is(err, rsm.ErrAlarm):
		return Unavailable(id, err.Error())
	default:
		return &api.Reply{Id: id, Code: api.Reply_UNKNOWN, Message: err.Error()}
	}
}

// readFailed is the reply to a read that could not be made fresh. It was not
// executed, whatever the error.
func (h *Handler) readFailed(id uint64, err error) *api.Reply {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return h.wrongLeader(id, err)
	case errors.Is(err, rsm.ErrBusy):
		return Busy(id, err.Error())
	default:
		return Unavailable(id, err.Error())
	}
}

func (h *Handler) wrongLeader(id uint64, err error) *api.Reply {
	reply := &api.Reply{Id: id, Code: api.Reply_WRONG_LEADER}
	var known *rsm.NotLeaderError
	if errors.As(err, &known) && known.Leader != raft.None && h.Leader != nil {
		reply.Leader = h.Leader(known.Leader)
	}
	return reply
}

// Busy is the reply to a request that was not executed, since there is too much to do.
func Busy(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_BUSY, Message: message}
}

// Unavailable is the reply to a request that was not executed and could be elsewhere.
func Unavailable(id uint64, message string) *api.Reply {
	return &api.Reply{Id: id, Code: api.Reply_UNAVAILABLE, Message: message}
}
