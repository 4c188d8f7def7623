package raft

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// plainLog is a naive implementation of log.
type plainLog struct {
	base     Index
	baseTerm Term
	entries  []Entry
}

func (p *plainLog) last() Index { return p.base + Index(len(p.entries)) }

func (p *plainLog) lastTerm() Term {
	if len(p.entries) == 0 {
		return p.baseTerm
	}
	return p.entries[len(p.entries)-1].Term
}

// held returns those of the entries lo to hi that the log has.
func (p *plainLog) held(lo, hi Index) []Entry {
	lo, hi = max(lo, p.base+1), min(hi, p.last())
	if lo > hi {
		return nil
	}
	return p.entries[lo-p.base-1 : hi-p.base]
}

// grow makes entries that follow the last one.
func (p *plainLog) grow(n int, term Term) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{Term: term, Index: p.last() + 1 + Index(i), Kind: EntryCommand, Data: make([]byte, i%7)}
	}
	p.entries = append(slices.Clip(p.entries), es...)
	return es
}

// sharedSlice is a slice that the log has returned, and a copy of its entries at that time.
type sharedSlice struct{ slice, was []Entry }

func sameEntries(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(x, y Entry) bool {
		return x.Index == y.Index && x.Term == y.Term && len(x.Data) == len(y.Data)
	})
}

// TestLogBehavesLikeAPlainOne appends, truncates, compacts and resets around the bounds of
// blocks, and compares the answers of all methods.
func TestLogBehavesLikeAPlainOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SampledFrom([]int{0, 1, 2, 100, blockEntries - 1, blockEntries, blockEntries + 1, 2*blockEntries + 3})
		index := func(lo, hi Index, label string) Index {
			at := Index(rapid.Uint64Range(uint64(lo), uint64(hi)).Draw(t, label))
			if near := (at-lo)/blockEntries*blockEntries + lo; rapid.Bool().Draw(t, "at a bound") {
				return near
			}
			return at
		}
		first := SnapshotMeta{Index: Index(rapid.Uint64Range(0, 2).Draw(t, "base")), Term: 1}
		p := &plainLog{base: first.Index, baseTerm: first.Term}
		l := newLog(State{Snapshot: first, Entries: p.grow(some.Draw(t, "before"), 1)})
		term := Term(1)
		var out []sharedSlice
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0, 1, 2:
				term += Term(rapid.IntRange(0, 1).Draw(t, "new term"))
				l.append(p.grow(some.Draw(t, "entries"), term))
			case 3:
				if p.base < p.last() {
					at := index(p.base+1, p.last(), "truncate")
					l.truncate(at)
					p.entries = p.entries[:at-p.base-1]
					term++
				}
			case 4:
				at := index(p.base, p.last(), "compact")
				p.baseTerm, _ = l.term(at)
				l.compact(at)
				p.base, p.entries = at, slices.Clone(p.held(at+1, p.last()))
			case 5:
				m := SnapshotMeta{Index: p.last() + 5, Term: term}
				l.resetToSnapshot(m)
				*p = plainLog{base: m.Index, baseTerm: m.Term}
			default:
				if p.base < p.last() {
					lo := index(p.base+1, p.last(), "lo")
					hi := index(lo, p.last(), "hi")
					slice := l.slice(lo, hi)
					out = append(out, sharedSlice{slice, slices.Clone(slice)})
				}
			}
			compareLogs(t, &l, p, index)
		}
		for _, h := range out {
			if !sameEntries(h.slice, h.was) {
				t.Fatal("entries of a slice that the log returned have changed")
			}
		}
	})
}

func compareLogs(t *rapid.T, l *log, p *plainLog, index func(lo, hi Index, label string) Index) {
	if l.last() != p.last() || l.lastTerm() != p.lastTerm() || l.size != sizeOf(p.entries) {
		t.Fatalf("log to %d of term %d, %d bytes; want %d of %d, %d", l.last(), l.lastTerm(), l.size, p.last(), p.lastTerm(), sizeOf(p.entries))
	}
	if !sameEntries(l.slice(p.base+1, p.last()), p.entries) {
		t.Fatal("the log holds other entries")
	}
	for i, e := range p.entries {
		if got, ok := l.term(e.Index); !ok || got != e.Term {
			t.Fatalf("term of %d is %d, %t; want that of %d", e.Index, got, ok, p.entries[i].Term)
		}
	}
	if len(p.entries) == 0 {
		return
	}
	lo := index(p.base+1, p.last(), "from")
	hi := index(lo, p.last(), "to")
	if got, want := l.bytes(lo, hi), sizeOf(p.held(lo, hi)); got != want {
		t.Fatalf("bytes from %d to %d are %d, want %d", lo, hi, got, want)
	}
	most := sizeOf(p.held(lo, hi))
	if got := l.sliceBytes(lo, most); len(got) < int(hi-lo)+1 || len(got) > 1 && sizeOf(got) > most {
		t.Fatalf("from %d on %d entries fit into %d bytes, want %d or more", lo, len(got), most, hi-lo+1)
	}
	if got := l.firstWithin(most, hi); got > lo || sizeOf(p.held(got, hi)) > most {
		t.Fatalf("up to %d entries from %d on fit into %d bytes, want %d", hi, got, most, lo)
	}
	for term := p.baseTerm; term <= p.lastTerm()+1; term++ {
		last, first := p.base, p.last()+1
		for _, e := range p.held(p.base+1, hi) {
			if e.Term <= term {
				last = e.Index
			}
		}
		if i := slices.IndexFunc(p.entries, func(e Entry) bool { return e.Term >= term }); i >= 0 {
			first = p.entries[i].Index
		}
		if got := l.lastOfTerm(term, hi); got != last {
			t.Fatalf("last of term %d up to %d is %d, want %d", term, hi, got, last)
		}
		if got := l.firstOfTerm(term); got != first {
			t.Fatalf("first of term %d is %d, want %d", term, got, first)
		}
	}
}

// The cost of a step does not depend on the length of the log: no step copies all of it.
func TestALongLogIsNotCopied(t *testing.T) {
	const entries = 40 * blockEntries
	grow := func(l *log, n int) {
		for range n {
			l.append([]Entry{{Term: 1, Index: l.last() + 1, Kind: EntryCommand}})
		}
	}
	l := newLog(State{})
	grow(&l, entries)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"append of a block", func() { grow(&l, blockEntries) }},
		{"compaction", func() { l.compact(l.base + blockEntries/2) }},
		{"truncation", func() { l.truncate(l.last() - blockEntries/2) }},
		{"append after it", func() { grow(&l, 1) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step.do()
		runtime.ReadMemStats(&after)
		const most = 3 * blockEntries * unsafe.Sizeof(Entry{})
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(most) {
			t.Errorf("%s allocates %d bytes for a log of %d entries, want at most %d", step.name, took, l.last()-l.base, most)
		}
	}
}

// A block from which entries were dropped in front, and then truncated behind, has the right
// size when it is full again.
func TestSizeOfABlockThatWasShortened(t *testing.T) {
	p := &plainLog{}
	l := newLog(State{})
	l.append(p.grow(blockEntries+4, 1))
	l.compact(blockEntries - 100)
	l.truncate(blockEntries - 30)
	p.entries = p.entries[:blockEntries-31]
	l.append(p.grow(2, 2))
	l.compact(blockEntries - 40)
	l.append(p.grow(2*blockEntries, 2))
	if got, want := l.bytes(l.base+1, l.end), sizeOf(p.held(l.base+1, l.end)); got != want || l.size != want {
		t.Errorf("%d bytes from %d to %d, %d in all, want %d", got, l.base+1, l.end, l.size, want)
	}
}
