package run

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"balsa.example/internal/check/crashfs"
)

// Whatever is done in whatever order: the history is what was appended, less what was rewritten
// away; and after a crash it is what the manifest says.
func TestHistoryEqualsAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := newMem(quiet{})
		opts := testOptions(mem)
		opts.CacheBytes = rapid.SampledFrom([]int64{-1, 8 << 10}).Draw(t, "cache")
		w, err := newWorld(opts, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check := func(*rapid.T) { must(w.check()) }
		t.Repeat(map[string]func(*rapid.T){
			"revision": func(t *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(t, "revisions") {
					w.revision(rapid.IntRange(1, 4).Draw(t, "records"), rapid.SampledFrom([]int{0, 50, 500, 9000}).Draw(t, "bytes"))
				}
			},
			"flush": func(t *rapid.T) { must(w.flush()) },
			"kill":  func(t *rapid.T) { w.kill(rapid.SampledFrom([]int{10, 60, 100}).Draw(t, "percent")) },
			"rewrite": func(t *rapid.T) {
				sealed := len(w.durable.infos)
				if sealed > 0 && !w.durable.infos[sealed-1].Sealed {
					sealed--
				}
				if sealed == 0 {
					t.Skip()
				}
				at := rapid.IntRange(0, sealed-1).Draw(t, "at")
				must(w.rewrite(at, rapid.IntRange(1, min(3, sealed-at)).Draw(t, "runs"), func() {
					_, err := w.reopen(mem.CrashClone(crashfs.Crash{}))
					must(err)
				}))
			},
			"crash": func(t *rapid.T) {
				h, err := w.reopen(mem.CrashClone(crashfs.Crash{UnsyncedPercent: 50, Rand: w.random}))
				must(err)
				must(h.Close())
			},
			"restart": func(t *rapid.T) {
				h, err := w.reopen(mem)
				must(err)
				must(w.h.Close())
				w.restarted(h)
			},
			"": check,
		})
		must(w.h.Close())
	})
}

// restarted goes on with what a restart has found.
func (w *world) restarted(h *History) {
	w.h = h
	w.records, w.refs = w.records[:w.durable.count], w.refs[:w.durable.count]
	byName := map[string]int{}
	for i, r := range w.records {
		w.refs[i] = Ref{}
		byName[fmt.Sprint(r.Mod, r.Key)] = i
	}
	for i := range w.dead {
		if i >= len(w.records) {
			delete(w.dead, i)
		}
	}
	err := h.Load(func(e *Entry) bool {
		i := byName[fmt.Sprint(e.Mod, e.Key)]
		w.refs[i] = e.At
		return true
	})
	if err != nil {
		panic(err)
	}
}

// quiet is a testing.TB for what cannot fail.
type quiet struct{ testing.TB }

func (quiet) Helper() {}
