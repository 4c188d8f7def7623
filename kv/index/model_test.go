package index_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"balsa.example/kv/index"

	"pgregory.net/rapid"
)

// model is what an index has to be: for each key all its versions, from the oldest to the
// newest.
type model struct {
	keys      map[string][]index.Head
	revision  uint64
	compacted uint64
	refs      map[index.Ref]bool // that the index has not dropped
}

func newModel() *model {
	return &model{keys: map[string][]index.Head{}, revision: 1, refs: map[index.Ref]bool{}}
}

// next returns the version that a put or a delete makes.
func (m *model) next(key string, deleted, sameRevision bool) index.Head {
	versions := m.keys[key]
	if !sameRevision || len(versions) > 0 && versions[len(versions)-1].Mod == m.revision {
		m.revision++
	}
	h := index.Head{
		Mod: m.revision, Deleted: deleted,
		Ref: index.Ref{Run: 1 + uint32(m.revision/100), Offset: uint32(len(m.keys)), Size: uint32(m.revision)},
	}
	if !deleted {
		h.Create, h.Version, h.Lease = m.revision, 1, int64(m.revision%3)
		if n := len(versions); n > 0 && !versions[n-1].Deleted {
			h.Create, h.Version = versions[n-1].Create, versions[n-1].Version+1
		}
	}
	m.keys[key] = append(versions, h)
	h.Ref.Offset = uint32(len(m.refs))
	for m.refs[h.Ref] {
		h.Ref.Offset++
	}
	m.keys[key][len(versions)] = h
	m.refs[h.Ref] = true
	return h
}

// mustKeep tells whether compaction leaves the i-th version.
func (m *model) mustKeep(versions []index.Head, i int) bool {
	if i+1 < len(versions) {
		return versions[i+1].Mod >= m.compacted
	}
	return !versions[i].Deleted || versions[i].Mod >= m.compacted
}

// pair is an index and its model.
type pair struct {
	*index.Index
	*model
}

func (p *pair) change(key string, deleted, sameRevision bool) {
	h := p.next(key, deleted, sameRevision)
	if s := p.Find(key); s != 0 {
		p.Replace(s, h)
	} else {
		p.Insert(key, h)
	}
}

// purge lets the index forget what a compaction allows. The model forgets what the index
// must not keep any more, and what it says that it has dropped.
func (p *pair) purge(t fataler, compacted uint64, budget int) {
	p.compacted = compacted
	more := true
	for more {
		more = p.Purge(compacted, budget, func(r index.Ref) {
			if !p.refs[r] {
				t.Fatalf("%v was dropped twice, or never there", r)
			}
			delete(p.refs, r)
		})
	}
	for key, versions := range p.keys {
		var left []index.Head
		for i, v := range versions {
			if p.refs[v.Ref] {
				left = append(left, v)
			} else if p.mustKeep(versions, i) {
				t.Fatalf("compaction at %d dropped %q at %d", compacted, key, v.Mod)
			}
		}
		if p.keys[key] = left; len(left) == 0 {
			delete(p.keys, key)
		}
	}
	waiting := 0
	for _, versions := range p.keys {
		for i := range versions {
			if !p.mustKeep(versions, i) {
				waiting++
			}
		}
	}
	if waiting > 2*31 {
		t.Fatalf("compaction at %d left %d versions", compacted, waiting)
	}
}

type fataler interface{ Fatalf(string, ...any) }

// check compares all of the index with all of the model.
func (p *pair) check(t fataler) {
	if err := p.Check(); err != nil {
		t.Fatalf("%v", err)
	}
	names := slices.Sorted(maps.Keys(p.keys))
	var up, down []string
	p.Ascend("", func(s index.Slot) bool { up = append(up, strings.Clone(p.Key(s))); return true })
	p.Descend("", func(s index.Slot) bool { down = append(down, strings.Clone(p.Key(s))); return true })
	slices.Reverse(down)
	if !slices.Equal(up, names) || !slices.Equal(down, names) {
		t.Fatalf("keys are %q up and %q down, want %q", up, down, names)
	}
	if len(names) > 0 {
		p.span(t, names[len(names)/3], names[len(names)*2/3])
	}
	p.findAll(t, names)
	live, older := 0, 0
	for key, versions := range p.keys {
		s, newest := p.Find(key), versions[len(versions)-1]
		if got := p.Head(s); got != newest {
			t.Fatalf("%q is %+v, want %+v", key, got, newest)
		}
		older += len(versions) - 1
		if !newest.Deleted {
			live++
		}
		for i, v := range versions {
			p.checkVersion(t, key, s, versions, i)
			if ref, ok := p.Version(s, v.Mod); !ok || ref != v.Ref {
				t.Fatalf("%q has no version %d", key, v.Mod)
			}
		}
	}
	if p.Keys() != live || p.Versions() != older {
		t.Fatalf("%d keys and %d older versions, want %d and %d", p.Keys(), p.Versions(), live, older)
	}
}

// findAll compares FindAll with Find, for keys that are there and others.
func (p *pair) findAll(t fataler, names []string) {
	keys := slices.Clone(names)
	for _, key := range names {
		keys = append(keys, key+"?")
	}
	slots := make([]index.Slot, len(keys))
	p.FindAll(keys, slots)
	for i, key := range keys {
		if want := p.Find(key); slots[i] != want {
			t.Fatalf("%q is in slot %d by FindAll, in %d by Find", key, slots[i], want)
		}
	}
}

// checkVersion looks for the i-th version by the revisions from its own to the next.
func (p *pair) checkVersion(t fataler, key string, s index.Slot, versions []index.Head, i int) {
	want := versions[i]
	last := want.Mod + 1
	if i+1 < len(versions) {
		last = versions[i+1].Mod - 1
		if ref, deleted := p.Before(s, versions[i+1].Mod); ref != want.Ref || deleted != want.Deleted {
			t.Fatalf("%q has %v before %d, want %v", key, ref, versions[i+1].Mod, want.Ref)
		}
	}
	for _, at := range []uint64{want.Mod, last} {
		if mod, ref, deleted := p.At(s, at); mod != want.Mod || ref != want.Ref || deleted != want.Deleted {
			t.Fatalf("%q is %d %v %v at %d, want %+v", key, mod, ref, deleted, at, want)
		}
	}
	if i == 0 {
		if mod, ref, _ := p.At(s, want.Mod-1); ref.Run != 0 || mod != 0 {
			t.Fatalf("%q has %d before its first version", key, mod)
		}
	}
	if last > want.Mod {
		if ref, ok := p.Version(s, last); ok {
			t.Fatalf("%q has %v at %d, where nothing changed", key, ref, last)
		}
	}
}

func (p *pair) move(t fataler, key string, i int) {
	versions := p.keys[key]
	if len(versions) == 0 {
		if p.Move(key, p.revision, index.Ref{Run: 1}, index.Ref{Run: 2}) {
			t.Fatalf("%q is not there, and was moved", key)
		}
		return
	}
	v := &versions[i%len(versions)]
	to := index.Ref{Run: 1_000_000 + uint32(p.revision), Offset: uint32(v.Mod), Size: uint32(len(p.refs))}
	for p.refs[to] {
		to.Run++
	}
	if p.Move(key, v.Mod, to, to) || p.Move(key, v.Mod+1_000_000, v.Ref, to) {
		t.Fatalf("%q at %d was moved from where it was not", key, v.Mod)
	}
	if !p.Move(key, v.Mod, v.Ref, to) {
		t.Fatalf("%q at %d was not moved", key, v.Mod)
	}
	delete(p.refs, v.Ref)
	p.refs[to] = true
	v.Ref = to
}

// reload loads a new index with what the model has.
func (p *pair) reload() {
	p.Index = index.New()
	l := p.Load()
	for _, key := range slices.Sorted(maps.Keys(p.keys)) {
		versions := p.keys[key]
		var older []index.Version
		for _, v := range versions[:len(versions)-1] {
			older = append(older, index.Version{Mod: v.Mod, Ref: v.Ref, Deleted: v.Deleted})
		}
		l.Add(key, versions[len(versions)-1], older)
	}
	l.Done()
}

func genKey(t *rapid.T) string {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return rapid.StringN(0, 8, 12).Draw(t, "any key")
	case 1:
		return strings.Repeat("long/", rapid.IntRange(1, 2000).Draw(t, "length"))
	case 2:
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'k', 0xff}), 0, 12).Draw(t, "bytes"))
	default:
		return fmt.Sprintf("/registry/pods/%d", rapid.IntRange(0, 150).Draw(t, "key"))
	}
}

// TestIndexIsAsItsModel does what comes to rapid's mind with an index and with its model.
func TestIndexIsAsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{index.New(), newModel()}
		p.check(t)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				p.change(genKey(t), false, rapid.Bool().Draw(t, "same revision"))
			},
			"put many": func(t *rapid.T) {
				first, n := rapid.IntRange(0, 5000).Draw(t, "first"), rapid.IntRange(1, 200).Draw(t, "count")
				step := rapid.SampledFrom([]int{1, 7919}).Draw(t, "step")
				for i := range n {
					p.change(fmt.Sprintf("/registry/pods/%d", (first+i*step)%5000), false, true)
				}
			},
			"delete many": func(t *rapid.T) {
				first, n := rapid.IntRange(0, 5000).Draw(t, "first"), rapid.IntRange(1, 1000).Draw(t, "count")
				for _, key := range slices.Sorted(maps.Keys(p.keys)) {
					if versions := p.keys[key]; key > fmt.Sprintf("/registry/pods/%d", first) && !versions[len(versions)-1].Deleted && n > 0 {
						p.change(key, true, true)
						n--
					}
				}
			},
			"put often": func(t *rapid.T) {
				key := genKey(t)
				for range rapid.IntRange(1, 300).Draw(t, "count") {
					p.change(key, false, false)
				}
			},
			"delete": func(t *rapid.T) {
				if key := genKey(t); p.Find(key) != 0 && !p.Head(p.Find(key)).Deleted {
					p.change(key, true, rapid.Bool().Draw(t, "same revision"))
				}
			},
			"move": func(t *rapid.T) { p.move(t, genKey(t), rapid.IntRange(0, 9).Draw(t, "version")) },
			"purge": func(t *rapid.T) {
				p.purge(t, rapid.Uint64Range(p.compacted, p.revision+1).Draw(t, "compacted"), rapid.IntRange(1, 2000).Draw(t, "budget"))
			},
			"reload": func(*rapid.T) { p.reload() },
			"range":  func(t *rapid.T) { p.ranges(t, genKey(t)) },
			"span":   func(t *rapid.T) { p.span(t, genKey(t), genKey(t)) },
			"":       func(t *rapid.T) { p.check(t) },
		})
	})
}

// span compares all between two keys.
func (p *pair) span(t fataler, from, to string) {
	var got, want []string
	live := 0
	for _, key := range slices.Sorted(maps.Keys(p.keys)) {
		if key >= from && (key < to || to == "") {
			want = append(want, key)
			if versions := p.keys[key]; !versions[len(versions)-1].Deleted {
				live++
			}
		}
	}
	p.Span(from, to, func(s index.Slot) bool { got = append(got, p.Key(s)); return true })
	if !slices.Equal(got, want) {
		t.Fatalf("from %q to %q are %q, want %q", from, to, got, want)
	}
	if n := p.Count(from, to); n != live {
		t.Fatalf("from %q to %q are %d keys, want %d", from, to, n, live)
	}
	if n, deleted := p.Tally(from, to); n != live || deleted != len(want)-live {
		t.Fatalf("from %q to %q are %d keys and %d deleted ones, want %d and %d", from, to, n, deleted, live, len(want)-live)
	}
}

// ranges compares ranges from and below a key, which end after a few.
func (p *pair) ranges(t fataler, key string) {
	var up, down, wantUp, wantDown []string
	for _, k := range slices.Sorted(maps.Keys(p.keys)) {
		if k >= key && len(wantUp) < 100 {
			wantUp = append(wantUp, k)
		} else if k < key || key == "" {
			wantDown = append(wantDown, k)
		}
	}
	if key == "" {
		wantDown = slices.Sorted(maps.Keys(p.keys))
	}
	slices.Reverse(wantDown)
	wantDown = wantDown[:min(100, len(wantDown))]
	p.Ascend(key, func(s index.Slot) bool { up = append(up, strings.Clone(p.Key(s))); return len(up) < 100 })
	p.Descend(key, func(s index.Slot) bool { down = append(down, strings.Clone(p.Key(s))); return len(down) < 100 })
	if !slices.Equal(up, wantUp) || !slices.Equal(down, wantDown) {
		t.Fatalf("from %q: %q up, want %q; %q down, want %q", key, up, wantUp, down, wantDown)
	}
}
