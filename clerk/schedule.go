package clerk

//balsa:pure

import (
	"container/heap"
	"math"
)

// schedule says when each lease is to be kept alive, and when it is lost. Times are in
// nanoseconds, of any one clock.
//
//	event                     a lease is then
//	add                       due a third of its time to live later
//	renewing                  not due until its answer comes
//	renewed, asked at t       alive until t + time to live, and due a third of it after t
//	failed                    due again after a twelfth of its time to live
//	its time is up            lost
//
// A lease lives on a server at least as long as here, since the server's time to live begins
// when it has the request, after t.
//
// Losses have an order of their own: a lease that is due waits for its turn, and meanwhile others are lost.
type schedule struct {
	leases map[int64]*planned
	due    byTime
	losses byTime
}

// planned is a lease of a schedule.
type planned struct {
	id              int64
	ttl             int64
	until           int64 // when it is lost
	due             int64 // when it is to be renewed; never while that is under way
	inDue, inLosses int   // its positions in the heaps
}

const never = math.MaxInt64

// add adds a lease that was granted with a time to live, and asked for at a time.
func (s *schedule) add(id, ttl, asked int64) {
	if s.leases == nil {
		s.leases = make(map[int64]*planned)
		s.losses.losses = true
	}
	p := &planned{id: id, ttl: ttl}
	p.renew(asked, ttl)
	s.leases[id] = p
	heap.Push(&s.due, p)
	heap.Push(&s.losses, p)
}

func (p *planned) renew(asked, ttl int64) { p.until, p.due = asked+ttl, asked+ttl/3 }

// remove removes a lease. It returns false if it is not there.
func (s *schedule) remove(id int64) bool {
	p := s.leases[id]
	if p == nil {
		return false
	}
	delete(s.leases, id)
	heap.Remove(&s.due, p.inDue)
	heap.Remove(&s.losses, p.inLosses)
	return true
}

// wake returns when to call lost and due again; never: there is nothing to do.
func (s *schedule) wake() int64 {
	if len(s.leases) == 0 {
		return never
	}
	return min(s.due.leases[0].due, s.nextLoss())
}

// nextLoss returns when to call lost again, whatever is due; never: there is no lease.
func (s *schedule) nextLoss() int64 {
	if len(s.leases) == 0 {
		return never
	}
	return s.losses.leases[0].until
}

// lost removes the leases whose time is up.
func (s *schedule) lost(now int64) (ids []int64) {
	for s.nextLoss() <= now && len(s.leases) > 0 {
		id := s.losses.leases[0].id
		s.remove(id)
		ids = append(ids, id)
	}
	return ids
}

// renewing returns up to max leases that are to be kept alive now. It must be called after
// lost.
func (s *schedule) renewing(now int64, max int) (ids []int64) {
	for len(ids) < max && len(s.leases) > 0 && s.due.leases[0].due <= now {
		p := s.due.leases[0]
		p.due = never
		heap.Fix(&s.due, 0)
		ids = append(ids, p.id)
	}
	return ids
}

// renewed takes the answer to a keep-alive that was asked for at a time: what is left of the
// lease. 0: there is none any more. It returns false if the lease is lost.
func (s *schedule) renewed(id, left, asked int64) bool {
	p := s.leases[id]
	if p == nil || left <= 0 {
		s.remove(id)
		return false
	}
	p.renew(asked, left)
	heap.Fix(&s.due, p.inDue)
	heap.Fix(&s.losses, p.inLosses)
	return true
}

// failed says that a keep-alive got no answer.
func (s *schedule) failed(id, now int64) {
	if p := s.leases[id]; p != nil {
		p.due = now + p.ttl/12
		heap.Fix(&s.due, p.inDue)
	}
}

// byTime is a heap with the lease on top whose time comes first: when it is due, or else when it is lost.
type byTime struct {
	leases []*planned
	losses bool
}

// at is the time of a lease, and place where its position is kept.
func (h *byTime) at(p *planned) int64 {
	if h.losses {
		return p.until
	}
	return p.due
}

func (h *byTime) place(p *planned) *int {
	if h.losses {
		return &p.inLosses
	}
	return &p.inDue
}

func (h *byTime) Len() int           { return len(h.leases) }
func (h *byTime) Less(i, j int) bool { return h.at(h.leases[i]) < h.at(h.leases[j]) }
func (h *byTime) Swap(i, j int) {
	h.leases[i], h.leases[j] = h.leases[j], h.leases[i]
	*h.place(h.leases[i]), *h.place(h.leases[j]) = i, j
}
func (h *byTime) Push(x any) {
	p := x.(*planned)
	*h.place(p) = len(h.leases)
	h.leases = append(h.leases, p)
}
func (h *byTime) Pop() any {
	n := len(h.leases) - 1
	p := h.leases[n]
	h.leases[n] = nil
	h.leases = h.leases[:n]
	return p
}
