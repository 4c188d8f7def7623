package naive

import (
	"maps"
	"slices"
)

// Clone returns a machine in the same state, which goes its own way.
func (m *Machine) Clone() *Machine {
	c := *m
	c.past = maps.Clone(m.past)
	for key, events := range c.past {
		c.past[key] = events[:len(events):len(events)]
	}
	c.order = slices.Clone(m.order)
	c.revisions = m.revisions[:len(m.revisions):len(m.revisions)]
	c.leases = map[int64]*lease{}
	for id, l := range m.leases {
		own := *l
		own.outcomes = maps.Clone(l.outcomes)
		c.leases[id] = &own
	}
	c.walls = maps.Clone(m.walls)
	c.users = m.users.clone()
	c.alarms = m.alarms.clone()
	return &c
}
