package index

// The hash table is extendible: a directory, which the first bits of a hash lead through, of
// small tables. A table that is full splits in two, and two that have little are merged, so
// that no change moves more than two tables' entries.

const (
	tableEntries = 1023
	tableFull    = tableEntries * 7 / 8
	// A table with fewer entries than tableSparse is merged with its sibling, if both
	// together have no more than tableMerged.
	tableSparse = tableEntries / 4
	tableMerged = tableEntries / 2
	// maxAlike bounds the entries of one tag in a table. Keys whose hashes collide on
	// purpose would make each other slow to find; those above the bound are left out of the
	// table, and found through the order of keys.
	maxAlike = 8
	// maxDepth bounds the directory, and so do maxSparse entries of it for each table:
	// that, too, only hashes made on purpose can reach.
	maxDepth  = 24
	maxSparse = 64
)

// entry is a slot, and as the high half the tag of its key: 0 is none.
type entry uint64

func newEntry(tag uint32, s Slot) entry { return entry(tag)<<32 | entry(s) }
func (e entry) tag() uint32             { return uint32(e >> 32) }
func (e entry) slot() Slot              { return Slot(e) }

// table has the entries of the tags that agree in their first depth bits. An entry is at the
// place that its tag asks for, or behind it, without a gap.
type table struct {
	depth   uint16
	count   uint16
	crowded bool // keys were left out
	_       [3]byte
	entries [tableEntries]entry
}

// home returns the place that a tag asks for, by bits that a directory hardly uses.
func home(tag uint32) int { return int(tag&0xffff) * tableEntries >> 16 }

func behind(i int) int {
	if i++; i == tableEntries {
		return 0
	}
	return i
}

type hash struct {
	directory []*table // by the first depth bits of a tag
	depth     uint16
	tables    int
}

func newHash() hash { return hash{directory: []*table{new(table)}, tables: 1} }

func (h *hash) table(tag uint32) *table { return h.directory[tag>>(32-h.depth)] }

// insert adds a slot, which is not there yet, unless its key has to be left out.
func (h *hash) insert(tag uint32, s Slot) {
	t := h.table(tag)
	for t.count == tableFull && h.split(t, tag) {
		t = h.table(tag)
	}
	if t.count == tableFull || !t.insert(newEntry(tag, s)) {
		t.crowded = true
	}
}

func (t *table) insert(e entry) bool {
	i, alike := home(e.tag()), 0
	for ; t.entries[i] != 0; i = behind(i) {
		if t.entries[i].tag() == e.tag() {
			if alike++; alike == maxAlike {
				return false
			}
		}
	}
	t.entries[i] = e
	t.count++
	return true
}

// split divides t by the next bit of its tags. It tells whether that could be done.
func (h *hash) split(t *table, tag uint32) bool {
	if t.depth == h.depth && !h.deepen() {
		return false
	}
	other := &table{depth: t.depth + 1, crowded: t.crowded}
	h.tables++
	row := h.row(t, tag)
	for i := range row[len(row)/2:] {
		row[len(row)/2+i] = other
	}
	all := t.entries
	*t = table{depth: other.depth, crowded: t.crowded}
	for _, e := range all {
		if e == 0 {
			continue
		}
		if e.tag()>>(32-t.depth)&1 == 0 {
			t.insert(e)
		} else {
			other.insert(e)
		}
	}
	return true
}

// row returns the part of the directory that leads to t, which has a tag.
func (h *hash) row(t *table, tag uint32) []*table {
	size := 1 << (h.depth - t.depth)
	from := int(tag>>(32-h.depth)) &^ (size - 1)
	return h.directory[from : from+size]
}

// merge moves all from a table that has a tag to the one that was split from it, if both have
// little.
func (h *hash) merge(t *table, tag uint32) {
	if t.depth == 0 {
		return
	}
	sibling := h.table(tag ^ 1<<(32-t.depth))
	if sibling.depth != t.depth || sibling.count+t.count > tableMerged || sibling.crowded || t.crowded {
		return
	}
	for _, e := range t.entries {
		if e != 0 {
			sibling.insert(e)
		}
	}
	row := h.row(t, tag)
	for i := range row {
		row[i] = sibling
	}
	sibling.depth--
	h.tables--
}

// deepen doubles the directory, unless hashes are too uneven for that to help.
func (h *hash) deepen() bool {
	if h.depth == maxDepth || len(h.directory) >= maxSparse*h.tables {
		return false
	}
	twice := make([]*table, 2*len(h.directory))
	for i, t := range h.directory {
		twice[2*i], twice[2*i+1] = t, t
	}
	h.directory = twice
	h.depth++
	return true
}

// remove takes a slot out, if it is there.
func (h *hash) remove(tag uint32, s Slot) {
	t := h.table(tag)
	if !t.remove(newEntry(tag, s)) {
		return
	}
	if t.count < tableSparse {
		h.merge(t, tag)
	}
}

func (t *table) remove(e entry) bool {
	i := home(e.tag())
	for ; t.entries[i] != e; i = behind(i) {
		if t.entries[i] == 0 {
			return false
		}
	}
	t.count--
	// Entries that asked for the gap, or for a place before it, close up.
	gap := i
	t.entries[gap] = 0
	for i = behind(i); t.entries[i] != 0; i = behind(i) {
		if distance(home(t.entries[i].tag()), i) >= distance(gap, i) {
			t.entries[gap], t.entries[i] = t.entries[i], 0
			gap = i
		}
	}
	return true
}

// distance is how far i is behind from.
func distance(from, i int) int { return (i - from + tableEntries) % tableEntries }
