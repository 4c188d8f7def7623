package run

import "fmt"

// Append adds a record to the history, and returns where it is. Its Mod is that of the record
// before, or a later one if that was the last of its revision. Key and Value are copied, once, and
// then alias the copy, which is never changed. A record takes less than 1 GiB, and a revision less
// than 3 GiB.
//
// What was appended is in memory alone, until Flush.
func (h *History) Append(rec *Record) Ref {
	if rec.Mod < h.last || (rec.Mod == h.last) == h.whole {
		panic(fmt.Sprintf("run: revision %d is appended to a history at %d (complete: %t)", rec.Mod, h.last, h.whole))
	}
	size, r := rec.size(), h.run
	if r == nil || h.whole && int64(r.mem.Load().size) >= h.opts.RunBytes {
		r = h.begin(rec.Mod)
	}
	mem := r.mem.Load()
	at := mem.size
	if size > maxRecord || int64(at)+int64(size) > MaxRunBytes {
		panic(fmt.Sprintf("run: a record of %d bytes at offset %d of a run", size, at))
	}
	hash := rec.encode(mem.room(size), place(r.salt, at))
	h.last, h.chain, h.whole = rec.Mod, link(h.chain, hash), rec.Last
	h.records++
	h.appended += int64(size)
	if rec.Last {
		h.mark = Mark{Revision: h.last, Chain: h.chain, offset: mem.size, records: h.records}
		r.complete.Store(mem.size)
	}
	return Ref{Run: r.number, Offset: at, Size: uint32(size)}
}

// begin ends the run that is appended to, and begins the next.
func (h *History) begin(first uint64) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil {
		end := h.mark
		h.run.end = &end
	}
	r := newRun(h.mu.next, header{cluster: h.opts.Cluster, first: first, chainBefore: h.chain})
	h.mu.next++
	head, _ := r.header.encode()
	r.mem.Store(newMemory(h.opts.chunkBytes(), head[:]))
	r.complete.Store(headerSize)
	h.mu.runs = append(h.mu.runs, r)
	h.changeFiles(func(byFile map[uint32]*run) { byFile[r.number] = r })
	h.run, h.records = r, 0
	return r
}
