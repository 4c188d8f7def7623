package index_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"balsa.example/kv/index"
)

// TestCompactionAtEachRevision makes a history in which keys are replaced, deleted and created
// again, also within one revision of others, and compacts a copy of it at each revision.
func TestCompactionAtEachRevision(t *testing.T) {
	for seed := range uint64(4) {
		history := func() *pair {
			p := &pair{index.New(), newModel()}
			rng := rand.New(rand.NewPCG(seed, 0))
			for range 120 {
				key := fmt.Sprint(rng.IntN(6))
				s := p.Find(key)
				p.change(key, s != 0 && !p.Head(s).Deleted && rng.IntN(3) == 0, rng.IntN(3) == 0)
			}
			return p
		}
		last := history().revision
		for compacted := range last + 2 {
			for _, reload := range []bool{false, true} {
				p := history()
				if reload {
					p.reload()
				}
				p.purge(t, compacted, 1)
				p.check(t)
				// Later compactions find what this one left.
				p.purge(t, last+1, 10)
				p.check(t)
			}
		}
	}
}

// TestAllGoesWhenAllIsDeleted: nothing waits when nothing comes behind it.
func TestAllGoesWhenAllIsDeleted(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for i := range 1000 {
		p.change(fmt.Sprint("key", i), false, true)
		p.change(fmt.Sprint("key", i), false, true)
	}
	for i := range 1000 {
		p.change(fmt.Sprint("key", i), true, true)
	}
	p.purge(t, p.revision+1, 100)
	p.check(t)
	if len(p.refs) != 0 || p.Keys() != 0 || p.Versions() != 0 {
		t.Errorf("%d records, %d keys and %d versions are left", len(p.refs), p.Keys(), p.Versions())
	}
}

// TestPurgeKeepsToItsBudget: a call does no more than a group beyond its budget, and goes on
// where the one before ended.
func TestPurgeKeepsToItsBudget(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for range 10 {
		for i := range 100 {
			p.change(fmt.Sprint("key", i), false, true)
		}
	}
	calls, more := 0, true
	for ; more; calls++ {
		n := 0
		more = p.Purge(1<<40, 40, func(index.Ref) { n++ })
		if n > 64 {
			t.Fatalf("one call dropped %d records", n)
		}
	}
	if p.Versions() != 0 || calls < 900/64 {
		t.Errorf("%d versions are left after %d calls", p.Versions(), calls)
	}
	for i := range 100 { // to remove a key takes longer than to drop a version
		p.change(fmt.Sprint("key", i), true, true)
	}
	gone := 0
	for calls, more = 0, true; more; calls++ {
		n, versions := 0, p.Versions()
		more = p.Purge(1<<40, 40, func(index.Ref) { n++ })
		if n -= versions - p.Versions(); n > 3 {
			t.Fatalf("one call removed %d keys", n)
		}
		gone += n
	}
	if gone != 100 {
		t.Errorf("%d keys were removed", gone)
	}
}

// TestMemory measures what a key takes up beside its bytes, and an older version, by what the
// index says; BenchmarkMemory shows that it speaks the truth.
func TestMemory(t *testing.T) {
	for _, keys := range []int{30_000, 40_000, 50_000, 60_000} {
		x := index.New()
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range keys {
			x.Insert(fmt.Sprintf("key-%016x", rng.Uint64()), head(uint64(i+2)))
		}
		filled := x.Bytes()
		if each := float64(filled)/float64(keys) - 20; each > 100 {
			t.Errorf("with %d keys, each takes %.1f bytes beside its own 20", keys, each)
		}
		revision := uint64(keys + 2)
		for range 4 {
			x.Ascend("", func(s index.Slot) bool {
				revision++
				x.Replace(s, head(revision))
				return true
			})
		}
		if each := float64(x.Bytes()-filled) / float64(4*keys); each > 25 {
			t.Errorf("with %d keys, each older version takes %.1f bytes", keys, each)
		}
		for x.Purge(revision+1, 1000, func(index.Ref) {}) {
		}
		if x.Bytes() > filled+100_000 {
			t.Errorf("with %d keys, %d bytes are in use after all older versions went, and %d before they came", keys, x.Bytes(), filled)
		}
	}
}

// TestMemoryIsUsedAgain: keys that come and go take no more memory than those that are there at
// a time.
func TestMemoryIsUsedAgain(t *testing.T) {
	x := index.New()
	var first int64
	revision := uint64(1)
	for round := range 8 {
		for i := range 15_000 {
			revision++
			x.Insert(fmt.Sprintf("round %d key %d", round, i), head(revision))
		}
		for i := range 15_000 {
			revision++
			x.Replace(x.Find(fmt.Sprintf("round %d key %d", round, i)), index.Head{Mod: revision, Deleted: true, Ref: index.Ref{Run: 1}})
		}
		if round == 0 {
			first = x.Allocated()
		}
		for x.Purge(revision+1, 1000, func(index.Ref) {}) {
		}
		if x.Keys() != 0 || x.Bytes() > first/10 || x.Allocated() > first*21/20 {
			t.Fatalf("in round %d there are %d keys in %d of %d bytes, after %d in the first", round, x.Keys(), x.Bytes(), x.Allocated(), first)
		}
	}
}

// TestPlaces: a key of more than 4 KiB has a chunk of its own, and gives it back. Of the others many share one.
func TestPlaces(t *testing.T) {
	x := index.New()
	first := x.Places()
	for i := range 100 {
		x.Insert(fmt.Sprint("small ", i), head(uint64(i+2)))
	}
	one := x.Places() - first
	if one <= 0 {
		t.Fatalf("%g of the places with 100 keys, and %g with none", x.Places(), first)
	}
	large := func(i int) string { return fmt.Sprint(i) + strings.Repeat("k", 4<<10) }
	for i := range 50 {
		x.Insert(large(i), head(uint64(i+200)))
	}
	if got := (x.Places() - first) / one; got != 51 {
		t.Errorf("%g chunks, want 51", got)
	}
	for i := range 50 {
		x.Replace(x.Find(large(i)), index.Head{Mod: uint64(i + 300), Deleted: true, Ref: index.Ref{Run: 1}})
	}
	for x.Purge(1000, 1000, func(index.Ref) {}) {
	}
	if got := (x.Places() - first) / one; got != 1 {
		t.Errorf("%g chunks after the large keys went, want 1", got)
	}
}

// TestLargeKeysHoldUpNoOthers: what small keys leave is used again, however much memory large ones take. So the places in use
// are about the same at all members that have the same keys.
func TestLargeKeysHoldUpNoOthers(t *testing.T) {
	x := index.New()
	first := x.Places()
	x.Insert("small", head(2))
	one := x.Places() - first
	revision := uint64(2)
	change := func(key string, h index.Head) {
		if revision++; h.Deleted {
			h.Mod = revision
			x.Replace(x.Find(key), h)
			return
		}
		x.Insert(key, head(revision))
	}
	for i := range 100 {
		change(fmt.Sprint(i)+strings.Repeat("k", 60<<10), index.Head{})
	}
	small := func(i int) string { return fmt.Sprintf("%0100d", i) }
	for i := range 10_000 {
		change(small(i), index.Head{})
	}
	for i := range 10_000 {
		if i%10 != 0 {
			change(small(i), index.Head{Deleted: true, Ref: index.Ref{Run: 1}})
		}
	}
	for x.Purge(revision+1, 1000, func(index.Ref) {}) {
	}
	if got := (x.Places() - first) / one; got > 100+10 { // 1,000 keys of 104 bytes are 7 chunks
		t.Errorf("%g chunks, 100 of which have a large key", got)
	}
}

// TestFewKeysOfManyTakeLittle: where most keys go, the others do not hold up what those had.
func TestFewKeysOfManyTakeLittle(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for i := range 50_000 {
		p.change(benchKey(i), false, true)
	}
	for i := range 50_000 {
		if i%20 != 0 {
			p.change(benchKey(i), true, true)
		}
	}
	p.purge(t, p.revision+1, 1000)
	p.check(t)
	if each := float64(p.Bytes())/float64(p.Keys()) - 20; each > 150 {
		t.Errorf("each key takes %.0f bytes beside its own 20", each)
	}
}

// TestTombstoneStaysForItsRevision, also one before which nothing is known.
func TestTombstoneStaysForItsRevision(t *testing.T) {
	deleted := index.Head{Mod: 7, Deleted: true, Ref: index.Ref{Run: 1}}
	inserted, loaded := index.New(), index.New()
	inserted.Insert("key", deleted)
	l := loaded.Load()
	l.Add("key", deleted, nil)
	l.Done()
	for _, x := range []*index.Index{inserted, loaded} {
		for compacted := range uint64(8) {
			x.Purge(compacted, 100, func(r index.Ref) { t.Errorf("compaction at %d dropped %v", compacted, r) })
			if s := x.Find("key"); s == 0 || x.Head(s) != deleted {
				t.Fatalf("compaction at %d took the tombstone of 7", compacted)
			}
		}
		n := 0
		x.Purge(8, 100, func(index.Ref) { n++ })
		if x.Find("key") != 0 || n != 1 {
			t.Errorf("compaction at 8 dropped %d records", n)
		}
	}
}

// TestKeysAreMovedTogether: of many keys those that stay hold up little more than their own
// size, whatever the sizes of those that go and those that come.
func TestKeysAreMovedTogether(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for round := range 6 {
		key := func(i int) string { // such that chunks are filled to their last byte
			return fmt.Sprintf("%0*d", 32<<round-2, i)
		}
		for i := range 2000 {
			p.change(key(i), false, true)
		}
		for i := range 2000 {
			if i%7 != 0 {
				p.change(key(i), true, true)
			}
		}
		p.purge(t, p.revision+1, 50)
		p.check(t)
	}
	var live int64
	for key := range p.keys {
		live += int64(len(key))
	}
	if most := live*4/3 + live/20 + 64<<10; p.KeyMemory() > most {
		t.Errorf("%d bytes of keys take %d, want %d at most", live, p.KeyMemory(), most)
	}
}

// TestKeyWithManyVersionsIsQuick: old revisions of a key that changes all the time are found in
// a few steps, before and after a part of them is purged.
func TestKeyWithManyVersionsIsQuick(t *testing.T) {
	x := index.New()
	const last = 200_000
	for revision := uint64(2); revision <= last; revision++ {
		if s := x.Find("key"); s != 0 {
			x.Replace(s, head(revision))
		} else {
			x.Insert("key", head(revision))
		}
	}
	s := x.Find("key")
	for _, compacted := range []uint64{2, 50_000, 123_456, 199_990} {
		for x.Purge(compacted, 1000, func(index.Ref) {}) {
		}
		for revision := compacted; revision <= last; revision += 97 {
			if mod, _, _ := x.At(s, revision); mod != revision {
				t.Fatalf("the version at %d is %d", revision, mod)
			}
			if n := x.Steps(s, revision); n > 130 {
				t.Fatalf("%d steps to the version at %d, with all from %d on", n, revision, compacted)
			}
		}
	}
}

// TestManyMayRead at a time: reading changes nothing.
func TestManyMayRead(t *testing.T) {
	p := &pair{index.New(), newModel()}
	for i := range 3000 {
		p.change(benchKey(i), false, false)
		p.change(benchKey(0), false, false)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			p.ranges(t, benchKey(7))
			for i := range 3000 {
				s := p.Find(benchKey(i))
				p.At(s, uint64(i))
				p.Before(p.Find(benchKey(0)), uint64(i))
				if p.Head(s).Mod == 0 || p.Key(s) != benchKey(i) || p.Bytes() == 0 {
					t.Errorf("key %d is not as it should be", i)
				}
			}
		})
	}
	readers.Wait()
}

// TestSlotZeroHasNothing, so that what Find returns may be asked without a look.
func TestSlotZeroHasNothing(t *testing.T) {
	empty, other := index.New(), index.New()
	other.Insert("key", head(2))
	for _, x := range []*index.Index{empty, other} {
		s := x.Find("none")
		_, at, _ := x.At(s, 5)
		_, ok := x.Version(s, 0)
		before, _ := x.Before(s, 5)
		if s != 0 || at.Run != 0 || ok || before.Run != 0 {
			t.Errorf("a key that is not there has %v and %v", at, before)
		}
	}
}

// TestKeepsItsOwnCopyOfAKey, so that the caller may use its buffer again.
func TestKeepsItsOwnCopyOfAKey(t *testing.T) {
	x := index.New()
	var b strings.Builder
	b.WriteString("a key")
	s := x.Insert(b.String(), head(2))
	if !strings.HasPrefix(x.Key(s), "a k") || x.Find("a key") != s {
		t.Errorf("the key is %q", x.Key(s))
	}
}

// TestMisuseIsAPanic: what would corrupt an index ends the program.
func TestMisuseIsAPanic(t *testing.T) {
	misuse := map[string]func(*index.Index, index.Slot){
		"a version that is not newer":     func(x *index.Index, s index.Slot) { x.Replace(s, head(5)) },
		"a revision that is not newer":    func(x *index.Index, _ index.Slot) { x.Insert("other", head(4)) },
		"a record without a place":        func(x *index.Index, s index.Slot) { x.Replace(s, index.Head{Mod: 6, Version: 1}) },
		"a tombstone with a version":      func(x *index.Index, s index.Slot) { h := head(6); h.Deleted = true; x.Replace(s, h) },
		"loading an index that is in use": func(x *index.Index, _ index.Slot) { x.Load() },
		"loading keys out of order": func(*index.Index, index.Slot) {
			l := index.New().Load()
			l.Add("b", head(2), nil)
			l.Add("a", head(3), nil)
		},
		"loading versions out of order": func(*index.Index, index.Slot) {
			index.New().Load().Add("b", head(2), []index.Version{{Mod: 2, Ref: index.Ref{Run: 1}}})
		},
		"loading a version without a place": func(*index.Index, index.Slot) { index.New().Load().Add("b", head(2), []index.Version{{Mod: 1}}) },
	}
	for name, f := range misuse {
		t.Run(name, func(t *testing.T) {
			x := index.New()
			s := x.Insert("key", head(5))
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(x, s)
		})
	}
}
