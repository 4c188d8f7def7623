package index

const (
	// A node with fewer slots than sparse is joined with a neighbour, if both together have
	// no more than joined.
	sparse = fanout / 4
	joined = fanout * 3 / 4
)

// remove takes out a slot whose key is deleted, and still in the table.
func (o *order) remove(s Slot, key string) {
	o.removeBelow(o.root, o.height, key)
	for o.height > 0 && o.inner.at(o.root).count == 1 {
		child := o.inner.at(o.root).children[0]
		o.inner.release(o.root)
		o.root = child
		o.height--
	}
	if o.height == 0 && o.leaves.at(o.root).count == 0 {
		o.leaves.release(o.root)
		o.root = 0
	}
}

func (o *order) removeBelow(number uint32, height int, key string) {
	if height == 0 {
		l := o.leaves.at(number)
		place, found := l.search(o.table, key)
		if !found || l.deleted>>place&1 == 0 {
			panic("index: a key that is not in its order, or not deleted")
		}
		l.remove(place)
		return
	}
	n := o.inner.at(number)
	place := n.child(o.table, key)
	o.removeBelow(n.children[place], height-1, key)
	n.below[place].keys--
	child := o.node(n.children[place], height-1)
	if child.count > 0 && child.slots[0] != n.slots[place] {
		first := child.slots[0]
		n.put(o.table, place, first, o.table.key(first))
	}
	if child.count >= sparse {
		return
	}
	if place+1 < int(n.count) && o.join(n, place, height-1) {
		return
	}
	if place > 0 && o.join(n, place-1, height-1) {
		return
	}
	if child.count == 0 {
		o.removeChild(n, place, height-1)
	}
}

// join moves all from the child behind a place to the one there, if that is not too much.
func (o *order) join(n *inner, place, height int) bool {
	number, next := n.children[place], n.children[place+1]
	to, from := o.node(number, height), o.node(next, height)
	if to.count+from.count > joined {
		return false
	}
	if height > 0 {
		left, right := o.inner.at(number), o.inner.at(next)
		copy(left.children[to.count:], right.children[:from.count])
		copy(left.below[to.count:], right.below[:from.count])
	}
	n.below[place].add(n.below[place+1])
	from.moveTail(o.table, 0, to)
	if first := to.slots[0]; to.count > 0 && first != n.slots[place] {
		n.put(o.table, place, first, o.table.key(first))
	}
	o.removeChild(n, place+1, height)
	return true
}

// removeChild takes out the child at a place, which is empty.
func (o *order) removeChild(n *inner, place, height int) {
	number := n.children[place]
	copy(n.children[place:], n.children[place+1:n.count])
	copy(n.below[place:], n.below[place+1:n.count])
	n.remove(place)
	if height > 0 {
		o.inner.release(number)
		return
	}
	l := o.leaves.at(number)
	if l.before != 0 {
		o.leaves.at(l.before).after = l.after
	}
	if l.after != 0 {
		o.leaves.at(l.after).before = l.before
	}
	o.leaves.release(number)
}
