package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

func filledWorld(t *testing.T, opts Options, revisions, valueBytes int) *world {
	t.Helper()
	w, err := newWorld(opts, 11)
	if err != nil {
		t.Fatal(err)
	}
	for range revisions {
		w.revision(2, valueBytes)
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	return w
}

// A scan whose runs are rewritten and removed under it goes on in the new ones.
func TestScanGoesOnWhereRunsWereRewritten(t *testing.T) {
	w := filledWorld(t, testOptions(newMem(t)), 60, 200)
	var got []uint64
	err := w.h.Scan(0, func(r *Record) bool {
		if len(got) == 3 {
			if err := w.rewrite(0, len(w.durable.infos)-1, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, r.Mod)
		return true
	})
	var want []uint64
	for _, r := range w.records {
		want = append(want, r.Mod)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
}

func TestRefOfARemovedRunIsGone(t *testing.T) {
	w := filledWorld(t, testOptions(newMem(t)), 60, 200)
	old := w.refs[0]
	if err := w.rewrite(0, 2, func() {
		if _, err := w.h.Read(old); err != nil {
			t.Errorf("before it is removed: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.h.Read(old); !errors.Is(err, ErrGone) {
		t.Errorf("afterwards: %v", err)
	}
	if err := w.check(); err != nil {
		t.Error(err)
	}
}

// opener counts the files that are open.
type opener struct {
	vfs.FS
	open, most atomic.Int64
	// read is how many bytes were read, in so many reads.
	read, reads atomic.Int64
}

type opened struct {
	vfs.File
	o *opener
}

func (o *opener) Open(name string) (vfs.File, error) {
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	o.most.Store(max(o.most.Load(), o.open.Add(1)))
	return opened{f, o}, nil
}

func (f opened) Close() error { f.o.open.Add(-1); return f.File.Close() }

func (f opened) ReadAt(p []byte, at int64) (int, error) {
	f.o.read.Add(int64(len(p)))
	f.o.reads.Add(1)
	return f.File.ReadAt(p, at)
}

func TestOpenFilesAreBounded(t *testing.T) {
	o := &opener{FS: newMem(t)}
	opts := testOptions(o)
	opts.OpenFiles = 3
	w := filledWorld(t, opts, 100, 300)
	if n := len(w.durable.infos); n < 8 {
		t.Fatalf("only %d runs", n)
	}
	for range 2 {
		if err := errors.Join(w.check(), checkLoad(w.h, w.want(len(w.records), nil))); err != nil {
			t.Fatal(err)
		}
	}
	// One more is open while an idle one is being closed.
	if most := o.most.Load(); most < 3 || most > 4 {
		t.Errorf("%d files were open at once", most)
	}
	err := w.h.Scan(0, func(*Record) bool {
		if err := w.h.Close(); err != nil {
			t.Error(err)
		}
		return true
	})
	_, readErr := w.h.Read(w.refs[0])
	for _, err := range []error{err, readErr, w.flush()} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("after Close: %v", err)
		}
	}
	if o.open.Load() != 0 {
		t.Errorf("after Close %d files are open", o.open.Load())
	}
}

// A scan from the middle of a run reads little of what is before.
func TestScanBeginsInTheMidstOfARun(t *testing.T) {
	o := &opener{FS: newMem(t)}
	opts := testOptions(o)
	opts.RunBytes = 4 << 20
	w := filledWorld(t, opts, 1000, 10_000)
	info := w.durable.infos[0]
	if !info.Sealed || info.Bytes < opts.RunBytes {
		t.Fatalf("the first run is %+v", info)
	}
	for from := info.First; from <= info.Last; from++ {
		o.read.Store(0)
		var first Record
		if err := w.h.Scan(from, func(r *Record) bool { first = *r; return false }); err != nil {
			t.Fatal(err)
		}
		if want := w.records[2*(from-1)]; !equalRecords(first, want) || o.read.Load() > 2*pieceBytes {
			t.Fatalf("from %d: %d bytes read, %+v", from, o.read.Load(), first)
		}
	}
}

// What is being appended is not looked at.
func TestScanBeginsBeforeWhatIsBeingAppended(t *testing.T) {
	m := newMemory(100, make([]byte, headerSize))
	for mod := range uint64(2) {
		rec := Record{Mod: mod + 5, Last: true}
		rec.encode(m.room(rec.size()), 0)
	}
	end := m.size
	m.room(200)
	for revision, want := range map[uint64]uint32{1: 0, 5: 0, 6: 0, 7: 83} {
		if got := m.startOf(revision, end); got != want {
			t.Errorf("from revision %d at %d, want %d", revision, got, want)
		}
	}
}

// Values of the newest records are not copied again, and stay as they are.
func TestAppendCopiesOnce(t *testing.T) {
	w := filledWorld(t, testOptions(newMem(t)), 1, 10)
	rec := Record{Key: []byte("k"), Value: []byte("value"), Mod: 3, Last: true}
	given := rec.Value
	ref := w.h.Append(&rec)
	read, err := w.h.Read(ref)
	if err != nil || &rec.Value[0] == &given[0] || &read.Value[0] != &rec.Value[0] || cap(rec.Value) != len(rec.Value) {
		t.Errorf("%v: given %p, appended %p, read %p", err, given, rec.Value, read.Value)
	}
	if n := testing.AllocsPerRun(50, func() {
		w.h.Append(&Record{Key: given, Mod: w.h.Revision() + 1, Last: true})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The memory of flushed runs is given back, but for CacheBytes.
func TestMemoryIsBounded(t *testing.T) {
	opts := testOptions(newMem(t))
	opts.CacheBytes = 20 << 10
	w := filledWorld(t, opts, 200, 300)
	if w.h.UnflushedBytes() != 0 {
		t.Errorf("%d bytes are not flushed", w.h.UnflushedBytes())
	}
	held := func() (n int64) {
		for _, r := range w.h.mu.runs {
			if mem := r.mem.Load(); mem != nil && r != w.h.run {
				n += mem.bytes()
			}
		}
		return n
	}
	if n := held(); n > opts.CacheBytes || n < opts.CacheBytes/2 {
		t.Errorf("%d bytes are in memory", n)
	}
	before := w.h.UnflushedBytes()
	w.revision(1, 300)
	if got := w.h.UnflushedBytes() - before; got < int64(w.refs[len(w.refs)-1].Size) {
		t.Errorf("%d bytes are not flushed", got)
	}
}

// Readers, scans, flushes and rewrites run beside the appender.
func TestEverythingAtOnce(t *testing.T) {
	opts := testOptions(newMem(t))
	opts.CacheBytes = 8 << 10
	h, err := Open(opts, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &sharedIndex{refs: map[string]Ref{}}
	var wg, readers sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if err := errors.Join(s.readAll(h), s.scan(h)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	marks := make(chan Mark)
	wg.Go(func() { s.work(t, h, marks) })
	for i := range 600 {
		rec := Record{Key: fmt.Appendf(nil, "k%d", i%50), Value: bytes.Repeat([]byte{byte(i)}, i%300), Mod: uint64(i + 1), Last: true}
		s.append(h, &rec)
		if i%20 == 0 {
			marks <- h.Mark()
		}
	}
	close(marks)
	wg.Wait()
	done.Store(true)
	readers.Wait()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// sharedIndex is what a store does: it knows where the newest record of each key is.
type sharedIndex struct {
	mu   sync.Mutex
	refs map[string]Ref
	last uint64
}

func (s *sharedIndex) append(h *History, rec *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refs[string(rec.Key)] = h.Append(rec)
	s.last = rec.Mod
}

func (s *sharedIndex) get(key string) (Ref, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref, ok := s.refs[key]
	return ref, ok
}

func (s *sharedIndex) readAll(h *History) error {
	for i := range 50 {
		key := fmt.Sprintf("k%d", i)
		ref, ok := s.get(key)
		if !ok {
			continue
		}
		rec, err := h.Read(ref)
		for errors.Is(err, ErrGone) {
			ref, _ = s.get(key)
			rec, err = h.Read(ref)
		}
		if err != nil || string(rec.Key) != key || len(rec.Value) != int(rec.Mod-1)%300 {
			return fmt.Errorf("read %s at %v: %+v, %w", key, ref, rec, err)
		}
	}
	return nil
}

func (s *sharedIndex) scan(h *History) error {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	seen, from := uint64(0), last/2
	err := h.Scan(from, func(r *Record) bool {
		if r.Mod <= seen || r.Mod < from || string(r.Key) != fmt.Sprintf("k%d", (r.Mod-1)%50) {
			seen = 0
			return false
		}
		seen = r.Mod
		return true
	})
	if err != nil || seen < last {
		return fmt.Errorf("scan from %d ends at %d, want %d: %w", from, seen, last, err)
	}
	return nil
}

// work flushes, and rewrites the oldest runs.
func (s *sharedIndex) work(t *testing.T, h *History, marks <-chan Mark) {
	for mark := range marks {
		infos, _, err := h.Flush(context.Background(), mark, nil)
		if err != nil {
			t.Error(err)
		}
		if len(infos) < 4 || !infos[2].Sealed {
			continue
		}
		rw, err := h.Rewrite(context.Background(), []uint32{infos[0].File, infos[1].File, infos[2].File}, func(rec *Record, at Ref) bool {
			ref, _ := s.get(string(rec.Key))
			return ref == at
		}, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if n := len(rw.Replace(infos)); n > len(infos) {
			t.Errorf("%d runs of %d", n, len(infos))
		}
		rw.Install(s.move)
		if err := rw.Remove(); err != nil {
			t.Error(err)
		}
	}
}

func (s *sharedIndex) move(key []byte, _ uint64, from, to Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs[string(key)] == from {
		s.refs[string(key)] = to
	}
}

// What a run has, it has for whoever has opened it, whatever becomes of the file. What breaks off is
// resumed.
func TestReceive(t *testing.T) {
	sender, mem := filledWorld(t, testOptions(newMem(t)), 60, 300), newMem(t)
	info := sender.durable.infos[1]
	data, err := sender.h.Files().Open(info)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if err := sender.rewrite(0, 3, func() {}); err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := whole.ReadFrom(data); err != nil || int64(whole.Len()) != info.Bytes {
		t.Fatalf("%d bytes of %d, %v", whole.Len(), info.Bytes, err)
	}
	ctx, files := context.Background(), Files{FS: mem, Dir: testDir, Cluster: 0xc1}
	var there Part
	for _, part := range []int64{10, 700, 1500, info.Bytes} {
		got, err := files.Receive(ctx, 40, info, there, bytes.NewReader(whole.Bytes()[there.Have:part]), nil)
		if part < info.Bytes && err == nil || part == info.Bytes && (err != nil || got.File != 40) {
			t.Fatalf("with %d of %d bytes: %+v, %v", part, info.Bytes, got, err)
		}
		mem = mem.CrashClone(crashfs.Crash{})
		files.FS = mem
		before := there.Have
		if there, err = files.Received(40, info, 0); err != nil || there.Have > part || part > 100 && there.Have <= before {
			t.Fatalf("of %d bytes %d are good, before %d; %v", part, there.Have, before, err)
		}
	}
	if _, err := files.Open(Info{File: 39}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is missing: %v", err)
	}
	info.File = 40
	if err := files.Verify(ctx, info, nil); err != nil {
		t.Error(err)
	}
	wrong := bytes.Clone(whole.Bytes())
	wrong[100]++
	_, err = files.Receive(ctx, 41, info, Part{}, bytes.NewReader(wrong), nil)
	if err := isCorrupt(err, files.Path(41)); err != nil {
		t.Error(err)
	}
	if numbers, err := files.List(); err != nil || !slices.Equal(numbers, []uint32{40}) {
		t.Errorf("files %v, %v", numbers, err)
	}
}

// A damaged run is replaced by one with the same checksum, under the Refs that there are.
func TestRepair(t *testing.T) {
	mem := newMem(t)
	w := filledWorld(t, testOptions(mem), 60, 300)
	info := w.durable.infos[1]
	good := fileOf(mem, w, info)
	bad := slices.Clone(good)
	clear(bad[headerSize:])
	if err := vfs.WriteFile(mem, w.h.Files().Path(info.File), bad); err != nil {
		t.Fatal(err)
	}
	if err := isCorrupt(w.check(), w.h.Files().Path(info.File)); err != nil {
		t.Fatal(err)
	}
	number := w.h.NewFile()
	if _, err := w.h.Files().Receive(context.Background(), number, info, Part{}, bytes.NewReader(good), nil); err != nil {
		t.Fatal(err)
	}
	if strays, err := w.h.Strays(); err != nil || !slices.Equal(strays, []uint32{number}) {
		t.Errorf("strays %v, %v", strays, err)
	}
	if err := w.h.Repair(info.File, number); err != nil {
		t.Fatal(err)
	}
	_, err := w.reopen(mem.CrashClone(crashfs.Crash{}))
	if err := errors.Join(err, w.check()); err != nil {
		t.Error(err)
	}
}

// A context that ends stops a flush between two pieces, and a later one goes on.
func TestFlushStopsAndGoesOn(t *testing.T) {
	w, err := newWorld(testOptions(newMem(t)), 2)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		w.revision(1, 300)
	}
	ctx, cancel := context.WithCancel(context.Background())
	paced := 0
	if _, written, err := w.h.Flush(ctx, w.h.Mark(), func(bytes int) { paced += bytes; cancel() }); !errors.Is(err, context.Canceled) || written != int64(paced) || paced == 0 {
		t.Errorf("%d bytes written, %d paced, %v", written, paced, err)
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.reopen(w.opts.FS); err != nil {
		t.Error(err)
	}
}
