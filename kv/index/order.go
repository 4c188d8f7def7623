package index

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

// Ascend yields the slots whose keys are not below from, in the order of the keys, until yield
// returns false.
func (x *Index) Ascend(from string, yield func(Slot) bool) {
	number, place, _ := x.order.seek(from)
	for number != 0 {
		l := x.order.leaves.at(number)
		for _, s := range l.slots[place:l.count] {
			if !yield(s) {
				return
			}
		}
		number, place = l.after, 0
	}
}

// Descend yields the slots whose keys are below the given one, from the last to the first,
// until yield returns false. All keys are below the empty one.
func (x *Index) Descend(below string, yield func(Slot) bool) {
	number, place, _ := x.order.seek(below)
	if below == "" {
		number, place = x.order.last()
	}
	for number != 0 {
		l := x.order.leaves.at(number)
		for place--; place >= 0; place-- {
			if !yield(l.slots[place]) {
				return
			}
		}
		if number = l.before; number != 0 {
			place = int(x.order.leaves.at(number).count)
		}
	}
}

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
