package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

const testDir = "runs"

func testOptions(fsys vfs.FS) Options {
	return Options{FS: fsys, Dir: testDir, Cluster: 0xc1, RunBytes: 2 << 10, CacheBytes: -1, OpenFiles: 2}
}

func newMem(t testing.TB) *crashfs.Mem {
	t.Helper()
	mem := crashfs.NewCrashableMem()
	if err := vfs.MakeDir(mem, testDir); err != nil {
		t.Fatal(err)
	}
	return mem
}

// saved is what a manifest says, and what it must lead to.
type saved struct {
	infos   []Info
	next    uint32
	count   int // of the world's records
	dropped map[int]bool
}

// world is a history, and the truth about it.
type world struct {
	opts    Options
	h       *History
	records []Record
	refs    []Ref // zero: dropped
	dead    map[int]bool
	durable saved
	random  *rand.Rand
}

func newWorld(opts Options, seed uint64) (*world, error) {
	h, err := Open(opts, nil, 1)
	return &world{opts: opts, h: h, dead: map[int]bool{}, random: rand.New(rand.NewPCG(seed, 1))}, err
}

// revision appends one revision of some records.
func (w *world) revision(records int, valueBytes int) {
	mod, key := w.h.Revision()+1, w.random.IntN(200)
	for i := range records {
		rec := Record{
			Key: fmt.Appendf(nil, "key %03d", (key+i*7)%200), Mod: mod, Create: mod - w.random.Uint64N(min(mod, 9)),
			Version: w.random.Uint64N(300), Lease: w.random.Int64N(3) - 1, Wall: 1_700_000_000_000 + w.random.Int64N(1000),
			Deleted: w.random.IntN(4) == 0, Last: i == records-1,
		}
		if !rec.Deleted {
			rec.Value = bytes.Repeat([]byte{byte(mod)}, w.random.IntN(valueBytes+1))
		}
		given := rec
		ref := w.h.Append(&given)
		w.records, w.refs = append(w.records, rec), append(w.refs, ref)
	}
}

// flush flushes all, and saves the manifest.
func (w *world) flush() error {
	mark, count := w.h.Mark(), len(w.records)
	infos, _, err := w.h.Flush(context.Background(), mark, nil)
	if err != nil {
		return err
	}
	w.durable = saved{infos: infos, next: w.h.NextFile(), count: count, dropped: w.droppedNow()}
	return nil
}

func (w *world) droppedNow() map[int]bool {
	dropped := map[int]bool{}
	for i, ref := range w.refs {
		if ref == (Ref{}) {
			dropped[i] = true
		}
	}
	return dropped
}

// kill makes some of the records up to a run dead.
func (w *world) kill(percent int) {
	for i, ref := range w.refs {
		if !w.dead[i] && ref != (Ref{}) && w.random.IntN(100) < percent {
			w.dead[i] = true
		}
	}
}

// rewrite rewrites n sealed runs from the run numbered at on, and calls step between what it does.
func (w *world) rewrite(at, n int, step func()) error {
	var files []uint32
	for _, i := range w.durable.infos[at : at+n] {
		files = append(files, i.File)
	}
	byRef := w.byRef()
	kept := map[int]bool{}
	rw, err := w.h.Rewrite(context.Background(), files, func(rec *Record, ref Ref) bool {
		i, ok := byRef[ref]
		if !ok || !bytes.Equal(rec.Key, w.records[i].Key) {
			panic(fmt.Sprintf("asked for %v", ref))
		}
		kept[i] = !w.dead[i]
		return kept[i]
	}, nil)
	if err != nil {
		return err
	}
	step()
	before := w.durable
	w.durable = saved{infos: rw.Replace(before.infos), next: w.h.NextFile(), count: before.count, dropped: map[int]bool{}}
	rewritten := map[uint32]bool{}
	for _, f := range files {
		rewritten[f] = true
	}
	for i, ref := range w.refs[:before.count] {
		if ref == (Ref{}) || rewritten[ref.Run] && !kept[i] {
			w.durable.dropped[i] = true
		}
	}
	step()
	w.kill(10)
	rw.Install(func(key []byte, mod uint64, from, to Ref) {
		i := byRef[from]
		if !bytes.Equal(key, w.records[i].Key) || mod != w.records[i].Mod {
			panic(fmt.Sprintf("moved %q %d from %v", key, mod, from))
		}
		w.refs[i] = to
	})
	for i, ref := range w.refs {
		if rewritten[ref.Run] {
			w.refs[i] = Ref{}
		}
	}
	step()
	return rw.Remove()
}

func (w *world) byRef() map[Ref]int {
	byRef := map[Ref]int{}
	for i, ref := range w.refs {
		if ref != (Ref{}) {
			byRef[ref] = i
		}
	}
	return byRef
}

// want returns what a scan must yield of the first records.
func (w *world) want(count int, dropped map[int]bool) (want []Record) {
	for i, rec := range w.records[:count] {
		if n := len(want); n > 0 && want[n-1].Mod != rec.Mod {
			want[n-1].Last = true
		}
		if !dropped[i] {
			want = append(want, rec)
		}
	}
	if n := len(want); n > 0 {
		want[n-1].Last = true
	}
	return want
}

// reopen opens what a disk has, by the durable manifest, and checks it.
func (w *world) reopen(fsys vfs.FS) (*History, error) {
	opts := w.opts
	opts.FS = fsys
	h, err := Open(opts, w.durable.infos, w.durable.next)
	if err != nil {
		return nil, err
	}
	want := w.want(w.durable.count, w.durable.dropped)
	if err := errors.Join(checkScan(h, want), checkLoad(h, want)); err != nil {
		return nil, err
	}
	if n := w.durable.count; n > 0 && h.Revision() != w.records[n-1].Mod || h.UnflushedBytes() != 0 {
		return nil, fmt.Errorf("revision %d, %d bytes not flushed", h.Revision(), h.UnflushedBytes())
	}
	for _, info := range w.durable.infos {
		if err := h.Files().Verify(context.Background(), info, nil); err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
	}
	return h, nil
}

// check compares the living history with the truth.
func (w *world) check() error {
	if err := checkScan(w.h, w.want(len(w.records), w.droppedNow())); err != nil {
		return err
	}
	for i, ref := range w.refs {
		if ref == (Ref{}) {
			continue
		}
		if rec, err := w.h.Read(ref); err != nil || !equalRecords(rec, w.records[i]) {
			return fmt.Errorf("read %v: %+v, %w; want %+v", ref, rec, err, w.records[i])
		}
	}
	return w.checkReader()
}

// checkReader reads every record, and then every third, knowing what comes next.
func (w *world) checkReader() error {
	for _, step := range []int{1, 3} {
		r := w.h.RecordReader()
		r.Reuse = step == 1
		var refs []Ref
		var want []Record
		for i := 0; i < len(w.refs); i += step {
			if w.refs[i] != (Ref{}) {
				refs, want = append(refs, w.refs[i]), append(want, w.records[i])
			}
		}
		for i := range refs {
			if rec, err := r.Read(refs[i:]); err != nil || !equalRecords(rec, want[i]) {
				return fmt.Errorf("read %v of many: %+v, %w; want %+v", refs[i], rec, err, want[i])
			}
		}
	}
	return nil
}

func equalRecords(a, b Record) bool {
	a.Last, b.Last = false, false
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		fmt.Sprint(a.Mod, a.Create, a.Version, a.Lease, a.Wall, a.Deleted) == fmt.Sprint(b.Mod, b.Create, b.Version, b.Lease, b.Wall, b.Deleted)
}

// checkScan compares what Scan gives with what it should.
func checkScan(h *History, want []Record) error {
	for _, from := range []uint64{0, h.Revision() / 3, h.Revision() / 2, h.Revision(), h.Revision() + 1} {
		rest := want[slices.IndexFunc(append(slices.Clone(want), Record{Mod: ^uint64(0)}), func(r Record) bool { return r.Mod >= from }):]
		n := 0
		err := h.Scan(from, func(r *Record) bool {
			if n >= len(rest) || !equalRecords(*r, rest[n]) || r.Last != rest[n].Last {
				n = -1
				return false
			}
			n++
			return true
		})
		if err != nil || n != len(rest) {
			return fmt.Errorf("scan from %d: record %d of %d: %w", from, n, len(rest), errors.Join(err, errors.New("differs")))
		}
	}
	return nil
}

// checkLoad compares what Load gives with what it should. From then on all records count as live.
func checkLoad(h *History, want []Record) error {
	want = slices.Clone(want)
	slices.SortStableFunc(want, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	n := 0
	var failed error
	err := h.Load(func(e *Entry) bool {
		rec, err := h.Read(e.At)
		if err != nil || n >= len(want) || !equalRecords(rec, want[n]) || e.hash() != entryOf(&rec, e.At).hash() {
			failed = fmt.Errorf("load: entry %d of %d is %+v, record %+v, %w", n, len(want), e, rec, err)
			return false
		}
		n++
		return true
	})
	if err != nil || failed != nil || n != len(want) {
		return fmt.Errorf("load: %d of %d: %w", n, len(want), errors.Join(err, failed, errors.New("differs")))
	}
	return nil
}
