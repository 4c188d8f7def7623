package vfs_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// beforeEach returns mem, and calls f before each operation on it that changes something.
func beforeEach(mem *crashfs.Mem, f func() error) vfs.FS {
	return crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return f()
		}
		return nil
	}))
}

// A crash at any operation leaves the old content or the new, and after WriteFile the new.
func TestWriteFileSurvivesCrashes(t *testing.T) {
	mem, random := crashfs.NewCrashableMem(), rand.New(rand.NewPCG(1, 1))
	contents := []string{"the first", "the second", "the third, which is longer"}
	at, written, crashes := 0, "", 0
	crash := func() error {
		for _, kept := range []int{0, 50, 100} {
			crashes++
			b, err := vfs.ReadFile(mem.CrashClone(crashfs.Crash{UnsyncedPercent: kept, Rand: random}), "f")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if got := string(b); got != written && got != contents[at] {
				t.Errorf("writing %q over %q, a crash leaves %q", contents[at], written, got)
			}
		}
		return nil
	}
	fsys := beforeEach(mem, crash)
	for at = range contents {
		if err := vfs.WriteFile(fsys, "f", []byte(contents[at])); err != nil {
			t.Fatal(err)
		}
		written = contents[at]
		if err := crash(); err != nil {
			t.Fatal(err)
		}
	}
	if crashes < 3*3*5 {
		t.Errorf("only %d crashes", crashes)
	}
}

// An error at any operation is told, and leaves a whole file.
func TestWriteFileTellsErrors(t *testing.T) {
	for failing := 0; ; failing++ {
		mem, n := crashfs.NewMem(), 0
		if err := vfs.WriteFile(mem, "f", []byte("old")); err != nil {
			t.Fatal(err)
		}
		fsys := beforeEach(mem, func() error {
			if n++; n == failing+1 {
				return errorfs.ErrInjected
			}
			return nil
		})
		err := vfs.WriteFile(fsys, "f", []byte("new"))
		b, readErr := vfs.ReadFile(mem, "f")
		if readErr != nil {
			t.Fatal(readErr)
		}
		if n <= failing { // all went well
			if err != nil || string(b) != "new" || failing < 5 {
				t.Errorf("with no error in %d operations: %q, %v", n, b, err)
			}
			return
		}
		if !errors.Is(err, errorfs.ErrInjected) || string(b) != "old" && string(b) != "new" {
			t.Errorf("an error at operation %d: %q, %v", failing, b, err)
		}
	}
}

// What MakeDir made is there after a crash, each level of it. So is what another process had
// made and was killed before it could sync it.
func TestMakeDirSurvivesCrashes(t *testing.T) {
	const dir = "a/b/c"
	for _, unsynced := range []string{"", "a", "a/b", "a/b/c"} {
		mem := crashfs.NewCrashableMem()
		if unsynced != "" {
			if err := errors.Join(vfs.MakeDir(mem, path.Dir(unsynced)), mem.MkdirAll(unsynced, 0o700)); err != nil {
				t.Fatal(err)
			}
		}
		for at := range dir {
			if level := dir[:at+1]; len(level) >= len(unsynced) && dir[at] != '/' {
				if err := vfs.MakeDir(mem, level); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := mem.CrashClone(crashfs.Crash{}).Stat(dir); err != nil {
			t.Errorf("%q was made before: after a crash: %v", unsynced, err)
		}
	}
	mem := crashfs.NewCrashableMem()
	if err := vfs.MakeDir(mem, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.CrashClone(crashfs.Crash{}).Stat(dir); err != nil {
		t.Errorf("after a crash: %v", err)
	}
}
