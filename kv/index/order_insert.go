package index

// insert adds a slot whose key is not there yet.
func (o *order) insert(s Slot, key string) {
	if o.root == 0 {
		o.root = o.leaves.take()
	}
	if right := o.insertBelow(o.root, o.height, true, s, key); right != 0 {
		o.grow(right)
	}
}

// grow puts a root above the old one and what was split from it.
func (o *order) grow(right uint32) {
	root := o.inner.take()
	n := o.inner.at(root)
	for i, child := range []uint32{o.root, right} {
		first := o.node(child, o.height).slots[0]
		n.children[i], n.below[i] = child, o.tally(child, o.height)
		n.insert(o.table, i, first, o.table.key(first))
	}
	o.root = root
	o.height++
}

// insertBelow adds a slot to a node, of which last tells whether it is the last of its height.
// It returns the node that was split from it, 0 for none.
func (o *order) insertBelow(number uint32, height int, last bool, s Slot, key string) (right uint32) {
	if height == 0 {
		return o.insertInLeaf(number, s, key)
	}
	n := o.inner.at(number)
	place := n.child(o.table, key)
	last = last && place == int(n.count)-1
	split := o.insertBelow(n.children[place], height-1, last, s, key)
	if first := o.node(n.children[place], height-1).slots[0]; first != n.slots[place] {
		n.put(o.table, place, first, key)
	}
	if split == 0 {
		n.below[place].keys++
		if !o.table.at(s).deleted() {
			n.below[place].live++
		}
		return 0
	}
	n.below[place] = o.tally(n.children[place], height-1)
	place++
	if n.count == fanout {
		right = o.splitInner(number, last)
		if place > int(n.count) || n.count == fanout {
			place -= int(n.count)
			n = o.inner.at(right)
		}
	}
	first := o.node(split, height-1).slots[0]
	copy(n.children[place+1:], n.children[place:n.count])
	copy(n.below[place+1:], n.below[place:n.count])
	n.children[place], n.below[place] = split, o.tally(split, height-1)
	n.insert(o.table, place, first, o.table.key(first))
	return right
}

func (o *order) insertInLeaf(number uint32, s Slot, key string) (right uint32) {
	l := o.leaves.at(number)
	place, _ := l.search(o.table, key)
	if l.count == fanout {
		right = o.splitLeaf(number, l.after == 0 && place == fanout)
		if place > int(l.count) || l.count == fanout {
			place -= int(l.count)
			l = o.leaves.at(right)
		}
	}
	l.insert(o.table, place, s, key)
	if o.table.at(s).deleted() {
		l.deleted |= 1 << place
	}
	return right
}

// splitAt returns where a full node is split. Where keys come in their order, nodes stay full, and the last takes
// what follows.
func splitAt(last bool) int {
	if last {
		return fanout
	}
	return fanout / 2
}

func (o *order) splitLeaf(number uint32, last bool) (right uint32) {
	right = o.leaves.take()
	l, r := o.leaves.at(number), o.leaves.at(right)
	r.before, r.after = number, l.after
	if l.after != 0 {
		o.leaves.at(l.after).before = right
	}
	l.after = right
	l.moveTail(o.table, splitAt(last), &r.list)
	return right
}

func (o *order) splitInner(number uint32, last bool) (right uint32) {
	right = o.inner.take()
	n, r := o.inner.at(number), o.inner.at(right)
	at := splitAt(last)
	copy(r.children[:], n.children[at:])
	copy(r.below[:], n.below[at:])
	n.moveTail(o.table, at, &r.list)
	return right
}
