//balsa:pure

package translate

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// Replica is what a Handler needs of an rsm.Node.
type Replica interface {
	SubmitEntryFunc(c state.Command, done func(state.Result, rsm.EntryID, error))
	ReadFunc(mode raft.ReadMode, done func(error))
}

// Store is what a Handler reads of the replicated machine, as this replica has it.
type Store interface {
	Revision() uint64
	Get(key string) kv.Result
	// TryGets is Get for many keys, where no disk is needed. It calls each for all of them, in their
	// order; ok is false for one that needs the disk.
	TryGets(keys []string, each func(i int, r kv.Result, ok bool))
	// EncodeRange reads a span, as kv.Store.RangeEach does, and returns what add makes of the
	// entries, each of which it appends to b. An entry is good until add returns.
	EncodeRange(op kv.RangeOp, b []byte, add func(b []byte, e *kv.Entry) []byte) ([]byte, kv.RangeResult, error)
	// Lease tells about one lease, with its keys if they are wanted.
	Lease(id int64, keys bool) (LeaseInfo, bool)
	// Leases returns the ids of all leases, in their order.
	Leases() []int64
}

// LeaseInfo describes a lease. Times are in nanoseconds of log time.
type LeaseInfo struct {
	TTL, Remaining int64
	Session        bool
	Keys           []string // in their order
}

// Timekeeper is the leader's clock of leases.
type Timekeeper interface {
	// Stamp returns the time that a command gets when it is proposed now. The error is one of
	// Replica.SubmitEntryFunc, if this replica does not lead.
	Stamp() (logtime.Stamp, error)
	// KeepAlive lets a lease live on. ttl is what it has then, 0 if there is no such lease.
	// Errors are those of Replica.SubmitEntryFunc.
	KeepAlive(id int64, done func(ttl int64, err error))
	// KeepAllAlive does so for several leases. After an error some of them may live on.
	KeepAllAlive(ids []int64, done func(ttls []int64, err error))
}

// Handler answers requests. It checks a request, hands it to the replica, and replies what
// became of it.
type Handler struct {
	Replica Replica
	Store   Store
	Time    Timekeeper
	Limits  kv.Limits
	// MinTTL is the shortest time to live of a lease, in nanoseconds. A shorter one is raised
	// to it.
	MinTTL int64
	// Draw returns a random number above 0, the id of a new lease.
	Draw func() int64
	// Leader describes a member to clients; nil if the member is unknown.
	Leader func(raft.NodeID) *api.Leader
	// Shortage tells what this server, if it leads, has too little of; nil: of nothing.
	Shortage func() Shortage
	// NewReply returns an empty Reply; may be nil.
	NewReply func() *api.Reply
	// Users checks reads; nil: everybody may read everything.
	Users Users
	// Background runs a read that takes long, soon, in another goroutine; nil: in this one.
	Background func(read func())
	// Now reads a clock that does not go back, in nanoseconds; nil: nobody asks how long a read has
	// waited for its turn.
	Now func() int64

	user  string // see As
	stamp uint64
}

func (h *Handler) newReply() *api.Reply {
	if h.NewReply == nil {
		return new(api.Reply)
	}
	return h.NewReply()
}

// Handle answers one request. It calls reply exactly once, in this goroutine, in one of the
// replica's, or in the background. reply must not block.
func (h *Handler) Handle(req *api.Request, reply func(*api.Reply)) { h.Follow(req, nil, reply) }

// Follow is Handle, and tells what becomes of the request.
func (h *Handler) Follow(req *api.Request, trail *Trail, reply func(*api.Reply)) {
	switch req.Kind {
	case api.Request_RANGE, api.Request_LEASE_TIME_TO_LIVE, api.Request_LEASES:
		h.query(req, trail, reply)
	case api.Request_LEASE_KEEP_ALIVE:
		h.keepAlive(req, reply)
	case api.Request_TXN, api.Request_DELETE_RANGE, api.Request_COMPACT, api.Request_SET_QUOTA,
		api.Request_LEASE_GRANT, api.Request_LEASE_REVOKE:
		h.command(req, trail, reply)
	default:
		h.operate(req, trail, reply)
	}
}

// operate answers a request for an operation on one key.
func (h *Handler) operate(req *api.Request, trail *Trail, reply func(*api.Reply)) {
	op := operation(req)
	if op.Kind == kv.Get {
		h.HandleGets([]Get{{req, trail, reply}})
		return
	}
	if err := h.checkOperation(req, op); err != nil {
		reply(refusal(req.Id, err))
		return
	}
	switch {
	case req.Call != nil:
		h.command(req, trail, reply)
	default:
		h.submitOperation(req, op, trail, reply)
	}
}

func (h *Handler) submitOperation(req *api.Request, op kv.Op, trail *Trail, reply func(*api.Reply)) {
	c := state.Command{Op: op}
	if req.Session != nil || h.user != "" {
		c.More = h.named(&state.More{Kind: state.KindOp, Session: sessionOf(req)})
	}
	id := req.Id // req itself would keep all of its batch in memory
	if short := h.refuses(c); short != "" {
		reply(Busy(id, short))
		return
	}
	h.Replica.SubmitEntryFunc(c, func(r state.Result, entry rsm.EntryID, err error) {
		trail.entered(entry)
		if err != nil {
			reply(h.writeFailed(id, err))
			return
		}
		reply(h.outcome(id, r))
	})
}

// checkOperation returns why a request for an operation on one key makes no sense, if so.
func (h *Handler) checkOperation(req *api.Request, op kv.Op) error {
	if err := op.Validate(h.Limits); err != nil {
		return err
	}
	_, knownAttempt := api.Request_Attempt_name[int32(req.Attempt)]
	_, isPut := req.Call.(*api.Request_Put)
	switch {
	case !knownAttempt:
		return fmt.Errorf("attempt is unknown: %d", req.Attempt)
	case req.Version != 0 && req.Unconditional:
		// Taken literally this would overwrite what the client meant to protect.
		return errors.New("version is set, and unconditional, too")
	case req.Call != nil && !(isPut && op.Kind == kv.Put):
		return fmt.Errorf("call is set, which is not one of a %s", req.Kind)
	case op.Kind == kv.Get:
		return checkRead(req)
	}
	return checkSession(req)
}

// checkRead returns what is wrong with how a read is asked for, if anything.
func checkRead(req *api.Request) error {
	_, known := api.Request_Consistency_name[int32(req.Consistency)]
	switch {
	case !known:
		return fmt.Errorf("consistency is unknown: %d", req.Consistency)
	case req.Session != nil:
		return fmt.Errorf("session is set, which a %s has none of", req.Kind)
	}
	return nil
}

func checkSession(req *api.Request) error {
	s := req.Session
	switch {
	case s == nil:
		return nil
	case s.Id <= 0:
		return fmt.Errorf("id of session is %d, and must be above 0", s.Id)
	case s.Seq == 0:
		return errors.New("seq of session is 0, and must be above")
	case s.Acked >= s.Seq:
		return fmt.Errorf("acked of session is %d, and must be below its seq, %d", s.Acked, s.Seq)
	}
	return nil
}

func sessionOf(req *api.Request) state.SessionSeq {
	if req.Session == nil {
		return state.SessionSeq{}
	}
	return state.SessionSeq{ID: req.Session.Id, Seq: req.Session.Seq, Acked: req.Session.Acked}
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
