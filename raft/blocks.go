package raft

// blockEntries is how many entries a full block has.
const blockEntries = 1 << 12

// blocks is a list of entries, of rising index without a gap, in blocks of equal length. A single
// slice would be copied as a whole whenever it is full, and whenever entries are dropped in
// front. With a million entries each such copy takes 100 ms.
//
// All blocks but the last are full. A slice of a block stays valid, because no entry in the
// array behind it is ever overwritten.
type blocks struct {
	// start is the index of the first entry of the first block. Dropped entries of that block
	// are zero.
	start Index
	list  []block
}

type block struct {
	entries []Entry
	size    int // the sum of Entry.Size
}

// find returns the block that the entry at i is in, and its position there.
func (b *blocks) find(i Index) (k, n int) {
	at := uint(i - b.start) // dividing an unsigned number is faster
	return int(at / blockEntries), int(at % blockEntries)
}

func (b *blocks) at(i Index) *Entry {
	k, n := b.find(i)
	return &b.list[k].entries[n]
}

// from returns the entries from lo on that are in the same block, up to hi at most.
func (b *blocks) from(lo, hi Index) []Entry {
	k, n := b.find(lo)
	es := b.list[k].entries[n:]
	m := min(len(es), int(hi-lo)+1)
	return es[:m:m]
}

// slice returns the entries lo to hi, both included. If they are not in one block, it copies
// them.
func (b *blocks) slice(lo, hi Index) []Entry {
	if lo > hi {
		return nil
	}
	es := b.from(lo, hi)
	all := int(hi-lo) + 1
	if len(es) == all {
		return es
	}
	copied := append(make([]Entry, 0, all), es...)
	for len(copied) < all {
		copied = append(copied, b.from(lo+Index(len(copied)), hi)...)
	}
	return copied
}

// bytes is the sum of sizes of the entries lo to hi.
func (b *blocks) bytes(lo, hi Index) (size int) {
	for lo <= hi {
		es := b.from(lo, hi)
		if len(es) == blockEntries {
			k, _ := b.find(lo)
			size += b.list[k].size
		} else {
			size += sizeOf(es)
		}
		lo += Index(len(es))
	}
	return size
}

func sizeOf(entries []Entry) (size int) {
	for i := range entries {
		size += entries[i].Size()
	}
	return size
}

// append adds entries behind the last one, and returns the sum of their sizes. A block behind a full one has all of its
// memory at once; the first one grows with the log.
func (b *blocks) append(entries []Entry) (size int) {
	for len(entries) > 0 {
		if n := len(b.list); n == 0 || len(b.list[n-1].entries) == blockEntries {
			b.list = append(b.list, block{})
		}
		last := &b.list[len(b.list)-1]
		have := len(last.entries)
		some := entries[:min(len(entries), blockEntries-have)]
		if need := have + len(some); need > cap(last.entries) {
			room := blockEntries
			if len(b.list) == 1 {
				room = min(blockEntries, 2*need)
			}
			last.entries = append(make([]Entry, 0, room), last.entries...)
		}
		last.entries = append(last.entries, some...)
		added := sizeOf(some)
		last.size += added
		size += added
		entries = entries[len(some):]
	}
	return size
}

// truncate drops the entry at i, which must exist, and all behind it. The next append copies
// what is left of the last block.
func (b *blocks) truncate(i Index) {
	k, n := b.find(i)
	if n > 0 {
		last := &b.list[k]
		last.size -= sizeOf(last.entries[n:])
		last.entries = last.entries[:n:n]
		k++
	}
	clear(b.list[k:])
	b.list = b.list[:k]
}

// drop drops the entries before i, which is at most the index after the last one. It copies what
// stays of the first block, so that the memory of the dropped entries is freed. (slices.Clone of
// an empty slice would keep the array.)
func (b *blocks) drop(i Index) {
	k, n := b.find(i)
	b.start += Index(k * blockEntries)
	b.list = append([]block(nil), b.list[k:]...)
	if n == 0 {
		return
	}
	first := &b.list[0]
	stay := first.entries[n:]
	first.size = sizeOf(stay)
	if len(b.list) == 1 {
		b.start = i
		first.entries = append([]Entry(nil), stay...)
		return
	}
	first.entries = make([]Entry, blockEntries)
	copy(first.entries[n:], stay)
}

// blockBefore returns the index of the first entry of the block that ends before i, and
// the size of that block; false if no block does.
func (b *blocks) blockBefore(i Index) (first Index, size int, ok bool) {
	if k, n := b.find(i); k > 0 && n == 0 {
		return i - blockEntries, b.list[k-1].size, true
	}
	return 0, 0, false
}
