package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// damagedLog is a log in memory to be damaged, with what it held before.
type damagedLog struct {
	mem   *crashfs.Mem
	files map[string][]byte
	whole contents
}

// newDamagedLog returns a log of several segments, and a snapshot of the given
// size of which the log depends.
func newDamagedLog(t *testing.T, size int) *damagedLog {
	t.Helper()
	mem := crashfs.NewCrashableMem()
	opts := testOptions(mem, 1)
	l := mustCreate(t, opts)
	m := newModel(testConf)
	meta := raft.SnapshotMeta{Index: 5, Term: 1, Configuration: testConf}
	steps := []step{{kind: stepSave, persists: []raft.Persist{{
		HardState: &raft.HardState{Term: 1, Vote: 1}, Entries: entries(1, 1, 9, 9, 9, 9, 9)}}}}
	steps = append(steps, step{kind: stepSnapshot, meta: meta, data: make([]byte, size)}, step{kind: stepCompact, index: 5})
	for i := range raft.Index(8) {
		steps = append(steps, step{kind: stepSave, persists: []raft.Persist{{Entries: entries(6+i, 1, 700)}}})
	}
	var err error
	for _, s := range steps {
		s.onModel(m)
		if l, err = s.onLog(l, testDir, opts, testID); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	return &damagedLog{mem: mem, files: readFiles(t, mem), whole: m.contents()}
}

func readFiles(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if files[name], err = vfs.ReadFile(fs, filepath.Join(testDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// with returns a copy in which the file has the given content; nil removes it.
func (d *damagedLog) with(t *testing.T, name string, content []byte) *crashfs.Mem {
	t.Helper()
	fs := d.mem.CrashClone(crashfs.Crash{})
	path := filepath.Join(testDir, name)
	if content == nil {
		if err := fs.Remove(path); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	f, err := fs.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(content)); err != nil { // Write may change what it is given
		t.Fatal(err)
	}
	f.Close()
	return fs
}

// mustRefuse demands that Open reports damage in the file and changes nothing.
func mustRefuse(t *testing.T, fs *crashfs.Mem, file, what string) {
	t.Helper()
	before := readFiles(t, fs)
	l, err := Open(testDir, testOptions(fs, 2), testID)
	if err == nil {
		mustClose(t, l)
	}
	var corruption *CorruptionError
	if !errors.As(err, &corruption) {
		t.Errorf("%s: %v", what, err)
		return
	}
	if file != "" && !strings.HasSuffix(corruption.File, file) {
		t.Errorf("%s in %s: blamed on %v", what, file, err)
	}
	after := readFiles(t, fs)
	for name := range before {
		if !slices.Equal(before[name], after[name]) {
			t.Errorf("%s: Open refused, and changed %s", what, name)
		}
	}
	if len(before) != len(after) {
		t.Errorf("%s: Open refused, and made or removed files", what)
	}
}

// segmentFrames returns the stamp and the frames of a segment's image.
func segmentFrames(t *testing.T, name string, img []byte) (s stamp, frames []frame) {
	t.Helper()
	h, err := decodeHeader(name, segmentMagic, img)
	if err != nil {
		t.Fatal(err)
	}
	s, off, err := readStamp(h, img)
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := s.read(img, off)
		if err == errEnd {
			return s, frames
		} else if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
		off = f.end
	}
}

// names returns the files with the suffix, sorted.
func (d *damagedLog) names(suffix string) (names []string) {
	for name := range d.files {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x10
	return b
}

func zeroed(b []byte, from, to int) []byte {
	b = slices.Clone(b)
	clear(b[from:to])
	return b
}

func TestDamagedSegmentIsRefused(t *testing.T) {
	d := newDamagedLog(t, 100)
	names := d.names(segmentSuffix)
	if len(names) < 4 {
		t.Fatalf("only segments %v", names)
	}
	spare, last := names[len(names)-1], names[len(names)-2]
	for _, name := range names {
		img := d.files[name]
		for at := range headerSize {
			mustRefuse(t, d.with(t, name, flipped(img, at)), name, fmt.Sprint("flip in the header at ", at))
		}
		mustRefuse(t, d.with(t, name, img[:30]), name, "cut inside the header")
		if name != spare {
			mustRefuse(t, d.with(t, name, nil), "", "removal of "+name)
		}
		_, frames := segmentFrames(t, name, img)
		for i, f := range frames {
			for at := f.off; at < f.end; at += 11 {
				mustRefuse(t, d.with(t, name, flipped(img, at)), name, fmt.Sprintf("flip in frame %d at %d", i, at))
			}
			if name == last && i == len(frames)-1 {
				continue // see TestDamageThatLooksTorn
			}
			mustRefuse(t, d.with(t, name, zeroed(img, f.off, f.end)), name, fmt.Sprintf("zeroed frame %d", i))
			mustRefuse(t, d.with(t, name, zeroed(img, f.off, f.off+frameHeaderSize)), name, fmt.Sprintf("zeroed header of frame %d", i))
			if name != last {
				mustRefuse(t, d.with(t, name, img[:f.off]), "", fmt.Sprintf("cut before frame %d", i))
				mustRefuse(t, d.with(t, name, img[:f.off+30]), "", fmt.Sprintf("cut inside frame %d", i))
			}
			if i+1 < len(frames) {
				next := frames[i+1]
				swapped := slices.Concat(img[:f.off], img[next.off:next.end], img[f.off:f.end], img[next.end:])
				mustRefuse(t, d.with(t, name, swapped), name, fmt.Sprintf("swapped frames %d and %d", i, i+1))
				doubled := slices.Concat(img[:f.end], img[f.off:f.end], img[next.off:])
				mustRefuse(t, d.with(t, name, doubled), name, fmt.Sprintf("doubled frame %d", i))
				mustRefuse(t, d.with(t, name, slices.Concat(img[:f.off], img[f.end:])), name, fmt.Sprintf("left out frame %d", i))
			}
		}
	}
	mustRefuse(t, d.with(t, last, zeroed(d.files[last], headerSize, len(d.files[last]))), spare, "the last segment zeroed")
	number, _ := parseName(spare, segmentSuffix)
	extra := header{magic: segmentMagic, Identity: testID, number: number + 1, salt: 1}
	mustRefuse(t, d.with(t, segmentName(extra.number), extra.encode()), "", "a segment too many")
	mustRefuse(t, d.with(t, names[1], d.files[names[2]]), names[1], "a segment under the name of another")
	mustRefuse(t, d.with(t, spare, append(slices.Clone(d.files[spare]), 1, 2, 3)), last, "data in an unused segment")
}

// What no reader can tell from a write that a crash interrupted (see DESIGN.md):
// the very last frame zeroed or cut off. The log then ends before it.
func TestDamageThatLooksTorn(t *testing.T) {
	d := newDamagedLog(t, 100)
	names := d.names(segmentSuffix)
	name := names[len(names)-2]
	img := d.files[name]
	_, frames := segmentFrames(t, name, img)
	f := frames[len(frames)-1]
	for what, content := range map[string][]byte{
		"zeroed":         zeroed(img, f.off, f.end),
		"header zeroed":  zeroed(img, f.off, f.off+frameHeaderSize),
		"sector zeroed":  zeroed(img, (f.off/sectorSize+1)*sectorSize, (f.off/sectorSize+2)*sectorSize),
		"file cut":       img[:f.off],
		"file cut later": img[:f.end-1],
	} {
		opts := testOptions(d.with(t, name, content), 3)
		l := mustOpen(t, opts)
		got, err := loadAll(l)
		if err != nil {
			t.Fatal(err)
		}
		if want := d.whole.State.Entries; len(got.State.Entries) != len(want)-1 {
			t.Errorf("%s: %d entries of %d", what, len(got.State.Entries), len(want))
		}
		m := &model{hard: got.State.HardState, base: 5, baseTerm: 1, entries: got.State.Entries, snapshot: got.Meta, data: got.Data}
		if err := checkGoesOn(l, m, opts); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// openImage opens a snapshot's image.
func openImage(img []byte) (raft.SnapshotMeta, *snapshotReader, error) {
	r, meta, err := newSnapshotReader(io.NopCloser(bytes.NewReader(img)), "image", testID, 5)
	return meta, r, err
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	d := newDamagedLog(t, 2*maxChunk+1000)
	name := d.names(snapshotSuffix)[0]
	img := d.files[name]
	refuse := func(img []byte, what string, at int) {
		t.Helper()
		_, r, err := openImage(img)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		var corruption *CorruptionError
		if !errors.As(err, &corruption) {
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	for at := 0; at < len(img); at += 1001 {
		refuse(flipped(img, at), "flip", at)
		refuse(img[:at], "cut", at)
	}
	for at := range 2 * headerSize {
		refuse(flipped(img, at), "flip", at)
		refuse(flipped(img, len(img)-1-at), "flip before the end", at)
	}
	mustRefuse(t, d.with(t, name, flipped(img, 5000)), name, "flip")
	mustRefuse(t, d.with(t, name, img[:5000]), name, "cut")
	first := len(img) - 16 - (chunkHeaderSize + 1000) - 2*(chunkHeaderSize+maxChunk)
	second, third := first+chunkHeaderSize+maxChunk, first+2*(chunkHeaderSize+maxChunk)
	mustRefuse(t, d.with(t, name, slices.Concat(img[:first], img[second:third], img[first:second], img[third:])), name, "swapped chunks")
	mustRefuse(t, d.with(t, name, slices.Concat(img[:first], img[second:])), name, "left out chunk")
	mustRefuse(t, d.with(t, name, zeroed(img, first, second)), name, "zeroed chunk")
	mustRefuse(t, d.with(t, name, append(slices.Clone(img), 0)), name, "data after the footer")
	mustRefuse(t, d.with(t, name, nil), "", "removed snapshot")
}

// A snapshot that goes bad while the log is open is noticed by its reader.
func TestSnapshotReaderReportsDamage(t *testing.T) {
	d := newDamagedLog(t, 2*maxChunk+1000)
	name := d.names(snapshotSuffix)[0]
	l := mustOpen(t, testOptions(d.mem, 2))
	defer l.Close()
	d.mem = d.mem.CrashClone(crashfs.Crash{UnsyncedPercent: 100, Rand: seeded(1)})
	bad := d.with(t, name, flipped(d.files[name], len(d.files[name])-100))
	l.dir.fs = bad
	_, r, err := l.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	var corruption *CorruptionError
	if !errors.As(err, &corruption) || n != 2*maxChunk {
		t.Fatalf("read %d bytes and %v", n, err)
	}
}

func TestDamagedIdentityIsRefused(t *testing.T) {
	d := newDamagedLog(t, 100)
	img := d.files[identityName]
	for at := range img {
		mustRefuse(t, d.with(t, identityName, flipped(img, at)), identityName, fmt.Sprint("flip at ", at))
		mustRefuse(t, d.with(t, identityName, img[:at]), identityName, fmt.Sprint("cut at ", at))
	}
}

// An old snapshot put in the place of the newest is not taken for it.
func TestOlderSnapshotIsNotFallenBackTo(t *testing.T) {
	opts := testOptions(crashfs.NewMem(), 1)
	l := mustCreate(t, opts)
	old := readFiles(t, opts.FS)[snapshotName(0)]
	save := func(first raft.Index) {
		if err := l.Save([]raft.Persist{{Entries: entries(first, 0, 1, 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	save(1)
	if err := l.SaveSnapshot(raft.SnapshotMeta{Index: 2}, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(2); err != nil {
		t.Fatal(err)
	}
	save(3)
	mustClose(t, l)
	mem := opts.FS.(*crashfs.Mem)
	if err := mem.Remove(filepath.Join(testDir, snapshotName(2))); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create(filepath.Join(testDir, snapshotName(0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(slices.Clone(old)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	mustRefuse(t, mem, snapshotName(0), "older snapshot")
}
