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
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// formerLife is the content of a file of some sectors that was a segment before: frames of two
// earlier lives, and zeros.
func formerLife(random io.Reader, sectors int) []byte {
	b := make([]byte, sectors*sectorSize)
	var choice [1]byte
	for off := 0; off < len(b); off += sectorSize {
		random.Read(choice[:])
		s := newStamp(uint64(choice[0]%2)*0x4a4a4a4a4a4a4a4a|0xa5a5a5a5a5a5a5a5, uint64(choice[0]%2))
		switch choice[0] % 5 {
		case 0: // zeros
		case 1:
			copy(b[off:], s.finish(append(make([]byte, frameHeaderSize), "short"...), 7))
		default:
			random.Read(b[off : off+sectorSize])
			copy(b[off:], s.finish(make([]byte, frameHeaderSize, sectorSize), 7)[:frameHeaderSize])
		}
	}
	return b
}

// reusedSegment is a segment in the file of a former life, as readStamp and the writer see it.
func reusedSegment(t *testing.T, former []byte, h header) (img []byte, s stamp, begin int) {
	t.Helper()
	sums, err := sectorSums(bytes.NewReader(former), int64(len(former)))
	if err != nil {
		t.Fatal(err)
	}
	h.reused = true
	img = slices.Clone(former)
	copy(img, h.stamp().appendTable(h.encode(), sums))
	s, begin, err = readStamp(h, img)
	if err != nil || begin != reusedBegin(len(sums)) || !slices.Equal(s.old, sums) || s.magic == frameMagic {
		t.Fatalf("begins at %d, %v", begin, err)
	}
	return img, s, begin
}

// add writes a frame into an image as a segment does. It returns the frame's end.
func add(img []byte, s stamp, off, size int, seq uint64, payload func([]byte)) (end int) {
	b := make([]byte, frameHeaderSize+size)
	payload(b[frameHeaderSize:])
	b = s.finish(b, seq)
	w := segment{used: int64(off), size: int64(len(img)), reused: true}
	copy(img[off:], w.pad(b))
	return off + len(b)
}

// A crash may keep any sectors of the last write, and leave in the others what the file held
// before it was used again. Whatever it keeps is recognised.
func TestAnyTornWriteIntoAReusedFileIsRecognised(t *testing.T) {
	random := seeded(1)
	fill := func(b []byte) {
		if random.IntN(2) == 0 {
			for i := range b {
				b[i] = byte(random.Uint32())
			}
		}
	}
	for range 3000 {
		former := formerLife(readerOf(random.Uint32), 10+random.IntN(30))
		former = former[:len(former)-random.IntN(sectorSize)]
		h := header{magic: segmentMagic, number: random.Uint64(), salt: random.Uint64() | 0x0101010101010101}
		img, s, off := reusedSegment(t, former, h)
		img = append(img, make([]byte, 40*sectorSize-len(img))...) // filled with zeros to its new length
		for seq := range uint64(random.IntN(4)) {
			off = add(img, s, off, random.IntN(1000), seq+1, fill)
		}
		before := slices.Clone(img)
		end := add(img, s, off, random.IntN(3000), 9, fill)
		if f, err := s.read(img, off); err != nil || f.end != end || !s.untouched(img, end) {
			t.Fatalf("whole frame: %v", err)
		}
		dropped, kept := false, false
		for sector := off / sectorSize * sectorSize; sector < end; sector += sectorSize {
			if next := sector + sectorSize; random.IntN(3) == 0 {
				copy(img[sector:next], before[sector:next])
				dropped = true
			} else {
				kept = true
			}
		}
		switch _, err := s.read(img, off); {
		case !dropped && err != nil:
			t.Fatalf("whole frame: %v", err)
		case dropped && kept && err != errTorn:
			t.Fatalf("torn frame: %v", err)
		case !kept && err != errEnd:
			t.Fatalf("frame of which nothing is left: %v", err)
		}
	}
}

// readerOf is an endless reader of random numbers.
type readerOf func() uint32

func (r readerOf) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r())
	}
	return len(b), nil
}

// A changed bit is no torn write, also where the file held something else before.
func TestAnyFlippedBitInAReusedFileIsDamage(t *testing.T) {
	former := formerLife(readerOf(seeded(2).Uint32), 8)
	img, s, off := reusedSegment(t, former, header{magic: segmentMagic, number: 7, salt: 0xa5a5a5a5a5a5a5a5})
	off = add(img, s, off, 100, 1, func([]byte) {})
	end := add(img, s, off, 1700, 2, func([]byte) {})
	for bit := off * 8; bit < end*8; bit++ {
		img[bit/8] ^= 1 << (bit % 8)
		var d damage
		if _, err := s.read(img, off); !errors.As(err, &d) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		img[bit/8] ^= 1 << (bit % 8)
	}
}

func TestDamagedTableIsRefused(t *testing.T) {
	former := formerLife(readerOf(seeded(3).Uint32), 40)
	h := header{magic: segmentMagic, number: 7, salt: 0xa5a5a5a5a5a5a5a5, reused: true}
	img, _, begin := reusedSegment(t, former, h)
	for at := headerSize; at < begin; at++ {
		if _, _, err := readStamp(h, flipped(img, at)); err == nil {
			t.Errorf("flip at %d is taken", at)
		}
		if _, _, err := readStamp(h, img[:at]); err == nil {
			t.Errorf("table cut at %d is taken", at)
		}
	}
}

// machineLog opens the log of a machine that keeps its own state, which is at index.
func machineLog(t *testing.T, opts Options, index raft.Index) *Log {
	t.Helper()
	position := raft.SnapshotMeta{}
	if index == 0 {
		if err := Create(testDir, opts, testID, testConf); err != nil {
			t.Fatal(err)
		}
	} else {
		position = raft.SnapshotMeta{Index: index, Term: 1, Configuration: testConf}
	}
	l, err := open(testDir, opts, testID, position)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// steadyLog writes to a log and compacts it, round after round.
func steadyLog(t *testing.T, l *Log, first raft.Index, rounds int) raft.Index {
	t.Helper()
	for range rounds {
		for range 8 {
			if err := l.Save([]raft.Persist{{Entries: entries(first, 1, 700)}}); err != nil {
				t.Fatal(err)
			}
			first++
		}
		if err := l.Compact(first - 1); err != nil {
			t.Fatal(err)
		}
	}
	return first
}

// countFS counts the bytes that are written to its files.
type countFS struct {
	vfs.FS
	written int64
}

func (c *countFS) Create(name string) (vfs.File, error) { return c.wrap(c.FS.Create(name)) }

func (c *countFS) OpenReadWrite(name string) (vfs.File, error) {
	return c.wrap(c.FS.OpenReadWrite(name))
}

func (c *countFS) wrap(f vfs.File, err error) (vfs.File, error) { return countFile{f, c}, err }

type countFile struct {
	vfs.File
	fs *countFS
}

func (f countFile) Write(b []byte) (int, error) {
	f.fs.written += int64(len(b))
	return f.File.Write(b)
}

func (f countFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.written += int64(len(b))
	return f.File.WriteAt(b, off)
}

// In the steady state no zeros are written but those to the end of a sector, and no file is made
// or removed.
func TestFilesAreUsedAgain(t *testing.T) {
	fs := &countFS{FS: crashfs.NewMem()}
	opts := testOptions(fs, 1)
	opts.NoSnapshots, opts.SegmentSize = true, 16<<10
	l := machineLog(t, opts, 0)
	first := steadyLog(t, l, 1, 20)
	files, logged := fileNames(t, fs), int64(0)
	fs.written = 0
	l.opts.OnSync = func(_ time.Duration, bytes int) { logged += int64(bytes) }
	first = steadyLog(t, l, first, 50)
	if most := logged * 3 / 2; fs.written > most {
		t.Errorf("%d bytes are written for %d of the log, want %d at most", fs.written, logged, most)
	}
	if now := fileNames(t, fs); len(now) > len(files)+1 || len(now) > 2+maxReusable+3 {
		t.Errorf("there were %q, now %q", files, now)
	}
	mustClose(t, l)

	l = machineLog(t, opts, first-1) // the files that wait are kept over a restart
	files = fileNames(t, fs)
	if temps := strings.Count(strings.Join(files, " "), vfs.TempSuffix); temps == 0 {
		t.Errorf("after a restart there are %q, and none waits to be used again", files)
	}
	steadyLog(t, l, first, 5)
	mustClose(t, l)
}

func fileNames(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// At most maxReusable files wait, and none where there is no space.
func TestFilesThatWaitAreBounded(t *testing.T) {
	for _, full := range []bool{false, true} {
		mem := crashfs.NewMem()
		opts := testOptions(mem, 1)
		opts.NoSnapshots = true
		l := machineLog(t, opts, 0)
		for i := range raft.Index(60) {
			if err := l.Save([]raft.Persist{{Entries: entries(i+1, 1, 700)}}); err != nil {
				t.Fatal(err)
			}
		}
		want := maxReusable
		if full {
			mem.SetAvailable(1000)
			want = 0
		}
		if err := l.Compact(59); err != nil {
			t.Fatal(err)
		}
		if n := len(l.spare.mu.reusable); n != want {
			t.Errorf("%d files wait, want %d", n, want)
		}
		mustClose(t, l)
	}
}

// A file that cannot be used again is removed, and a new one takes its place.
func TestFileThatCannotBeUsedAgainIsRemoved(t *testing.T) {
	mem := crashfs.NewMem()
	opts := testOptions(mem, 1)
	opts.NoSnapshots = true
	l := machineLog(t, opts, 0)
	first := steadyLog(t, l, 1, 3)
	for _, temp := range l.spare.mu.reusable {
		f, err := mem.Create(filepath.Join(testDir, temp)) // which empties it
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	steadyLog(t, l, first, 30)
	if l.LowSpace() {
		t.Error("the next segment is not prepared any more")
	}
	mustClose(t, l)
	for name, content := range readFiles(t, mem) {
		if name != lockName && len(content) == 0 {
			t.Errorf("%s is left", name)
		}
	}
}

// Damage in files that were used again is found as in others.
func TestDamageInReusedSegmentsIsRefused(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	opts := testOptions(mem, 1)
	l := mustCreate(t, opts)
	m := newModel(testConf)
	do := func(s step) {
		t.Helper()
		s.onModel(m)
		if _, err := s.onLog(l, testDir, opts, testID); err != nil {
			t.Fatal(err)
		}
	}
	for i := raft.Index(1); i < 30; i++ {
		do(step{kind: stepSave, persists: []raft.Persist{{HardState: &raft.HardState{Term: 1}, Entries: entries(i, 1, 500)}}})
		if i%8 == 0 {
			do(step{kind: stepSnapshot, meta: raft.SnapshotMeta{Index: i, Term: 1, Configuration: testConf}})
			do(step{kind: stepCompact, index: i})
		}
	}
	mustClose(t, l)
	d := &damagedLog{mem: mem, files: readFiles(t, mem), whole: m.contents()}
	names, reused := d.names(segmentSuffix), 0
	for i, name := range names {
		img := d.files[name]
		h, err := decodeHeader(name, segmentMagic, img)
		if err != nil || !h.reused {
			continue
		}
		reused++
		_, frames := segmentFrames(t, name, img)
		for at := range len(img) {
			if behind := len(frames) == 0 || at >= frames[len(frames)-1].end; at%7 != 0 || behind && i == len(names)-2 {
				continue // behind the last frame of the log it looks like a torn write
			}
			mustRefuse(t, d.with(t, name, flipped(img, at)), "", fmt.Sprintf("flip in %s at %d", name, at))
		}
	}
	if reused < 2 {
		t.Errorf("%d of %q are files that were used again", reused, names)
	}
}

// A file has many sectors: their checksums allocate nothing for each.
func TestSumsOfSectorsAllocateLittle(t *testing.T) {
	file := bytes.NewReader(make([]byte, 1000*sectorSize+7))
	n := testing.AllocsPerRun(10, func() {
		if sums, err := sectorSums(file, file.Size()); err != nil || len(sums) != 1001 {
			t.Fatal(len(sums), err)
		}
	})
	if n > 10 {
		t.Errorf("%v allocations", n)
	}
}
