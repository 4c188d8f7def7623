package watch

import (
	"container/heap"
	"slices"
)

// cursor is the place of one or more watchers of one stream and one group.
//
//	          Watch
//	            │ place
//	   ┌────────┼────────────┐
//	   ▼        ▼            ▼
//	future ──► idle ──────► ready ──► reading
//	 its first  has all      waits     reads the
//	 revision   that there   for Next  history
//	 is to come is
type cursor struct {
	stream *Stream
	group  *group
	ids    []int64 // of its watchers; none: it is gone
	// next is the first revision that was not handed out. Of an idle cursor, which has got
	// all that was matched, it may be lower.
	next uint64
	// told is the highest revision of which the client knows that it has got all up to it.
	told  uint64
	state state

	inGroup  int // its place in group.idle, or in Hub.future
	inStream int // its place in Stream.idleList
}

type state uint8

const (
	nowhere state = iota
	future
	idle
	ready
	reading
)

// place puts a cursor, which is nowhere, where it belongs.
func (h *Hub) place(c *cursor) {
	g, s := c.group, c.stream
	switch {
	case c.next > h.matched+1:
		c.state = future
		s.future++
		heap.Push(&h.future, c)
	case c.next < g.from || find(g.ring, c.next) < len(g.ring):
		c.state = ready
		s.ready = append(s.ready, c)
		s.rouse()
	default:
		h.rest(c)
	}
}

// rest makes a cursor idle, and one with the idle cursor that its stream and group have.
func (h *Hub) rest(c *cursor) {
	g, s := c.group, c.stream
	if s.idle[g] != nil {
		s.idle[g].merge(c)
		h.release(g)
	} else {
		c.state = idle
		c.inGroup, g.idle = len(g.idle), append(g.idle, c)
		c.inStream, s.idleList = len(s.idleList), append(s.idleList, c)
		s.idle[g] = c
	}
	if s.wanted {
		s.rouse()
	}
}

// unplace takes a cursor from where it is, but for the queue of those that are ready.
func (h *Hub) unplace(c *cursor) {
	switch c.state {
	case future:
		heap.Remove(&h.future, c.inGroup)
		c.stream.future--
	case idle:
		last := c.group.idle[len(c.group.idle)-1]
		c.group.idle[c.inGroup], last.inGroup = last, c.inGroup
		c.group.idle = slices.Delete(c.group.idle, len(c.group.idle)-1, len(c.group.idle))
		c.stream.notIdle(c)
	}
	c.state = nowhere
}

// merge takes over the watchers of another cursor, which has got the same.
func (c *cursor) merge(other *cursor) {
	for _, id := range other.ids {
		c.add(id, c.stream.watchers[id])
	}
	c.told = min(c.told, other.told)
	other.ids = nil
}

func (c *cursor) add(id int64, w *watcher) {
	w.cursor, w.place = c, len(c.ids)
	c.ids = append(c.ids, id)
}

// remove takes a watcher out of its cursor.
func (c *cursor) remove(w *watcher) {
	last := c.ids[len(c.ids)-1]
	c.ids[w.place] = last
	c.stream.watchers[last].place = w.place
	c.ids = c.ids[:len(c.ids)-1]
}

// futures is a heap of cursors. The one with the lowest revision is first.
type futures []*cursor

func (f futures) Len() int           { return len(f) }
func (f futures) Less(i, j int) bool { return f[i].next < f[j].next }
func (f futures) Swap(i, j int) {
	f[i], f[j] = f[j], f[i]
	f[i].inGroup, f[j].inGroup = i, j
}

// Push implements heap.Interface.
func (f *futures) Push(x any) {
	c := x.(*cursor)
	c.inGroup = len(*f)
	*f = append(*f, c)
}

// Pop implements heap.Interface.
func (f *futures) Pop() any {
	last := len(*f) - 1
	c := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return c
}
