package lease

import "balsa.example/state/logtime"

// expiries is a binary heap of all leases by expiry and id, with the next to expire on top. An
// entry may have an earlier expiry than its lease, since a keep-alive changes the lease alone:
// the entry moves down when it comes to the top. So a keep-alive costs no step in the heap, and a
// lease that is kept alive costs some once in each time to live.
//
// Which entries are out of date differs between replicas, for example after a restart. The order
// in which leases come out does not: it is that of the leases' own expiries.
type expiries struct {
	heap []expiryEntry
	at   []int32 // by slot: where its entry is
}

type expiryEntry struct {
	expiry logtime.Time
	id     int64
	slot   uint32
}

func (a expiryEntry) before(b expiryEntry) bool {
	return a.expiry < b.expiry || a.expiry == b.expiry && a.id < b.id
}

func (x *expiries) add(e expiryEntry) {
	for int(e.slot) >= len(x.at) {
		x.at = append(x.at, 0)
	}
	x.heap = append(x.heap, e)
	x.up(len(x.heap)-1, e)
}

func (x *expiries) remove(slot uint32) {
	i := int(x.at[slot])
	last := x.heap[len(x.heap)-1]
	x.heap = x.heap[:len(x.heap)-1]
	switch {
	case i == len(x.heap):
	case i > 0 && last.before(x.heap[(i-1)/2]):
		x.up(i, last)
	default:
		x.down(i, last)
	}
}

// postpone gives the entry on top a later expiry.
func (x *expiries) postpone(expiry logtime.Time) {
	e := x.heap[0]
	e.expiry = expiry
	x.down(0, e)
}

// up puts e at i, or above if it comes before what is there.
func (x *expiries) up(i int, e expiryEntry) {
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(x.heap[parent]) {
			break
		}
		x.put(i, x.heap[parent])
		i = parent
	}
	x.put(i, e)
}

// down puts e at i, or below if it comes after what is there.
func (x *expiries) down(i int, e expiryEntry) {
	for {
		child := 2*i + 1
		if child >= len(x.heap) {
			break
		}
		if next := child + 1; next < len(x.heap) && x.heap[next].before(x.heap[child]) {
			child = next
		}
		if !x.heap[child].before(e) {
			break
		}
		x.put(i, x.heap[child])
		i = child
	}
	x.put(i, e)
}

func (x *expiries) put(i int, e expiryEntry) {
	x.heap[i] = e
	x.at[e.slot] = int32(i)
}
