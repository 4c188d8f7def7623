package index

import (
	"fmt"
	"strings"
	"unsafe"
)

// Check looks for what must always hold inside an index.
func (x *Index) Check() error {
	slots, err := x.checkOrder()
	if err != nil {
		return err
	}
	hashed, crowded := 0, false
	seen := map[*table]bool{}
	for _, t := range x.hash.directory {
		if seen[t] {
			continue
		}
		seen[t] = true
		crowded = crowded || t.crowded
		n := 0
		for _, e := range t.entries {
			if e == 0 {
				continue
			}
			n++
			if x.hash.table(e.tag()) != t || tagOf(x.Key(e.slot())) != e.tag() {
				return fmt.Errorf("slot %d is in the wrong table", e.slot())
			}
		}
		if n != int(t.count) {
			return fmt.Errorf("a table counts %d of %d entries", t.count, n)
		}
		hashed += n
	}
	if hashed != len(slots) && !crowded || len(seen) != x.hash.tables {
		return fmt.Errorf("%d slots are in %d tables of %d, and %d in order", hashed, len(seen), x.hash.tables, len(slots))
	}
	live := 0
	for _, s := range slots {
		if x.Find(x.Key(s)) != s {
			return fmt.Errorf("%q is not found", x.Key(s))
		}
		if !x.Head(s).Deleted {
			live++
		}
	}
	if live != x.Keys() {
		return fmt.Errorf("%d keys of %d", x.Keys(), live)
	}
	return x.table.bytes.check(slots, x)
}

func (k *keys) check(slots []Slot, x *Index) error {
	used := map[uint32]int{}
	for _, s := range slots {
		p := x.table.at(s).key
		used[p.chunk()] += recordSize(k.get(p))
	}
	var bytes, waste, shared int64
	for i, c := range k.chunks {
		size := len(c)
		bytes += int64(size)
		waste += int64(k.unused[i])
		if size == keyChunk && recordSize(k.get(keyPlace(i*keyUnits))) <= keyChunk/4 {
			shared += keyChunk
		}
		if uint32(i) == k.active && i > 0 {
			size = k.filled
		}
		if used[uint32(i)]+int(k.unused[i]) != size {
			return fmt.Errorf("chunk %d of keys: %d used, %d unused, of %d", i, used[uint32(i)], k.unused[i], size)
		}
	}
	if bytes != k.bytes || waste != k.waste || shared != k.shared {
		return fmt.Errorf("%d bytes of %d, %d unused of %d, %d shared of %d", k.bytes, bytes, k.waste, waste, k.shared, shared)
	}
	return nil
}

// Steps returns how many nodes At looks at.
func (x *Index) Steps(s Slot, revision uint64) (n int) {
	var found *node
	for number := x.table.at(s).older.number(); found == nil && x.older.has(number); n++ {
		number, found = x.older.step(number, revision)
	}
	return n
}

// Probes returns how many entries of tables have to be looked at for one of the keys, at most.
func (x *Index) Probes(keys []string) (most int) {
	for _, key := range keys {
		t, tag := x.hash.table(tagOf(key)), tagOf(key)
		n := 0
		for i := home(tag); t.entries[i] != 0; i = behind(i) {
			if n++; t.entries[i].tag() == tag {
				n += 10 // a look at a key
			}
		}
		most = max(most, n)
	}
	return most
}

// Allocated returns how much memory the index has allocated, with what waits to be used again.
func (x *Index) Allocated() int64 {
	idle := x.table.pool.idle*int(unsafe.Sizeof(slot{})) + x.order.leaves.idle*int(unsafe.Sizeof(leaf{})) + x.order.inner.idle*int(unsafe.Sizeof(inner{}))
	return x.Bytes() + int64(idle)
}

// KeyMemory returns the bytes that are allocated for keys.
func (x *Index) KeyMemory() int64 { return x.table.bytes.bytes }

// checkOrder returns the slots in their order.
func (x *Index) checkOrder() (all []Slot, err error) {
	o := &x.order
	var before uint32
	var walk func(number uint32, height int) error
	walk = func(number uint32, height int) error {
		l := o.node(number, height)
		if l.count == 0 {
			return fmt.Errorf("node %d of height %d is empty", number, height)
		}
		for i, s := range l.slots[:l.count] {
			key := x.Key(s)
			if len(key) < int(l.prefix) || key[:l.prefix] != x.Key(l.slots[0])[:l.prefix] {
				return fmt.Errorf("%q has not the %d bytes in common with %q", key, l.prefix, x.Key(l.slots[0]))
			}
			if l.heads[i] != headOf(key, int(l.prefix)) {
				return fmt.Errorf("%q has a wrong head", key)
			}
			if i > 0 && strings.Compare(x.Key(l.slots[i-1]), key) >= 0 {
				return fmt.Errorf("%q is not above %q", key, x.Key(l.slots[i-1]))
			}
		}
		if height == 0 {
			leaf := o.leaves.at(number)
			if leaf.before != before || before != 0 && o.leaves.at(before).after != number {
				return fmt.Errorf("leaf %d has %d before it, not %d", number, leaf.before, before)
			}
			for i, s := range leaf.slots[:leaf.count] {
				if x.Head(s).Deleted != (leaf.deleted>>i&1 == 1) {
					return fmt.Errorf("leaf %d does not know whether %q is deleted", number, x.Key(s))
				}
			}
			if leaf.deleted>>leaf.count != 0 {
				return fmt.Errorf("leaf %d has bits behind its last slot", number)
			}
			before = number
			all = append(all, l.slots[:l.count]...)
			return nil
		}
		n := o.inner.at(number)
		for i, child := range n.children[:n.count] {
			if err := walk(child, height-1); err != nil {
				return err
			}
			if below := o.tally(child, height-1); below != n.below[i] {
				return fmt.Errorf("child %d of node %d has the keys %+v, not %+v", i, number, below, n.below[i])
			}
			if o.node(child, height-1).slots[0] != n.slots[i] {
				return fmt.Errorf("child %d of node %d has another first key", i, number)
			}
		}
		return nil
	}
	if o.root != 0 {
		if err := walk(o.root, o.height); err != nil {
			return nil, err
		}
		if before != 0 && o.leaves.at(before).after != 0 {
			return nil, fmt.Errorf("leaf %d is not the last", before)
		}
	}
	for i := range all {
		if i > 0 && x.Key(all[i-1]) >= x.Key(all[i]) {
			return nil, fmt.Errorf("%q before %q", x.Key(all[i-1]), x.Key(all[i]))
		}
	}
	return all, nil
}
