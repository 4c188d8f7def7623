package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

var fuzzHeader = header{magic: segmentMagic, Identity: testID, number: 1, salt: 0xa5a5a5a5a5a5a5a5}

// checkReplay demands of what a replay accepted that it makes sense.
func checkReplay(t *testing.T, r *replay) {
	t.Helper()
	if n := raft.Index(len(r.entries)); r.base+n != r.pos.last {
		t.Fatalf("%d entries after %d, the last is %d", n, r.base, r.pos.last)
	}
	for i, e := range r.entries {
		if e.Index != r.base+raft.Index(i)+1 {
			t.Fatalf("entry %d of %d after %d has index %d", i, len(r.entries), r.base, e.Index)
		}
	}
	if r.pos.compacted > r.pos.last {
		t.Fatalf("compacted at %d, the last entry is %d", r.pos.compacted, r.pos.last)
	}
	if r.pos.last < r.begin {
		return // no snapshot goes with it
	}
	m := raft.SnapshotMeta{Index: r.pos.last, Term: r.pos.lastTerm}
	if rest, _, err := r.after(m); err != nil || len(rest) != 0 {
		t.Fatalf("entries after the last: %v, %v", rest, err)
	}
}

// FuzzReplay feeds records behind valid checksums: a sequence of payloads, each with
// its length as u16 before it.
func FuzzReplay(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newStamp(fuzzHeader.salt, fuzzHeader.number)
		img := fuzzHeader.encode()
		for seq := uint64(1); len(data) >= 2; seq++ {
			n := min(int(binary.LittleEndian.Uint16(data)), len(data)-2)
			img = append(img, s.finish(append(make([]byte, frameHeaderSize), data[2:2+n]...), seq)...)
			data = data[2+n:]
		}
		var r replay
		if _, err := r.segment(fuzzHeader, img); err == nil {
			checkReplay(t, &r)
		}
	})
}

// FuzzSegment feeds what may stand behind the header of a segment.
func FuzzSegment(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		reused := fuzzHeader
		reused.reused = true
		for _, h := range []header{fuzzHeader, reused} {
			var r replay
			if _, err := r.segment(h, append(h.encode(), data...)); err == nil {
				checkReplay(t, &r)
			}
		}
	})
}

// FuzzSnapshot feeds whole files. One that is accepted is what the writer would write.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, img []byte) {
		meta, r, err := openImage(img)
		if err != nil {
			return
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return
		}
		h, err := decodeHeader("", snapshotMagic, img)
		if err != nil {
			t.Fatal(err)
		}
		again, err := writeImage(h, meta, data)
		if err != nil {
			t.Fatal(err)
		}
		_, r, err = openImage(again)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes again instead of %d: %v", len(got), len(data), err)
		}
	})
}

// FuzzHeader feeds headers.
func FuzzHeader(f *testing.F) {
	f.Add(fuzzHeader.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader("file", segmentMagic, b)
		var corruption *CorruptionError
		switch {
		case err == nil && h.magic != segmentMagic,
			err != nil && !errors.As(err, &corruption) && !errors.Is(err, ErrNewerFormat) && !errors.Is(err, ErrOlderFormat):
			t.Fatalf("%v, %v", h, err)
		case err == nil && binary.LittleEndian.Uint32(b[8:]) == formatVersion && !bytes.Equal(h.encode(), b[:headerSize]):
			t.Fatalf("%v is encoded otherwise", h)
		}
	})
}

// writeImage returns the file of a snapshot.
func writeImage(h header, meta raft.SnapshotMeta, data []byte) ([]byte, error) {
	fs := crashfs.NewMem()
	f, err := fs.Create("image")
	if err != nil {
		return nil, err
	}
	w := newSnapshotWriter(f, h, meta, always)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	return vfs.ReadFile(fs, "image")
}
