package run

import (
	"encoding/binary"
	"iter"
	"sort"
	"sync/atomic"
)

// memory holds a run in the form of its file, in chunks that are filled one after the other and
// never moved. What was written is not changed, so that any goroutine may alias it. free and size
// are the writer's.
type memory struct {
	list       atomic.Pointer[[]chunk]
	chunkBytes int
	free       []byte // of the last chunk
	size       uint32 // what was written
}

// chunk is a part of the file from start on. Its length is that of its memory, and the file goes on
// in the next chunk, whose start says how much of this one is in use. No record is in two chunks.
type chunk struct {
	start uint32
	b     []byte
}

func newMemory(chunkBytes int, head []byte) *memory {
	m := &memory{chunkBytes: chunkBytes}
	m.list.Store(new([]chunk))
	copy(m.room(len(head)), head)
	return m
}

// room returns the next n bytes, to be written before anybody is told of them.
func (m *memory) room(n int) []byte {
	if n > len(m.free) {
		m.free = make([]byte, max(n, m.chunkBytes))
		old := *m.list.Load()
		list := make([]chunk, len(old)+1)
		copy(list, old)
		list[len(old)] = chunk{start: m.size, b: m.free}
		m.list.Store(&list)
	}
	p := m.free[:n:n]
	m.free = m.free[n:]
	m.size += uint32(n)
	return p
}

// at returns what was written there by one call of room, or nil.
func (m *memory) at(offset, size uint32) []byte {
	list := *m.list.Load()
	if len(list) == 0 {
		return nil
	}
	// The first chunk starts at 0, and most are as long as each other: so this is most often the right one.
	// The division is one of 32 bits, since some processors take twice as long for 64.
	i := min(int(offset/uint32(m.chunkBytes)), len(list)-1)
	for list[i].start > offset {
		i--
	}
	for i+1 < len(list) && list[i+1].start <= offset {
		i++
	}
	from, end := int64(offset-list[i].start), int64(offset-list[i].start)+int64(size)
	if end > int64(len(list[i].b)) {
		return nil
	}
	return list[i].b[from:end:end]
}

// pieces yields what is written from an offset up to another, chunk by chunk.
func (m *memory) pieces(from, to uint32) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		list := *m.list.Load()
		for i, c := range list {
			end := to
			if i+1 < len(list) {
				end = min(end, list[i+1].start)
			}
			if at := max(from, c.start); at < end && !yield(at, c.b[at-c.start:end-c.start]) {
				return
			}
		}
	}
}

// records yields the records from an offset up to another, both of which are the end of a record.
func (m *memory) records(from, to uint32) iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		for at, b := range m.pieces(max(from, headerSize), to) {
			for len(b) > 0 {
				n := recordHead + binary.LittleEndian.Uint32(b[8:])
				if !yield(at, b[:n:n]) {
					return
				}
				at, b = at+n, b[n:]
			}
		}
	}
}

// index returns what the index of a run, which begins with a revision, says of the records up to an offset.
func (m *memory) index(first uint64, end uint32, records int64, p *pacing) *packed {
	list := newPacked(first, records)
	var rec Record
	for at, b := range m.records(0, end) {
		rec.mustParse(b)
		list.add(entryOf(&rec, Ref{Offset: at, Size: uint32(len(b))}))
		p.did(0)
	}
	return list
}

// mustParse parses what was written to memory, which is trusted.
func (r *Record) mustParse(b []byte) {
	if err := r.parse(b); err != nil {
		panic(err)
	}
}

// startOf returns an offset from which on all records of a revision and the later ones are, if they
// are before end.
func (m *memory) startOf(revision uint64, end uint32) uint32 {
	list := *m.list.Load()
	i := sort.Search(len(list), func(i int) bool {
		return i > 0 && (list[i].start >= end || modOf(list[i].b) >= revision)
	})
	return list[i-1].start
}

// modOf returns the revision of the record that b begins with.
func modOf(b []byte) uint64 {
	mod, _ := binary.Uvarint(b[recordHead+1:])
	return mod
}

// bytes returns how much memory the chunks take.
func (m *memory) bytes() (n int64) {
	for _, c := range *m.list.Load() {
		n += int64(len(c.b))
	}
	return n
}
