package index

import "strings"

// fanout is the most slots in a node, such that a leaf takes 512 bytes.
const fanout = 61

// list has slots in the order of their keys.
type list struct {
	// prefix is how many bytes all the keys have in common, or fewer.
	prefix uint16
	count  uint16
	// heads has of each key the next four bytes. Most often they tell which of two keys is
	// first, and spare a look at the keys.
	heads [fanout]uint32
	slots [fanout]Slot
	// deleted has a bit for each slot of a leaf whose key is deleted. Inner nodes have none.
	deleted uint64
}

// maxPrefix bounds what is counted as common.
const maxPrefix = 1<<16 - 1

// headOf returns the four bytes of a key behind a prefix, with zeros for those that it lacks.
// Of two keys with different heads, the one with the lower head is first.
func headOf(key string, prefix int) uint32 {
	if len(key) >= prefix+4 {
		k := key[prefix : prefix+4]
		return uint32(k[0])<<24 | uint32(k[1])<<16 | uint32(k[2])<<8 | uint32(k[3])
	}
	var h uint32
	for i := prefix; i < len(key); i++ {
		h |= uint32(key[i]) << (24 - 8*(i-prefix))
	}
	return h
}

// common returns how many bytes two keys have in common at their beginning, at most so many.
func common(a, b string, most int) int {
	most = min(most, len(a), len(b))
	for i := range most {
		if a[i] != b[i] {
			return i
		}
	}
	return most
}

// search returns the place of the first key that is not below the given one, and whether it
// is that key.
func (l *list) search(t *slots, key string) (place int, found bool) {
	if l.count == 0 {
		return 0, false
	}
	prefix := int(l.prefix)
	if prefix > 0 {
		switch strings.Compare(key[:min(prefix, len(key))], t.key(l.slots[0])[:prefix]) {
		case -1:
			return 0, false
		case 1:
			return int(l.count), false
		}
	}
	head := headOf(key, prefix)
	low := lowerBound(l.heads[:l.count], head)
	if low == int(l.count) || l.heads[low] != head {
		return low, false
	}
	high := int(l.count)
	if head != 1<<32-1 {
		high = low + lowerBound(l.heads[low:l.count], head+1)
	}
	for low < high {
		middle := (low + high) / 2
		switch strings.Compare(t.key(l.slots[middle])[prefix:], key[prefix:]) {
		case 0:
			return middle, true
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low, false
}

// lowerBound returns the place of the first head that is not below the given one.
func lowerBound(heads []uint32, head uint32) int {
	low, high := 0, len(heads)
	for low < high {
		middle := int(uint(low+high) / 2)
		if heads[middle] < head {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// insert puts a slot at a place, before the one that is there.
func (l *list) insert(t *slots, place int, s Slot, key string) {
	if l.count == 0 {
		l.prefix = uint16(min(len(key), maxPrefix))
	}
	copy(l.heads[place+1:], l.heads[place:l.count])
	copy(l.slots[place+1:], l.slots[place:l.count])
	low := uint64(1)<<place - 1
	l.deleted = l.deleted&^low<<1 | l.deleted&low
	l.count++
	l.put(t, place, s, key)
}

// put makes a slot the one at a place, whose neighbours may have to share less from then on.
func (l *list) put(t *slots, place int, s Slot, key string) {
	l.slots[place] = s
	l.heads[place] = headOf(key, int(l.prefix))
	other := l.slots[0]
	if place == 0 {
		other = l.slots[l.count-1]
	}
	if prefix := common(key, t.key(other), int(l.prefix)); prefix < int(l.prefix) {
		l.setPrefix(t, prefix)
	}
}

func (l *list) setPrefix(t *slots, prefix int) {
	l.prefix = uint16(prefix)
	for i, s := range l.slots[:l.count] {
		l.heads[i] = headOf(t.key(s), prefix)
	}
}

// shared returns how many bytes all the keys have in common.
func (l *list) shared(t *slots) int {
	if l.count == 0 {
		return 0
	}
	return common(t.key(l.slots[0]), t.key(l.slots[l.count-1]), maxPrefix)
}

func (l *list) remove(place int) {
	copy(l.heads[place:], l.heads[place+1:l.count])
	copy(l.slots[place:], l.slots[place+1:l.count])
	low := uint64(1)<<place - 1
	l.deleted = l.deleted>>1&^low | l.deleted&low
	l.count--
}

// moveTail moves the slots from a place on to the end of another list, which they follow.
func (l *list) moveTail(t *slots, place int, to *list) {
	copy(to.slots[to.count:], l.slots[place:l.count])
	to.deleted |= l.deleted >> place << to.count
	l.deleted &= 1<<place - 1
	to.count += l.count - uint16(place)
	l.count = uint16(place)
	if prefix := l.shared(t); prefix != int(l.prefix) {
		l.setPrefix(t, prefix)
	}
	to.setPrefix(t, to.shared(t))
}
