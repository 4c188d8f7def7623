package raft

import "sort"

// log is the replicated log in memory: the entries after base. Slices of it that
// were handed out stay valid, because nothing in the array behind them is ever
// overwritten: a truncation makes the next append copy.
//
// base <= stable <= saved <= last
type log struct {
	// base is the index of the entry before the first one held, baseTerm its term.
	base     Index
	baseTerm Term
	entries  []Entry
	// saved is the highest index that a Persist holds, stable the highest that is
	// durable, each in its present form.
	saved, stable Index
	// writes are the Persists on their way to disk, oldest first.
	writes []logWrite
	// size is the sum of Entry.Size over entries.
	size int
}

// logWrite remembers which part of the present log the Persist seq made durable.
// A later truncation lowers last: the entries were replaced meanwhile, and the end
// of the old write must not count for the new ones. The schedule: follower F gets
// 5 of term 1 (write A), then 5 of term 2 (write B); A's end means nothing for the
// 5 that F holds now, and acknowledging it would promise what only B makes true.
type logWrite struct {
	seq  uint64
	last Index
}

func newLog(s State) log {
	l := log{base: s.Snapshot.Index, baseTerm: s.Snapshot.Term}
	l.saved, l.stable = l.base, l.base
	l.append(s.Entries)
	l.saved, l.stable = l.last(), l.last()
	return l
}

func (l *log) last() Index { return l.base + Index(len(l.entries)) }

func (l *log) lastTerm() Term {
	if len(l.entries) == 0 {
		return l.baseTerm
	}
	return l.entries[len(l.entries)-1].Term
}

// term returns the term of the entry at i, if it is known: base <= i <= last.
func (l *log) term(i Index) (Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, true
	case i < l.base || i > l.last():
		return 0, false
	default:
		return l.entries[i-l.base-1].Term, true
	}
}

func (l *log) matches(i Index, t Term) bool {
	have, ok := l.term(i)
	return ok && have == t
}

// slice returns the entries lo to hi, both included.
func (l *log) slice(lo, hi Index) []Entry {
	if lo <= l.base || hi > l.last() || lo > hi+1 {
		failf("log slice %d to %d of %d to %d", lo, hi, l.base+1, l.last())
	}
	from, to := lo-l.base-1, hi-l.base
	return l.entries[from:to:to]
}

// sliceBytes returns entries from lo on, at least one if there is one, as long as
// they fit into maxBytes.
func (l *log) sliceBytes(lo Index, maxBytes int) []Entry {
	all := l.slice(lo, l.last())
	n, size := 0, 0
	for n < len(all) && (n == 0 || size+all[n].Size() <= maxBytes) {
		size += all[n].Size()
		n++
	}
	return all[:n:n]
}

// bytes is the sum of sizes of the entries lo to hi that are held.
func (l *log) bytes(lo, hi Index) (size int) {
	lo, hi = max(lo, l.base+1), min(hi, l.last())
	if lo > hi {
		return 0
	}
	for _, e := range l.slice(lo, hi) {
		size += e.Size()
	}
	return size
}

// append adds entries behind the last one. An array that is full is replaced by one of
// twice the size: what append would do for large ones copies each entry some five times.
func (l *log) append(entries []Entry) {
	if need := len(l.entries) + len(entries); need > cap(l.entries) {
		l.entries = append(make([]Entry, 0, 2*need), l.entries...)
	}
	for _, e := range entries {
		if e.Index != l.last()+1 || e.Term < l.lastTerm() {
			failf("append of %s behind %d of term %d", e, l.last(), l.lastTerm())
		}
		l.entries = append(l.entries, e)
		l.size += e.Size()
	}
}

// truncate drops the entries from i on.
func (l *log) truncate(i Index) {
	l.size -= l.bytes(i, l.last())
	n := i - l.base - 1
	l.entries = l.entries[:n:n]
	l.saved, l.stable = min(l.saved, i-1), min(l.stable, i-1)
	for k := range l.writes {
		l.writes[k].last = min(l.writes[k].last, i-1)
	}
}

// unsaved returns the entries that no Persist holds yet.
func (l *log) unsaved() []Entry { return l.slice(l.saved+1, l.last()) }

// saving says that the Persist seq holds everything up to the last entry.
func (l *log) saving(seq uint64) {
	l.saved = l.last()
	l.writes = append(l.writes, logWrite{seq, l.saved})
}

// persisted says that the Persists up to seq are durable.
func (l *log) persisted(seq uint64) {
	n := 0
	for n < len(l.writes) && l.writes[n].seq <= seq {
		l.stable = max(l.stable, l.writes[n].last)
		n++
	}
	l.writes = l.writes[n:]
}

// compact drops the entries up to and with i, which is durable. The array is
// copied, so that its memory goes with them. The new one has room for as many entries
// as there were: the log will grow to that again.
func (l *log) compact(i Index) {
	t, ok := l.term(i)
	assertf(ok, "compact to %d of %d to %d", i, l.base+1, l.last())
	l.size -= l.bytes(l.base+1, i)
	l.entries = append(make([]Entry, 0, len(l.entries)), l.entries[i-l.base:]...)
	l.base, l.baseTerm = i, t
}

// restart empties the log, so that it goes on behind a snapshot. The snapshot is
// durable already, and storage lets it win over whatever log it finds beside it.
func (l *log) restart(m SnapshotMeta) {
	*l = log{base: m.Index, baseTerm: m.Term, saved: m.Index, stable: m.Index}
}

// lastOfTerm returns the highest index not above limit whose term is not above t.
// Terms never fall along the log, so that a binary search finds it.
func (l *log) lastOfTerm(t Term, limit Index) Index {
	limit = min(limit, l.last())
	if limit <= l.base {
		return l.base
	}
	held := l.slice(l.base+1, limit)
	return l.base + Index(sort.Search(len(held), func(i int) bool { return held[i].Term > t }))
}

// firstOfTerm returns the lowest index held whose term is at least t.
func (l *log) firstOfTerm(t Term) Index {
	return l.base + 1 + Index(sort.Search(len(l.entries), func(i int) bool { return l.entries[i].Term >= t }))
}
