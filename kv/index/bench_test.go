package index_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv/index"

	"github.com/tidwall/btree"
)

const benchKeys = 1 << 20

// benchKey spreads i over the keys in an order that is as good as random.
func benchKey(i int) string {
	return fmt.Sprintf("key-%016x", uint64(i%benchKeys)*0x9e3779b97f4a7c15)
}

func head(revision uint64) index.Head {
	return index.Head{Mod: revision, Create: revision, Version: 1, Ref: index.Ref{Run: 1, Size: 300}}
}

func benchIndex(b *testing.B) (x *index.Index, keys []string) {
	b.Helper()
	x, keys = index.New(), make([]string, benchKeys)
	for i := range keys {
		keys[i] = benchKey(i)
		x.Insert(keys[i], head(uint64(i+2)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	return x, keys
}

func BenchmarkFind(b *testing.B) {
	x, keys := benchIndex(b)
	for i := range b.N {
		if x.Find(keys[i*7919%benchKeys]) == 0 {
			b.Fatal("not found")
		}
	}
}

// BenchmarkFindAll finds 32 keys at a time. The time is that of one key.
func BenchmarkFindAll(b *testing.B) {
	x, keys := benchIndex(b)
	var some [32]string
	var slots [len(some)]index.Slot
	for i := 0; i < b.N; i += len(some) {
		for j := range some {
			some[j] = keys[(i+j)*7919%benchKeys]
		}
		x.FindAll(some[:], slots[:])
		for _, s := range slots {
			if s == 0 {
				b.Fatal("not found")
			}
		}
	}
}

// BenchmarkReplace is what a put of a key that exists costs, with what a compaction behind
// it costs.
func BenchmarkReplace(b *testing.B) {
	x, keys := benchIndex(b)
	for i := range b.N {
		x.Replace(x.Find(keys[i*7919%benchKeys]), head(uint64(benchKeys+2+i)))
		if i%1000 == 999 && i > 100_000 {
			x.Purge(uint64(benchKeys+2+i-100_000), 1500, func(index.Ref) {})
		}
	}
}

// BenchmarkInsert fills an index again and again.
func BenchmarkInsert(b *testing.B) {
	_, keys := benchIndex(b)
	var x *index.Index
	for i := range b.N {
		if i%benchKeys == 0 {
			x = index.New()
		}
		x.Insert(keys[i%benchKeys], head(uint64(i+2)))
	}
}

func BenchmarkAscend10000(b *testing.B) {
	x, keys := benchIndex(b)
	for i := range b.N {
		n, size := 0, 0
		x.Ascend(keys[i*7919%benchKeys], func(s index.Slot) bool {
			n++
			size += int(x.Head(s).Ref.Size)
			return n < 10_000
		})
	}
}

func BenchmarkSeek(b *testing.B) {
	x, keys := benchIndex(b)
	for i := range b.N {
		x.Ascend(keys[i*7919%benchKeys], func(index.Slot) bool { return false })
	}
}

func BenchmarkCount(b *testing.B) {
	x, keys := benchIndex(b)
	for i := range b.N {
		x.Count(keys[i*7919%benchKeys], "")
	}
}

// BenchmarkLoad loads a million keys, and reports how much of the heap each takes beside its
// bytes.
func BenchmarkLoad(b *testing.B) {
	_, keys := benchIndex(b)
	slices.Sort(keys)
	b.ResetTimer()
	for range b.N {
		before := heap()
		x := index.New()
		l := x.Load()
		for i, key := range keys {
			l.Add(key, head(uint64(i+2)), nil)
		}
		l.Done()
		b.StopTimer()
		b.ReportMetric((heap()-before)/benchKeys-20, "B/key")
		b.ReportMetric(float64(x.Bytes())/benchKeys-20, "Bytes/key")
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/key")
}

// BenchmarkMemory reports how much of the heap a key that was inserted takes beside its bytes,
// and an older version.
func BenchmarkMemory(b *testing.B) {
	before := heap()
	x, keys := benchIndex(b)
	filled := heap()
	b.ReportMetric((filled-before)/benchKeys-20-20-16, "B/key") // keys has them too
	b.ReportMetric(float64(x.Bytes())/benchKeys-20, "Bytes/key")
	for i := range 2 * benchKeys {
		x.Replace(x.Find(keys[i%benchKeys]), head(uint64(benchKeys+2+i)))
	}
	b.ReportMetric((heap()-filled)/2/benchKeys, "B/version")
	for range b.N {
		runtime.KeepAlive(x)
	}
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkPurge drops older versions, and removes keys.
func BenchmarkPurge(b *testing.B) {
	b.Run("versions", func(b *testing.B) {
		x, keys := benchIndex(b)
		for i := range b.N {
			x.Replace(x.Find(keys[i%benchKeys]), head(uint64(benchKeys+2+i)))
		}
		b.ResetTimer()
		for x.Purge(1<<40, 1000, func(index.Ref) {}) {
		}
	})
	b.Run("keys", func(b *testing.B) {
		x, keys := benchIndex(b)
		n := min(b.N, benchKeys)
		for i := range n {
			x.Replace(x.Find(keys[i]), index.Head{Mod: uint64(benchKeys + 2 + i), Deleted: true, Ref: index.Ref{Run: 1}})
		}
		b.ResetTimer()
		for x.Purge(1<<40, 1000, func(index.Ref) {}) {
		}
	})
}

// BenchmarkAlternatives measures what the index is made instead of: inserts of a million keys,
// and the heap that each takes beside its bytes.
func BenchmarkAlternatives(b *testing.B) {
	type slot struct {
		index.Head
		key   string
		older *slot
	}
	_, keys := benchIndex(b)
	fill := func(name string, insert func(i int, key string), keep func()) {
		b.Run(name, func(b *testing.B) {
			before := heap()
			b.ResetTimer()
			for i := range b.N {
				insert(i%benchKeys, keys[i%benchKeys])
			}
			b.StopTimer()
			if n := min(b.N, benchKeys); n == benchKeys {
				b.ReportMetric((heap()-before)/benchKeys-20, "B/key")
			}
			keep()
		})
	}
	slots, tree := map[string]*slot{}, btree.NewMap[string, *slot](0)
	fill("map and btree.Map", func(i int, key string) {
		s := &slot{Head: head(uint64(i + 2)), key: strings.Clone(key)}
		s.older = slots[s.key]
		slots[s.key] = s
		tree.Set(s.key, s)
	}, func() { slots, tree = map[string]*slot{}, btree.NewMap[string, *slot](0) })
	x := index.New()
	less := func(a, b index.Slot) bool { return x.Key(a) < x.Key(b) }
	ordered := btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	fill("BTreeG of slots, behind an index", func(i int, key string) {
		if x.Find(key) == 0 {
			ordered.Set(x.Insert(key, head(uint64(i+2))))
		}
	}, func() { x, ordered = index.New(), btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}) })
}
