package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// A file that is damaged in any place is seen: by a scrub, always; by each who reads, before
// anything is served. No damage is taken for another state of the history.
func TestDamageIsFound(t *testing.T) {
	mem := newMem(t)
	w, err := newWorld(testOptions(mem), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.script(func() {}); err != nil {
		t.Fatal(err)
	}
	for i := range w.durable.infos {
		for name, damaged := range damages(w, mem, i) {
			if err := w.checkDamaged(mem, i, damaged); err != nil {
				t.Errorf("run %d of %d, %s: %v", i, len(w.durable.infos), name, err)
			}
		}
	}
}

// damages returns the files that a disk may make of one: with each byte of head, footer and records
// changed, each record zeroed, swapped with another, the end cut off, or another file in its place.
func damages(w *world, mem *crashfs.Mem, i int) map[string][]byte {
	info := w.durable.infos[i]
	good := fileOf(mem, w, info)
	all := map[string][]byte{"empty": {}, "cut by one": good[:len(good)-1], "cut in half": good[:len(good)/2]}
	for at := 0; at < len(good); at += damageStride {
		b := slices.Clone(good)
		b[at] ^= 1 << (at % 8)
		all[fmt.Sprint("bit at ", at)] = b
	}
	var refs []Ref
	for _, ref := range w.refs {
		if ref.Run == info.File {
			refs = append(refs, ref)
		}
	}
	for n, ref := range refs {
		b := slices.Clone(good)
		clear(b[ref.Offset : ref.Offset+ref.Size])
		all[fmt.Sprint("zeros at ", ref.Offset)] = b
		for _, other := range refs[n+1:] {
			if other.Size == ref.Size {
				b := slices.Clone(good)
				copy(b[ref.Offset:], good[other.Offset:other.Offset+other.Size])
				copy(b[other.Offset:], good[ref.Offset:ref.Offset+ref.Size])
				all[fmt.Sprint("swapped ", ref.Offset, " ", other.Offset)] = b
			}
		}
	}
	for k, other := range w.durable.infos {
		if k != i {
			all[fmt.Sprint("file ", other.File)] = fileOf(mem, w, other)
		}
	}
	return all
}

func fileOf(mem *crashfs.Mem, w *world, info Info) []byte {
	b, err := vfs.ReadFile(mem, w.h.Files().Path(info.File))
	if err != nil {
		panic(err)
	}
	return b[:info.Bytes]
}

// checkDamaged opens the history with one file damaged.
func (w *world) checkDamaged(mem *crashfs.Mem, i int, damaged []byte) error {
	disk, info := mem.CrashClone(crashfs.Crash{}), w.durable.infos[i]
	if err := vfs.WriteFile(disk, w.h.Files().Path(info.File), damaged); err != nil {
		return err
	}
	path := w.h.Files().Path(info.File)
	files := Files{FS: disk, Dir: testDir, Cluster: w.opts.Cluster}
	if err := isCorrupt(files.Verify(context.Background(), info, nil), path); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	opts := w.opts
	opts.FS = disk
	h, err := Open(opts, w.durable.infos, w.durable.next)
	if err != nil {
		return isCorrupt(err, path)
	}
	defer h.Close()
	if !info.Sealed || int64(len(damaged)) < info.Bytes {
		return errors.New("opened")
	}
	for n, ref := range w.refs {
		if ref.Run != info.File {
			continue
		}
		if rec, err := h.Read(ref); err == nil && !equalRecords(rec, w.records[n]) {
			return fmt.Errorf("read %v: %+v", ref, rec)
		} else if err != nil && isCorrupt(err, path) != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	want, n := w.want(w.durable.count, w.durable.dropped), 0
	err = h.Scan(0, func(r *Record) bool {
		if n++; n > len(want) || !equalRecords(*r, want[n-1]) {
			n = -1
		}
		return n >= 0
	})
	if n < 0 || err == nil && n != len(want) || err != nil && isCorrupt(err, path) != nil {
		return fmt.Errorf("scan: record %d of %d, %w", n, len(want), err)
	}
	return w.checkDamagedLoad(h, want, path)
}

func (w *world) checkDamagedLoad(h *History, want []Record, path string) error {
	slices.SortStableFunc(want, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	n := 0
	err := h.Load(func(e *Entry) bool {
		if n++; n > len(want) || e.hash() != entryOf(&want[n-1], e.At).hash() {
			n = -1
		}
		return n >= 0
	})
	if n < 0 || err == nil && n != len(want) || err != nil && isCorrupt(err, path) != nil {
		return fmt.Errorf("load: entry %d of %d, %w", n, len(want), err)
	}
	return nil
}

// An index whose hashes are right, and that says something else than the records, is found by a
// scrub.
func TestVerifyComparesTheIndexWithTheRecords(t *testing.T) {
	for _, broken := range []func(keys []Entry) []Entry{
		func(keys []Entry) []Entry { return keys[1:] },
		func(keys []Entry) []Entry { return append(keys, keys[0]) },
		func(keys []Entry) []Entry { keys[0].At.Size++; return keys },
		func(keys []Entry) []Entry { return keys },
	} {
		mem := newMem(t)
		files, info, sound := brokenIndex(mem, broken)
		err := files.Verify(context.Background(), info, nil)
		if sound && err != nil || !sound && (isCorrupt(err, files.Path(1)) != nil || !strings.Contains(err.Error(), "index")) {
			t.Errorf("verify: %v", err)
		}
	}
}

// brokenIndex writes a run with three records, of which the index has what broken makes of them.
func brokenIndex(mem *crashfs.Mem, broken func([]Entry) []Entry) (files Files, info Info, sound bool) {
	files = Files{FS: mem, Dir: testDir, Cluster: 0xc1}
	head, salt := header{cluster: 0xc1, first: 1}.encode()
	m := newMemory(4096, head[:])
	var keys []Entry
	chain := uint64(0)
	for i := range 3 {
		rec, at := Record{Key: []byte{'k', byte(i)}, Mod: uint64(i + 1), Last: true}, m.size
		chain = link(chain, rec.encode(m.room(rec.size()), place(salt, at)))
		keys = append(keys, *entryOf(&rec, Ref{Run: 1, Offset: at, Size: m.size - at}))
	}
	f := footer{salt: salt, first: 1, start: int64(m.size)}
	before := fmt.Sprint(keys)
	keys = broken(keys)
	f.index(pack(1, keys))
	tr := trailer{records: 3, last: 3, chainAfter: chain, indexAt: f.start, stepsAt: f.at()}
	f.steps(nil)
	end := tr.encode(salt, f.at())
	b := slices.Concat((*m.list.Load())[0].b[:m.size], f.b, end[:])
	if err := vfs.WriteFile(mem, files.Path(1), b); err != nil {
		panic(err)
	}
	info = Info{File: 1, First: 1, Last: 3, Records: 3, Bytes: int64(len(b)), Checksum: xxhash.Sum64(b), ChainAfter: chain, Sealed: true}
	return files, info, before == fmt.Sprint(keys)
}

func isCorrupt(err error, path string) error {
	if c := new(CorruptError); !errors.As(err, &c) || c.File != path || c.Offset < 0 || !strings.Contains(err.Error(), path) {
		return fmt.Errorf("want a CorruptError of %s, got: %w", path, err)
	}
	return nil
}

func TestListsThatNoHistoryHasAreRefused(t *testing.T) {
	sealed := func(file uint32, first, last, before, after uint64) Info {
		return Info{File: file, First: first, Last: last, Bytes: 200, ChainBefore: before, ChainAfter: after, Sealed: true}
	}
	open := sealed(2, 3, 4, 7, 8)
	open.Sealed = false
	for name, infos := range map[string][]Info{
		"a file twice":              {sealed(1, 1, 2, 0, 7), sealed(1, 3, 4, 7, 8)},
		"a file of the future":      {sealed(9, 1, 2, 0, 7)},
		"file 0":                    {sealed(0, 1, 2, 0, 7)},
		"revisions that go back":    {sealed(1, 1, 2, 0, 7), sealed(2, 2, 4, 7, 8)},
		"a run that ends early":     {sealed(1, 3, 2, 0, 7)},
		"another chain":             {sealed(1, 1, 2, 0, 7), sealed(2, 3, 4, 6, 8)},
		"one in between not sealed": {sealed(1, 1, 2, 0, 7), open, sealed(3, 5, 6, 8, 9)},
		"no bytes":                  {{File: 1, First: 1, Last: 1, Sealed: true}},
	} {
		if _, err := Open(testOptions(newMem(t)), infos, 9); err == nil || !strings.Contains(err.Error(), "of") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
