//balsa:pure

package translate

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/raft"
)

// MaxKeepAlives is how many leases one request may keep alive.
const MaxKeepAlives = 1 << 10

// keepAlive hands keep-alives to the leader's clock, which proposes those of many requests at once.
func (h *Handler) keepAlive(req *api.Request, reply func(*api.Reply)) {
	if err := checkKeepAlive(req); err != nil {
		reply(refusal(req.Id, err))
		return
	}
	id, lease := req.Id, req.GetLease()
	if h.mayKeepAlive(lease) == kv.CodeOK {
		h.propose(id, lease, reply)
		return
	}
	// The refusal may be late news: who leads decides it, with all that was acknowledged.
	h.whenFresh(freshness(raft.ReadByIndex), func(err error) {
		code := h.mayKeepAlive(lease)
		switch {
		case err != nil:
			reply(h.readFailed(id, err))
		case code != kv.CodeOK:
			answer := h.newReply()
			answer.Id = id
			refused(answer, code)
			reply(answer)
		default:
			h.propose(id, lease, reply)
		}
	})
}

// mayKeepAlive tells whether the user may write all keys of the leases, as this replica knows it.
func (h *Handler) mayKeepAlive(lease *api.Lease) kv.Code {
	for i := range 1 + len(lease.Others) {
		if code := h.mayUse(nth(lease, i), true); code != kv.CodeOK {
			return code
		}
	}
	return kv.CodeOK
}

// propose is keepAlive for a user that may do it.
func (h *Handler) propose(id uint64, lease *api.Lease, reply func(*api.Reply)) {
	if len(lease.Others) > 0 {
		h.keepAllAlive(id, lease, reply)
		return
	}
	h.Time.KeepAlive(lease.Id, func(ttl int64, err error) {
		if err != nil {
			reply(h.writeFailed(id, err))
			return
		}
		answer := h.newReply()
		answer.Id = id
		if ttl == 0 {
			refused(answer, kv.CodeNoLease)
		} else {
			answer.Result = keptAlive(lease.Id, ttl)
		}
		reply(answer)
	})
}

// keepAllAlive is propose for several leases.
func (h *Handler) keepAllAlive(id uint64, lease *api.Lease, reply func(*api.Reply)) {
	leases := append(make([]int64, 0, 1+len(lease.Others)), lease.Id)
	h.Time.KeepAllAlive(append(leases, lease.Others...), func(ttls []int64, err error) {
		if err != nil {
			reply(h.writeFailed(id, err))
			return
		}
		result := keptAlive(lease.Id, ttls[0])
		result.Lease.OthersTtlMs = make([]uint64, len(lease.Others))
		for i, ttl := range ttls[1:] {
			result.Lease.OthersTtlMs[i] = msOf(ttl)
		}
		answer := h.newReply()
		answer.Id, answer.Result = id, result
		reply(answer)
	})
}

func checkKeepAlive(req *api.Request) error {
	lease := req.GetLease()
	switch {
	case lease == nil:
		return errors.New("lease is missing")
	case req.Session != nil:
		return errors.New("session is set, which a keep-alive has none of")
	case len(lease.Others) >= MaxKeepAlives:
		return fmt.Errorf("%d leases are to be kept alive, the limit is %d", 1+len(lease.Others), MaxKeepAlives)
	}
	for i := range 1 + len(lease.Others) {
		if id := nth(lease, i); id <= 0 {
			return errLeaseID(id)
		}
	}
	return nil
}

// nth is the lease of a keep-alive, and then the others.
func nth(l *api.Lease, i int) int64 {
	if i == 0 {
		return l.Id
	}
	return l.Others[i-1]
}

func keptAlive(lease, ttl int64) *api.Reply_Lease {
	result := api.NewLeaseResult()
	result.Lease.Id, result.Lease.TtlMs, result.Lease.GrantedMs = lease, msOf(ttl), msOf(ttl)
	return result
}
