package raft

import "sort"

// log is the replicated log in memory: the entries after base. A slice of it stays valid: the
// entries in it are never overwritten.
//
// base <= stable <= persisting <= last
type log struct {
	// base is the index of the entry before the first one held, baseTerm its term.
	base     Index
	baseTerm Term
	entries  blocks
	// end is the index of the last entry, or base.
	end Index
	// persisting is the index up to which Effects has returned the log in a Persist, and stable
	// that up to which the log is on disk. Entries that were replaced since do not count.
	persisting, stable Index
	// loadedTo is the index up to which the log still is the one that newLog was given.
	loadedTo Index
	// writes are the Persists that are on their way to disk, oldest first.
	writes []logWrite
	// These are sums of Entry.Size: over all entries, over those after persisting, and over
	// those in writes, including entries that were replaced since.
	size, unpersistedBytes, persistingBytes int
}

// logWrite remembers which part of the present log is on disk when the Persist seq is: that up
// to last. A truncation lowers last, because the entries behind it are replaced, and the end of
// the old write says nothing of the new entries. A bad schedule otherwise:
//
//  1. Follower F gets entry 5 of term 1, and begins to write it (write A).
//  2. A new leader replaces entry 5 by one of term 2 (write B).
//  3. A ends, and F acknowledges entry 5. The one of term 2 is not on its disk.
type logWrite struct {
	seq   uint64
	last  Index
	bytes int
}

func newLog(s State) log {
	l := emptyLog(s.Snapshot)
	l.append(s.Entries)
	l.persisting, l.stable, l.loadedTo, l.unpersistedBytes = l.end, l.end, l.end, 0
	return l
}

// emptyLog returns a log without entries, whose first one will be the one after a snapshot.
func emptyLog(m SnapshotMeta) log {
	return log{
		base: m.Index, baseTerm: m.Term, end: m.Index, persisting: m.Index, stable: m.Index,
		entries: blocks{start: m.Index + 1},
	}
}

func (l *log) last() Index { return l.end }

func (l *log) lastTerm() Term {
	t, _ := l.term(l.end)
	return t
}

// term returns the term of the entry at i, if base <= i <= last.
func (l *log) term(i Index) (Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, true
	case i < l.base || i > l.end:
		return 0, false
	default:
		return l.entries.at(i).Term, true
	}
}

// matches tells whether the entry at i is known to be of term t.
func (l *log) matches(i Index, t Term) bool {
	have, ok := l.term(i)
	return ok && have == t
}

// slice returns the entries lo to hi, both included.
func (l *log) slice(lo, hi Index) []Entry {
	if lo <= l.base || hi > l.end || lo > hi+1 {
		failf("log slice %d to %d of %d to %d", lo, hi, l.base+1, l.end)
	}
	return l.entries.slice(lo, hi)
}

// sliceBytes returns as many entries from lo on as fit into maxBytes, but at least one if the log
// has one.
func (l *log) sliceBytes(lo Index, maxBytes int) []Entry {
	hi, size := lo-1, 0
	for hi < l.end {
		for _, e := range l.entries.from(hi+1, l.end) {
			if size += e.Size(); hi >= lo && size > maxBytes {
				return l.slice(lo, hi)
			}
			hi++
		}
	}
	return l.slice(lo, hi)
}

// bytes is the sum of sizes of the entries lo to hi that are held.
func (l *log) bytes(lo, hi Index) int {
	return l.entries.bytes(max(lo, l.base+1), min(hi, l.end))
}

// firstWithin returns the lowest index such that the log from there up to and with last
// is held and has at most maxBytes.
func (l *log) firstWithin(maxBytes int, last Index) Index {
	first, size := last+1, 0
	for first > l.base+1 {
		if start, all, ok := l.entries.blockBefore(first); ok && size+all <= maxBytes {
			first, size = max(start, l.base+1), size+all
			continue
		}
		if size += l.entries.at(first - 1).Size(); size > maxBytes {
			break
		}
		first--
	}
	return first
}

// append adds entries behind the last one.
func (l *log) append(entries []Entry) {
	term := l.lastTerm()
	for i := range entries {
		e := &entries[i]
		if e.Index != l.end+1 || e.Term < term {
			failf("append of %s behind %d of term %d", entries[i], l.end, term)
		}
		l.end, term = e.Index, e.Term
	}
	size := l.entries.append(entries)
	l.size, l.unpersistedBytes = l.size+size, l.unpersistedBytes+size
}

// truncate drops the entries from i on.
func (l *log) truncate(i Index) {
	l.size -= l.bytes(i, l.end)
	l.unpersistedBytes -= l.bytes(max(i, l.persisting+1), l.end)
	l.entries.truncate(i)
	l.end = i - 1
	l.persisting, l.stable, l.loadedTo = min(l.persisting, i-1), min(l.stable, i-1), min(l.loadedTo, i-1)
	for k := range l.writes {
		l.writes[k].last = min(l.writes[k].last, i-1)
	}
}

// unpersisted returns the entries that Effects has not returned in a Persist yet.
func (l *log) unpersisted() []Entry { return l.slice(l.persisting+1, l.end) }

// startPersist notes that the Persist seq holds the unpersisted entries.
func (l *log) startPersist(seq uint64) {
	l.persisting = l.end
	l.writes = append(l.writes, logWrite{seq, l.persisting, l.unpersistedBytes})
	l.persistingBytes, l.unpersistedBytes = l.persistingBytes+l.unpersistedBytes, 0
}

// unstableBytes is the size of the entries that are not on disk, as far as is known.
func (l *log) unstableBytes() int { return l.unpersistedBytes + l.persistingBytes }

// persisted notes that the Persists up to seq are durable.
func (l *log) persisted(seq uint64) {
	n := 0
	for n < len(l.writes) && l.writes[n].seq <= seq {
		l.stable = max(l.stable, l.writes[n].last)
		l.persistingBytes -= l.writes[n].bytes
		n++
	}
	l.writes = l.writes[n:]
}

// compact drops the entries up to and with i, which is durable.
func (l *log) compact(i Index) {
	t, ok := l.term(i)
	assertf(ok, "compact to %d of %d to %d", i, l.base+1, l.end)
	l.size -= l.bytes(l.base+1, i)
	l.entries.drop(i + 1)
	l.base, l.baseTerm = i, t
}

// resetToSnapshot empties the log, so that its next entry is the one after a snapshot. The
// snapshot is on disk already, and after a restart it counts more than the log beside it. The
// writes that are under way hold entries of the old log, so they make nothing of the new one
// durable.
func (l *log) resetToSnapshot(m SnapshotMeta) {
	writes, bytes := l.writes, l.persistingBytes
	*l = emptyLog(m)
	for k := range writes {
		writes[k].last = 0
	}
	l.writes, l.persistingBytes = writes, bytes
}

// lastOfTerm returns the highest index not above limit whose term is not above t.
// Terms never fall along the log, so that a binary search finds it.
func (l *log) lastOfTerm(t Term, limit Index) Index {
	limit = min(limit, l.end)
	if limit <= l.base {
		return l.base
	}
	return l.search(limit, func(have Term) bool { return have > t }) - 1
}

// firstOfTerm returns the lowest index held whose term is at least t.
func (l *log) firstOfTerm(t Term) Index {
	return l.search(l.end, func(have Term) bool { return have >= t })
}

// search returns the lowest index up to limit that the log holds and whose term fits, or limit+1.
// If the term of an entry fits, those of all later ones do.
func (l *log) search(limit Index, fits func(Term) bool) Index {
	first := l.base + 1
	return first + Index(sort.Search(int(limit-l.base), func(i int) bool {
		return fits(l.entries.at(first + Index(i)).Term)
	}))
}
