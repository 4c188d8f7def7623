package run

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// goldenHistory has a sealed run and one that is not.
func goldenHistory(t *testing.T, mem *crashfs.Mem) []Info {
	t.Helper()
	opts := testOptions(mem)
	opts.RunBytes = 150
	h, err := Open(opts, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, rec := range []Record{
		{Key: []byte("hive"), Value: []byte("bees"), Mod: 2, Create: 2, Version: 1, Wall: 1_795_000_000_000},
		{Key: []byte("hill"), Value: []byte("ants"), Mod: 2, Create: 2, Version: 1, Lease: 7, Wall: 1_795_000_000_000, Last: true},
		{Key: []byte("hive"), Value: []byte("honey"), Mod: 3, Create: 2, Version: 2, Lease: -1, Wall: -1, Last: true},
		{Key: []byte("hive"), Mod: 300, Deleted: true, Last: true},
		{Key: nil, Value: []byte("no key"), Mod: 301, Create: 301, Version: 1, Last: true},
	} {
		h.Append(&rec)
	}
	infos, _, err := h.Flush(context.Background(), h.Mark(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

// TestFormatIsThatOfTheGoldenFiles: a change of the format needs another number in the header. With
// BALSA_REWRITE=1 the test writes the files.
func TestFormatIsThatOfTheGoldenFiles(t *testing.T) {
	mem := newMem(t)
	infos := goldenHistory(t, mem)
	files := Files{FS: mem, Dir: testDir, Cluster: 0xc1}
	for i, info := range infos {
		b, err := vfs.ReadFile(mem, files.Path(info.File))
		if err != nil || int64(len(b)) != info.Bytes {
			t.Fatalf("%d bytes, %v; want %d", len(b), err, info.Bytes)
		}
		got := fmt.Sprintf("%+v\n%s", info, hex.Dump(b))
		name := filepath.Join("testdata", fmt.Sprintf("run-%d.hex", i+1))
		if os.Getenv("BALSA_REWRITE") != "" {
			if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || string(want) != got {
			t.Errorf("%v: got\n%swant\n%s", err, got, want)
		}
	}
}

// TestReplicasHaveTheSameFiles: two that append the same records have the same runs, whenever they
// flush or restart.
func TestReplicasHaveTheSameFiles(t *testing.T) {
	a, b := newMem(t), newMem(t)
	wa, err := newWorld(testOptions(a), 5)
	if err != nil {
		t.Fatal(err)
	}
	wb, err := newWorld(testOptions(b), 5)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 120 {
		wa.revision(1+i%3, 200)
		wb.revision(1+i%3, 200)
		if i%7 == 0 {
			if err := wb.flush(); err != nil {
				t.Fatal(err)
			}
			if wb.h, err = wb.reopen(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range []*world{wa, wb} {
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(wa.durable.infos); n < 5 || n != len(wb.durable.infos) {
		t.Fatalf("%d and %d runs", n, len(wb.durable.infos))
	}
	for i, info := range wa.durable.infos {
		if !bytes.Equal(fileOf(a, wa, info), fileOf(b, wb, wb.durable.infos[i])) || info.Checksum != wb.durable.infos[i].Checksum {
			t.Errorf("run %d differs: %+v, %+v", i, info, wb.durable.infos[i])
		}
	}
}
