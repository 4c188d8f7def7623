package index

import "math/bits"

// The order of keys is a B+ tree. A leaf has slots in the order of their keys, and an inner
// node has the first slot below each of its children. Nodes are numbered, and have no
// pointers.

type order struct {
	table  *slots
	leaves pool[leaf, *leaf]
	inner  pool[inner, *inner]
	root   uint32 // a leaf if height is 0; there is none if root is 0
	height int
}

type leaf struct {
	list
	before, after uint32 // its neighbours, 0 for none
}

type inner struct {
	list
	children [fanout]uint32
	below    [fanout]tally // what is below each child
}

// tally is how many keys there are, and how many of them are not deleted.
type tally struct{ keys, live uint32 }

func (t *tally) add(more tally) {
	t.keys += more.keys
	t.live += more.live
}

func (l *leaf) link() *uint32  { return &l.after }
func (n *inner) link() *uint32 { return &n.children[0] }

// node returns the list of a node that is so high above the leaves.
func (o *order) node(number uint32, height int) *list {
	if height == 0 {
		return &o.leaves.at(number).list
	}
	return &o.inner.at(number).list
}

// tally counts the keys below a node.
func (o *order) tally(number uint32, height int) (all tally) {
	if number == 0 {
		return tally{}
	}
	if height == 0 {
		l := o.leaves.at(number)
		return l.tally(int(l.count))
	}
	n := o.inner.at(number)
	for _, below := range n.below[:n.count] {
		all.add(below)
	}
	return all
}

// tally counts the keys before a place.
func (l *leaf) tally(place int) tally {
	return tally{uint32(place), uint32(place - bits.OnesCount64(l.deleted&(1<<place-1)))}
}

// setDeleted notes that a key was deleted, or that it is there again.
func (o *order) setDeleted(key string, deleted bool) {
	number := o.root
	for h := o.height; h > 0; h-- {
		n := o.inner.at(number)
		place := n.child(o.table, key)
		if deleted {
			n.below[place].live--
		} else {
			n.below[place].live++
		}
		number = n.children[place]
	}
	l := o.leaves.at(number)
	place, _ := l.search(o.table, key)
	l.deleted ^= 1 << place
}

// tallyBelow counts the keys below the given one.
func (o *order) tallyBelow(key string) (all tally) {
	number := o.root
	for h := o.height; h > 0; h-- {
		n := o.inner.at(number)
		place := n.child(o.table, key)
		for _, below := range n.below[:place] {
			all.add(below)
		}
		number = n.children[place]
	}
	if number == 0 {
		return tally{}
	}
	l := o.leaves.at(number)
	place, _ := l.search(o.table, key)
	all.add(l.tally(place))
	return all
}

// seek returns the leaf that has the first key not below the given one, and its place there.
// The place may be behind the leaf's last; then that key is the next leaf's first.
func (o *order) seek(key string) (leaf uint32, place int, found bool) {
	number := o.root
	for h := o.height; h > 0; h-- {
		n := o.inner.at(number)
		number = n.children[n.child(o.table, key)]
	}
	if number == 0 {
		return 0, 0, false
	}
	place, found = o.leaves.at(number).search(o.table, key)
	return number, place, found
}

// child returns the place of the child that a key belongs to.
func (n *inner) child(t *slots, key string) int {
	place, found := n.search(t, key)
	if !found && place > 0 {
		place--
	}
	return place
}

func (o *order) find(key string) Slot {
	number, place, found := o.seek(key)
	if !found {
		return 0
	}
	return o.leaves.at(number).slots[place]
}

func (o *order) memory() int64 { return o.leaves.memory() + o.inner.memory() }

// last returns the last leaf, and the place behind its last key.
func (o *order) last() (leaf uint32, place int) {
	number := o.root
	for h := o.height; h > 0; h-- {
		n := o.inner.at(number)
		number = n.children[n.count-1]
	}
	if number == 0 {
		return 0, 0
	}
	return number, int(o.leaves.at(number).count)
}
