//balsa:pure

package translate

import (
	"errors"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// codes gives the code of a reply for that of a result. What is not in it is INVALID.
var codes = map[kv.Code]api.Reply_Code{
	kv.CodeOK:             api.Reply_OK,
	kv.CodeVersion:        api.Reply_VERSION_MISMATCH,
	kv.CodeNoKey:          api.Reply_NO_KEY,
	kv.CodeTooLarge:       api.Reply_TOO_LARGE,
	kv.CodeChanged:        api.Reply_CHANGED,
	kv.CodeCompacted:      api.Reply_COMPACTED,
	kv.CodeFutureRevision: api.Reply_FUTURE_REVISION,
	kv.CodeDuplicateKey:   api.Reply_DUPLICATE_KEY,
	kv.CodeNoLease:        api.Reply_NO_LEASE,
	kv.CodeLeaseFull:      api.Reply_LEASE_FULL,
	kv.CodeTooManyOps:     api.Reply_TOO_MANY_OPS,
	kv.CodeQuota:          api.Reply_QUOTA,
	kv.CodeUnreadable:     api.Reply_UNAVAILABLE,
	kv.CodeLeaseExists:    api.Reply_LEASE_EXISTS,
	kv.CodeLeaseTTL:       api.Reply_LEASE_TTL,
	kv.CodeTooManyLeases:  api.Reply_TOO_MANY_LEASES,
	kv.CodeForgotten:      api.Reply_SESSION_ENDED,
	kv.CodeNoSpace:        api.Reply_NO_SPACE,
	kv.CodeCorrupt:        api.Reply_CORRUPT,

	kv.CodePermissionDenied: api.Reply_PERMISSION_DENIED,
	kv.CodeInvalidToken:     api.Reply_UNAUTHENTICATED,
	kv.CodeNoUser:           api.Reply_UNAUTHENTICATED,
}

// refused sets the code of a reply, and says more where the code does not say it all.
func refused(reply *api.Reply, code kv.Code) {
	known, ok := codes[code]
	switch {
	case !ok:
		reply.Code, reply.Message = api.Reply_INVALID, code.Err().Error()
	case known == api.Reply_TOO_LARGE, known == api.Reply_UNAVAILABLE, known == api.Reply_UNAUTHENTICATED:
		reply.Code, reply.Message = known, code.Err().Error()
	default:
		reply.Code = known
	}
}

// refusal is the reply to a request that makes no sense, or that is over a limit. The error
// names the field.
func refusal(id uint64, err error) *api.Reply {
	reply := &api.Reply{Id: id, Code: api.Reply_INVALID, Message: err.Error()}
	if code, ok := kv.CodeOf(err); ok {
		refused(reply, code)
		reply.Message = err.Error()
	}
	return reply
}

// writeFailed is the reply to a write without a result. Five errors of Submit say that the
// write was not executed. All others leave that open.
func (h *Handler) writeFailed(id uint64, err error) *api.Reply {
	switch {
	case errors.Is(err, rsm.ErrWrongLeader):
		return h.wrongLeader(id, err)
	case errors.Is(err, rsm.ErrBusy):
		return Busy(id, err.Error())
	case errors.Is(err, rsm.ErrAlarm), errors.Is(err, state.ErrVersion):
		return Unavailable(id, err.Error())
	case errors.Is(err, rsm.ErrTooLarge):
		return &api.Reply{Id: id, Code: api.Reply_TOO_LARGE, Message: err.Error()}
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
