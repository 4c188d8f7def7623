package vfs_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"balsa.example/vfs"
)

// What is written past the cache, aligned or not, is what is read, also where it replaces what the
// cache holds.
func TestUncachedWritesAreRead(t *testing.T) {
	g := vfs.NewGradual(vfs.OS, func(err error) { t.Error(err) })
	defer g.Close()
	f, err := g.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, ok := f.(vfs.UncachedFile)
	if !ok {
		t.Fatalf("%T has no Uncached", f)
	}
	w, err := file.Uncached()
	if err != nil {
		t.Skip("this system or its file system has no such writes:", err)
	}
	defer w.Close()
	random := rand.New(rand.NewPCG(1, 2))
	const most = 1 << 20
	want := make([]byte, 2*most)
	if _, err := f.WriteAt(want, 0); err != nil { // now the cache holds it
		t.Fatal(err)
	}
	buf := make([]byte, most)
	for i := range 60 {
		at, from, n := random.IntN(most), random.IntN(most/2), random.IntN(most/2)
		if i%2 == 0 {
			at, from = at&^4095, 0
		}
		p := buf[from : from+n]
		for j := range p {
			p[j] = byte(random.Uint32())
		}
		if wrote, err := w.WriteAt(p, int64(at)); wrote != n || err != nil {
			t.Fatalf("write of %d bytes to %d: %d, %v", n, at, wrote, err)
		}
		copy(want[at:], p)
	}
	if err := f.SyncData(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("something else was read: %v", err)
	}
}

// plain is a file system whose files know nothing of a cache.
type plain struct{ vfs.FS }

type plainFile struct{ vfs.File }

func (p plain) Create(name string) (vfs.File, error) {
	f, err := p.FS.Create(name)
	return plainFile{f}, err
}

func TestUncachedIsAChoice(t *testing.T) {
	g := vfs.NewGradual(plain{vfs.OS}, nil)
	f, err := g.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.(vfs.UncachedFile).Uncached(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Uncached: %v, want ErrUnsupported", err)
	}
}
