package run

import (
	"bytes"
	"context"
	"encoding/binary"
	"reflect"
	"runtime"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// signed returns a record with some content and a right hash.
func signed(content []byte) []byte {
	b := append(make([]byte, recordHead), content...)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(content)))
	sign(b, 7)
	return b
}

func FuzzRecord(f *testing.F) {
	for _, rec := range []Record{{}, {Key: []byte("key"), Value: []byte("value"), Mod: 300, Create: 7, Version: 1 << 40, Lease: -1, Wall: -5, Deleted: true, Last: true}} {
		b := make([]byte, rec.size())
		rec.encode(b, 7)
		f.Add(b[recordHead:])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var rec Record
		b := signed(content)
		hash, err := rec.decode(b, 7)
		if len(b) >= minRecord {
			value, ok := valueIn(b, rec.Mod)
			_, other := valueIn(b, rec.Mod+1)
			if err == nil && (!ok || other || !bytes.Equal(value, rec.Value)) {
				t.Fatalf("value %q, %t, in %+v, and of another revision %t", value, ok, rec, other)
			}
		}
		if err != nil {
			return
		}
		again := rec
		b = make([]byte, rec.size())
		if got := again.encode(b, 7); len(b) == len(content)+recordHead && got != hash {
			t.Fatalf("hash %x, then %x", hash, got)
		}
		var back Record
		if _, err := back.decode(b, 7); err != nil || !reflect.DeepEqual(back, again) {
			t.Fatalf("%+v came back as %+v, %v", rec, back, err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	build := footer{first: 5}
	build.index(pack(5, []Entry{{Key: []byte("ab"), Mod: 9, Create: 7, Version: 2, Lease: 1, At: Ref{Offset: 64, Size: 30}}, {Key: []byte("abc"), Mod: 6, Deleted: true}}))
	f.Add(build.b[recordHead:])
	f.Fuzz(func(t *testing.T, content []byte) {
		e, n := entries{b: content, first: 5}, 0
		for {
			ok, err := e.next()
			if !ok || err != nil {
				break
			}
			if n++; n > len(content) || len(e.Key) > len(content) {
				t.Fatalf("%d entries, a key of %d bytes, from %d", n, len(e.Key), len(content))
			}
		}
		findStep(content, 5, 100, headerSize)
	})
}

// FuzzFile: whatever a file holds, nothing panics, and no memory is taken that the file does not account for.
func FuzzFile(f *testing.F) {
	mem := newMem(f)
	w, err := newWorld(testOptions(mem), 1)
	if err != nil {
		f.Fatal(err)
	}
	for range 60 {
		w.revision(2, 100)
	}
	if err := w.flush(); err != nil {
		f.Fatal(err)
	}
	sealed := w.durable.infos[0]
	f.Add(fileOf(mem, w, sealed), true, sealed.Records, sealed.Last)
	open := w.durable.infos[len(w.durable.infos)-1]
	f.Add(fileOf(mem, w, open), false, open.Records, open.Last)
	huge := bytes.Clone(fileOf(mem, w, sealed))
	binary.LittleEndian.PutUint32(huge[headerSize+8:], 1<<30)
	f.Add(huge, true, sealed.Records, sealed.Last)
	disk := crashfs.NewMem()
	if err := vfs.MakeDir(disk, testDir); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte, isSealed bool, records int64, last uint64) {
		files := Files{FS: disk, Dir: testDir, Cluster: 0xc1}
		if err := vfs.WriteFile(disk, files.Path(1), content); err != nil {
			t.Fatal(err)
		}
		info := Info{File: 1, First: sealed.First, Last: last, Records: records, Bytes: int64(len(content)), Sealed: isSealed}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		readAll(files, info)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(16*len(content)+1<<20) {
			t.Errorf("%d bytes allocated for a file of %d", n, len(content))
		}
	})
}

// readAll reads a file in all ways. Errors are as good as none.
func readAll(files Files, info Info) {
	files.Verify(context.Background(), info, nil)
	files.Received(1, info, 0)
	opts := testOptions(files.FS)
	h, err := Open(opts, []Info{info}, 2)
	if err != nil {
		return
	}
	defer h.Close()
	h.Scan(0, func(*Record) bool { return true })
	h.Scan(info.Last, func(*Record) bool { return true })
	h.Load(func(*Entry) bool { return true })
	h.Read(Ref{Run: 1, Offset: headerSize, Size: 100})
	h.Read(Ref{Run: 1, Offset: 1 << 31, Size: 1 << 31})
}
