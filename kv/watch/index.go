package watch

import (
	"maps"
	"slices"

	"balsa.example/kv"
)

// index finds the groups that an event is for. It looks at no others.
type index struct {
	keys   map[string]*node // spans of one key
	ranges *node            // all other spans
	chance uint64           // the state of the generator of priorities
}

// node is a distinct span, and its groups. The nodes of ranges form a treap: ordered by span
// from left to right, and by priority from top to bottom, which keeps it balanced whatever
// the order in which spans come and go.
type node struct {
	kv.Span
	groups []*group // one for each combination of filters in use

	left, right *node
	priority    uint64
	// last is the highest end of the spans in this subtree. "" is above all others.
	last string
}

// at returns the node of a span, and makes it if need be.
func (x *index) at(s kv.Span) *node {
	if key, ok := s.One(); ok {
		n := x.keys[key]
		if n == nil {
			n = &node{Span: s}
			x.keys[key] = n
		}
		return n
	}
	for n := x.ranges; n != nil; {
		switch {
		case s == n.Span:
			return n
		case before(s, n.Span):
			n = n.left
		default:
			n = n.right
		}
	}
	x.chance = x.chance*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
	n := &node{Span: s, priority: x.chance >> 1, last: s.To}
	x.ranges = insert(x.ranges, n)
	return n
}

// remove forgets a span that has no groups any more.
func (x *index) remove(s kv.Span) {
	if key, ok := s.One(); ok {
		delete(x.keys, key)
		return
	}
	x.ranges = remove(x.ranges, s)
}

// match calls yield for each span that a key is in.
func (x *index) match(key string, yield func(*node)) {
	if n := x.keys[key]; n != nil {
		yield(n)
	}
	x.ranges.match(key, yield)
}

func (n *node) match(key string, yield func(*node)) {
	for n != nil && (n.last == "" || key < n.last) {
		n.left.match(key, yield)
		if key < n.From {
			return // and all spans to the right begin later
		}
		if n.To == "" || key < n.To {
			yield(n)
		}
		n = n.right
	}
}

// all calls yield for each group, in an order that depends on the spans alone.
func (x *index) all(yield func(*group)) {
	for _, key := range slices.Sorted(maps.Keys(x.keys)) {
		for _, g := range x.keys[key].groups {
			yield(g)
		}
	}
	x.ranges.all(yield)
}

func (n *node) all(yield func(*group)) {
	if n != nil {
		n.left.all(yield)
		for _, g := range n.groups {
			yield(g)
		}
		n.right.all(yield)
	}
}

func before(a, b kv.Span) bool { return a.From < b.From || a.From == b.From && a.To < b.To }

// update computes last anew.
func (n *node) update() {
	n.last = n.To
	for _, child := range []*node{n.left, n.right} {
		if child != nil && n.last != "" && (child.last == "" || child.last > n.last) {
			n.last = child.last
		}
	}
}

func insert(n, added *node) *node {
	if n == nil {
		return added
	}
	if before(added.Span, n.Span) {
		n.left = insert(n.left, added)
		if n.left.priority > n.priority {
			return n.rotateRight()
		}
	} else {
		n.right = insert(n.right, added)
		if n.right.priority > n.priority {
			return n.rotateLeft()
		}
	}
	n.update()
	return n
}

func remove(n *node, s kv.Span) *node {
	switch {
	case n == nil:
		return nil
	case s == n.Span && n.left == nil:
		return n.right
	case s == n.Span && n.right == nil:
		return n.left
	case s == n.Span && n.left.priority > n.right.priority:
		n = n.rotateRight()
		n.right = remove(n.right, s)
	case s == n.Span:
		n = n.rotateLeft()
		n.left = remove(n.left, s)
	case before(s, n.Span):
		n.left = remove(n.left, s)
	default:
		n.right = remove(n.right, s)
	}
	n.update()
	return n
}

func (n *node) rotateRight() *node {
	top := n.left
	n.left, top.right = top.right, n
	n.update()
	top.update()
	return top
}

func (n *node) rotateLeft() *node {
	top := n.right
	n.right, top.left = top.left, n
	n.update()
	top.update()
	return top
}
