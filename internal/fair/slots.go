package fair

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Slots is a bounded number of slots, which sources share. When all are taken, a newcomer gets
// a slot of the source that has most:
//
//	the newcomer's source would still have less  ─► the slot that was idle longest is freed
//	it would have as many as that source         ─► the same, if that slot was idle for long
//	                                                enough; else the newcomer is refused
type Slots struct {
	// OnSurplus, if not nil, is called for each newcomer that was refused, or for which a
	// slot was freed.
	OnSurplus func(newcomer string)

	max   int
	quiet time.Duration

	mu      sync.Mutex
	taken   int
	sources map[string]map[*Slot]struct{} // none empty

	refused, evicted atomic.Uint64
}

// Slot is one slot that is taken.
type Slot struct {
	slots  *Slots
	source string
	evict  func()
	used   atomic.Int64 // time of the last use, Unix nanoseconds
}

// NewSlots returns max slots. A slot that was used within the time quiet is not freed for a
// source that would have as many.
func NewSlots(max int, quiet time.Duration) *Slots {
	return &Slots{max: max, quiet: quiet, sources: make(map[string]map[*Slot]struct{})}
}

// Take takes a slot for a source, nil if there is none for it. evict is called, once at most,
// when the slot is freed for another source; it must not block.
func (s *Slots) Take(source string, evict func()) *Slot {
	slot := &Slot{slots: s, source: source, evict: evict}
	slot.Used()
	victim, ok := s.enter(slot)
	switch {
	case !ok:
		s.refused.Add(1)
		slot = nil
	case victim != nil:
		s.evicted.Add(1)
		victim.evict()
	default:
		return slot
	}
	if s.OnSurplus != nil {
		s.OnSurplus(source)
	}
	return slot
}

// enter adds slot, in the place of victim if that is not nil.
func (s *Slots) enter(slot *Slot) (victim *Slot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.max {
		if victim = s.victim(slot); victim == nil {
			return nil, false
		}
		s.remove(victim)
	}
	of := s.sources[slot.source]
	if of == nil {
		of = make(map[*Slot]struct{})
		s.sources[slot.source] = of
	}
	of[slot] = struct{}{}
	s.taken++
	return victim, true
}

// victim returns the slot to free for a newcomer, nil if there is none. Caller holds mu.
func (s *Slots) victim(newcomer *Slot) (victim *Slot) {
	most := 0
	for _, of := range s.sources {
		most = max(most, len(of))
	}
	for _, of := range s.sources {
		if len(of) < most {
			continue
		}
		for slot := range of {
			if victim == nil || slot.used.Load() < victim.used.Load() {
				victim = slot
			}
		}
	}
	unfair := most > len(s.sources[newcomer.source])+1
	if victim == nil || !unfair && newcomer.used.Load()-victim.used.Load() < int64(s.quiet) {
		return nil
	}
	return victim
}

// remove frees a slot, and tells whether it was still taken. Caller holds mu.
func (s *Slots) remove(slot *Slot) bool {
	of := s.sources[slot.source]
	if _, ok := of[slot]; !ok {
		return false
	}
	delete(of, slot)
	if len(of) == 0 {
		delete(s.sources, slot.source)
	}
	s.taken--
	return true
}

// Used says that the slot is in use now.
func (s *Slot) Used() { s.used.Store(time.Now().UnixNano()) }

// Leave frees the slot. It returns false if the slot was freed before.
func (s *Slot) Leave() bool {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	return s.slots.remove(s)
}

// Stats counts slots, and the newcomers that got none.
type Stats struct {
	Max, Taken int
	// Refused newcomers got no slot. Evicted is how many slots were freed for newcomers.
	Refused, Evicted uint64
}

// Stats returns the figures of this moment.
func (s *Slots) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Max: s.max, Taken: s.taken, Refused: s.refused.Load(), Evicted: s.evicted.Load()}
}

// Source returns the source of a connection from an address.
func Source(a net.Addr) string {
	if a == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		site, _ := ip.Prefix(64)
		return site.String()
	}
	return ip.String()
}
