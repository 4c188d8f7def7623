package raft

import "sort"

// log is the replicated log in memory: the entries after base. Slices of it that
// were handed out stay valid.
//
// base <= stable <= persisting <= last
type log struct {
	// base is the index of the entry before the first one held, baseTerm its term.
	base     Index
	baseTerm Term
	entries  blocks
	// end is the index of the last entry, or base.
	end Index
	// persisting is the highest index that a Persist holds, stable the highest that is
	// durable, each in its present form.
	persisting, stable Index
	// loadedTo is up to where the log still is the one that newLog was given.
	loadedTo Index
	// writes are the Persists on their way to disk, oldest first.
	writes []logWrite
	// Sums of Entry.Size: over all entries, over those that no Persist holds yet, and over
	// those in writes, the ones that were replaced since included.
	size, unpersistedBytes, persistingBytes int
}

// logWrite remembers which part of the present log the Persist seq made durable.
// A later truncation lowers last: the entries were replaced meanwhile, and the end
// of the old write must not count for the new ones. The schedule: follower F gets
// 5 of term 1 (write A), then 5 of term 2 (write B); A's end means nothing for the
// 5 that F holds now, and acknowledging it would promise what only B makes true.
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

// emptyLog goes on behind a snapshot.
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

// term returns the term of the entry at i, if it is known: base <= i <= last.
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

// sliceBytes returns entries from lo on, at least one if there is one, as long as
// they fit into maxBytes.
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

// unpersisted returns the entries that no Persist holds yet.
func (l *log) unpersisted() []Entry { return l.slice(l.persisting+1, l.end) }

// startPersist says that the Persist seq holds everything up to the last entry.
func (l *log) startPersist(seq uint64) {
	l.persisting = l.end
	l.writes = append(l.writes, logWrite{seq, l.persisting, l.unpersistedBytes})
	l.persistingBytes, l.unpersistedBytes = l.persistingBytes+l.unpersistedBytes, 0
}

// unstableBytes is what waits for the disk.
func (l *log) unstableBytes() int { return l.unpersistedBytes + l.persistingBytes }

// persisted says that the Persists up to seq are durable.
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

// resetToSnapshot empties the log, so that it goes on behind a snapshot. The snapshot is
// durable already, and storage lets it win over whatever log it finds beside it. What is
// on its way to disk is of the log before.
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

// search returns the lowest index held up to limit whose term fits, or the one behind
// limit. Behind one that fits all do.
func (l *log) search(limit Index, fits func(Term) bool) Index {
	first := l.base + 1
	return first + Index(sort.Search(int(limit-l.base), func(i int) bool {
		return fits(l.entries.at(first + Index(i)).Term)
	}))
}
