package index

// Ascend yields the slots whose keys are not below from, in the order of the keys, until yield
// returns false. It looks at no key but from.
func (x *Index) Ascend(from string, yield func(Slot) bool) { x.Span(from, "", yield) }

// Span yields the slots of the keys from one on and below another, in the order of the keys,
// until yield returns false. All keys are below the empty one. It looks at no key but these.
func (x *Index) Span(from, to string, yield func(Slot) bool) {
	number, place, _ := x.order.seek(from)
	last, end := uint32(0), 0
	if to != "" {
		if from >= to {
			return
		}
		last, end, _ = x.order.seek(to)
	}
	for number != 0 {
		l := x.order.leaves.at(number)
		slots := l.slots[:l.count]
		if number == last {
			slots = slots[:end]
		}
		for _, s := range slots[min(place, len(slots)):] {
			if !yield(s) {
				return
			}
		}
		if number == last {
			return
		}
		number, place = l.after, 0
	}
}

// Count returns how many of the keys from one on and below another are not deleted, without a
// look at each of them. All keys are below the empty one.
func (x *Index) Count(from, to string) int {
	live, _ := x.Tally(from, to)
	return live
}

// Tally is Count, and tells how many keys of the span are deleted, and not purged yet. Span and Ascend yield these, too.
func (x *Index) Tally(from, to string) (live, deleted int) {
	below := x.order.tallyBelow(from)
	end := x.order.tally(x.order.root, x.order.height)
	if to != "" {
		end = x.order.tallyBelow(to)
	}
	if end.keys < below.keys {
		return 0, 0
	}
	live = int(end.live - below.live)
	return live, int(end.keys-below.keys) - live
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
