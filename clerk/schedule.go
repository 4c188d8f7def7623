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
type schedule struct {
	leases map[int64]*planned
	next   byTime
}

// planned is a lease of a schedule.
type planned struct {
	id       int64
	ttl      int64
	until    int64 // when it is lost
	due      int64 // when it is to be renewed; never while that is under way
	position int   // in the heap
}

const never = math.MaxInt64

// at is when something is to be done for a lease.
func (p *planned) at() int64 { return min(p.due, p.until) }

// add adds a lease that was granted with a time to live, and asked for at a time.
func (s *schedule) add(id, ttl, asked int64) {
	if s.leases == nil {
		s.leases = make(map[int64]*planned)
	}
	p := &planned{id: id, ttl: ttl}
	p.renew(asked, ttl)
	s.leases[id] = p
	heap.Push(&s.next, p)
}

func (p *planned) renew(asked, ttl int64) { p.until, p.due = asked+ttl, asked+ttl/3 }

// remove removes a lease. It returns false if it is not there.
func (s *schedule) remove(id int64) bool {
	p := s.leases[id]
	if p == nil {
		return false
	}
	delete(s.leases, id)
	heap.Remove(&s.next, p.position)
	return true
}

// wake returns when to call lost and due again; never: there is nothing to do.
func (s *schedule) wake() int64 {
	if len(s.next) == 0 {
		return never
	}
	return s.next[0].at()
}

// lost removes the leases whose time is up.
func (s *schedule) lost(now int64) (ids []int64) {
	for len(s.next) > 0 && s.next[0].at() <= now {
		p := s.next[0]
		if p.until > now {
			break // those behind it are looked at when it has been renewed
		}
		delete(s.leases, p.id)
		heap.Pop(&s.next)
		ids = append(ids, p.id)
	}
	return ids
}

// renewing returns up to max leases that are to be kept alive now. It must be called after
// lost.
func (s *schedule) renewing(now int64, max int) (ids []int64) {
	for len(ids) < max && len(s.next) > 0 && s.next[0].due <= now {
		p := s.next[0]
		p.due = never
		heap.Fix(&s.next, 0)
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
	heap.Fix(&s.next, p.position)
	return true
}

// failed says that a keep-alive got no answer.
func (s *schedule) failed(id, now int64) {
	if p := s.leases[id]; p != nil {
		p.due = now + p.ttl/12
		heap.Fix(&s.next, p.position)
	}
}

// byTime is a heap with the lease on top that something is to be done for first.
type byTime []*planned

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].at() < h[j].at() }
func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i, j
}
func (h *byTime) Push(x any) {
	p := x.(*planned)
	p.position = len(*h)
	*h = append(*h, p)
}
func (h *byTime) Pop() any {
	n := len(*h) - 1
	p := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return p
}
