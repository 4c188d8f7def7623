//balsa:pure

package translate

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/kv"
)

const (
	// MaxPageBytes and MaxPageKeys are what one reply to a RANGE has of keys and values at
	// most, and one key more.
	MaxPageBytes = 1 << 20
	MaxPageKeys  = 16 << 10
)

// query answers a read of more than one key's value. It may take long, so that it runs in the
// background.
func (h *Handler) query(req *api.Request, trail *Trail, reply func(*api.Reply)) {
	read, err := h.queryOf(req)
	if err == nil {
		err = checkRead(req)
	}
	if err != nil {
		reply(refusal(req.Id, err))
		return
	}
	id, late := req.Id, h.lateness(req)
	answer := func() {
		if late() {
			reply(Late(id))
			return
		}
		r := h.newReply()
		r.Id = id
		read(r)
		reply(r)
	}
	if h.Background != nil {
		now := answer
		answer = func() { h.Background(now) }
	}
	h.whenFresh(freshnessOf(req), func(err error) {
		if err != nil {
			reply(h.readFailed(id, err))
			return
		}
		trail.freshAt(h.now())
		answer()
	})
}

// lateness returns what tells whether a client has waited for the reply for as long as it would. It has asked
// again by then, perhaps another server: whoever reads for all who have gone has no time for those who
// wait, until these have gone too.
func (h *Handler) lateness(req *api.Request) (late func() bool) {
	if h.Now == nil || req.TimeoutMs == 0 {
		return func() bool { return false }
	}
	end := h.Now() + int64(req.TimeoutMs)*1e6
	return func() bool { return h.Now() >= end }
}

// TextLate is what the reply to such a request says.
const TextLate = "the time of this request was up before its turn came"

// Late is the reply to a read that was not begun because its client does not wait any more.
func Late(id uint64) *api.Reply {
	return Busy(id, TextLate)
}

// queryOf returns what reads the store into a reply.
func (h *Handler) queryOf(req *api.Request) (func(*api.Reply), error) {
	if req.Kind == api.Request_RANGE {
		op, err := h.pageOf(req.GetRange())
		if err != nil {
			return nil, err
		}
		return guarded(func() kv.Code { return h.mayRead(op.Span) }, func(r *api.Reply) { h.readRange(op, r) }), nil
	}
	lease := req.GetLease()
	switch {
	case lease == nil && (req.Call != nil || req.Kind == api.Request_LEASE_TIME_TO_LIVE):
		return nil, errors.New("lease is missing")
	case req.Kind == api.Request_LEASES:
		return guarded(h.anyUser, func(r *api.Reply) { h.readLeases(lease.GetId(), r) }), nil
	case lease.Id <= 0:
		return nil, errLeaseID(lease.Id)
	}
	id, keys := lease.Id, lease.Keys
	right := h.anyUser
	if keys {
		right = func() kv.Code { return h.mayUse(id, false) }
	}
	return guarded(right, func(r *api.Reply) { h.readLease(id, keys, r) }), nil
}

func errLeaseID(id int64) error { return fmt.Errorf("id of lease is %d, and must be above 0", id) }

// pageOf is a range as it is read: within the bounds of a page.
func (h *Handler) pageOf(r *api.Range) (*kv.RangeOp, error) {
	op, err := rangeOf(r)
	if err != nil {
		return nil, err
	}
	boundPage(op)
	return op, op.Validate(h.Limits)
}

func boundPage(op *kv.RangeOp) {
	if op.Limit == 0 || op.Limit > MaxPageKeys {
		op.Limit = MaxPageKeys
	}
	if op.MaxBytes == 0 || op.MaxBytes > MaxPageBytes {
		op.MaxBytes = MaxPageBytes
	}
}

func (h *Handler) readRange(op *kv.RangeOp, reply *api.Reply) {
	var entry api.Entry
	encoded, r, err := h.Store.EncodeRange(*op, api.RangeBuffer(), func(b []byte, e *kv.Entry) []byte {
		fillEntry(&entry, e)
		return api.AppendRangeEntry(b, &entry)
	})
	reply.Revision = r.Revision
	switch code, known := kv.CodeOf(err); {
	case err == nil:
		reply.Result = api.LendRange(api.AppendRangeEnd(encoded, uint64(r.Count), r.More))
	case known:
		refused(reply, code)
	default:
		reply.Code, reply.Message = api.Reply_UNAVAILABLE, err.Error()
	}
}

func (h *Handler) readLease(id int64, keys bool, reply *api.Reply) {
	info, ok := h.Store.Lease(id, keys)
	if !ok {
		refused(reply, kv.CodeNoLease)
		return
	}
	lease := &api.LeaseReply{Id: id, TtlMs: msOf(info.Remaining), GrantedMs: msOf(info.TTL), Session: info.Session}
	left := room{keys: MaxPageKeys, bytes: MaxPageBytes}
	for _, key := range info.Keys {
		if !left.take(len(key)) {
			break
		}
		lease.Keys = append(lease.Keys, bytesOf(key))
	}
	lease.More = left.cut
	reply.Result = &api.Reply_Lease{Lease: lease}
}

// readLeases lists the leases above one.
func (h *Handler) readLeases(above int64, reply *api.Reply) {
	leases := new(api.LeasesReply)
	for _, id := range h.listed(h.Store.Leases()) {
		if id <= above {
			continue
		}
		if leases.More = len(leases.Ids) == MaxPageKeys; leases.More {
			break
		}
		leases.Ids = append(leases.Ids, id)
	}
	reply.Result = &api.Reply_Leases{Leases: leases}
}
