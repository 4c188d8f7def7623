//balsa:pure

package translate

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/kv"
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
	for i := range 1 + len(lease.Others) {
		if code := h.mayUse(nth(lease, i), true); code != kv.CodeOK {
			answer := h.newReply()
			answer.Id = id
			refused(answer, code)
			reply(answer)
			return
		}
	}
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

// keepAllAlive is keepAlive for several leases.
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
