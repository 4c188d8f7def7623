package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"balsa.example/vfs"
)

func TestCreateLeavesTheOldFileToItsReaders(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := vfs.WriteFile(vfs.OS, name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	reader, err := vfs.OS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := vfs.OS.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.SyncData(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(reader); string(b) != "old" || err != nil {
		t.Errorf("the reader of the old file gets %q, %v", b, err)
	}
	if b, err := vfs.ReadFile(vfs.OS, name); string(b) != "new" || err != nil {
		t.Errorf("the new file holds %q, %v", b, err)
	}
}

func TestFileIsWrittenAndCutInPlace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if _, err := vfs.OS.OpenReadWrite(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenReadWrite of a file that is not there: %v", err)
	}
	if err := vfs.WriteFile(vfs.OS, name, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	f, err := vfs.OS.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("ab"), 4); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.SyncData(), f.Truncate(8), f.Sync()); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 8 {
		t.Errorf("after the cut: %v, %v", info, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.SyncData(); err == nil {
		t.Error("SyncData of a closed file")
	}
	if b, err := vfs.ReadFile(vfs.OS, name); !bytes.Equal(b, []byte("0123ab67")) || err != nil {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// TestMemoryToReadAFileIntoIsUsedAgain, if the file fits into it, and else left alone.
func TestMemoryToReadAFileIntoIsUsedAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := vfs.WriteFile(vfs.OS, name, []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	for size, again := range map[int]bool{9: false, 10: true, 11: true} {
		into := bytes.Repeat([]byte("x"), size)
		b, err := vfs.ReadFileInto(into, vfs.OS, name)
		if string(b) != "0123456789" || err != nil {
			t.Errorf("into %d bytes: %q, %v", size, b, err)
		}
		if used := &b[0] == &into[0]; used != again {
			t.Errorf("the memory of %d bytes is used again: %v", size, used)
		}
	}
}

func TestErrorsOfWhatDoesNotExist(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none")
	for what, call := range map[string]func() error{
		"Open":          func() error { _, err := vfs.OS.Open(name); return err },
		"OpenReadWrite": func() error { _, err := vfs.OS.OpenReadWrite(name); return err },
		"OpenDir":       func() error { _, err := vfs.OS.OpenDir(name); return err },
		"Rename":        func() error { return vfs.OS.Rename(name, name+"2") },
		"Remove":        func() error { return vfs.OS.Remove(name) },
		"List":          func() error { _, err := vfs.OS.List(name); return err },
		"Stat":          func() error { _, err := vfs.OS.Stat(name); return err },
		"Available":     func() error { _, err := vfs.OS.Available(name); return err },
		"ReadFile":      func() error { _, err := vfs.ReadFile(vfs.OS, name); return err },
		"SyncDir":       func() error { return vfs.SyncDir(vfs.OS, name) },
	} {
		if err := call(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestListAndAvailable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := vfs.MakeDir(vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	if info, err := vfs.OS.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info, err)
	}
	for _, name := range []string{"x", "y"} {
		if err := vfs.WriteFile(vfs.OS, filepath.Join(dir, name), nil); err != nil {
			t.Fatal(err)
		}
		if info, err := vfs.OS.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file %s is %v, %v", name, info.Mode(), err)
		}
	}
	names, err := vfs.OS.List(dir)
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("the directory holds %q, %v", names, err)
	}
	if n, err := vfs.OS.Available(dir); n == 0 || err != nil {
		t.Errorf("%d bytes are available, %v", n, err)
	}
}

// Who has a lock may remove its file. Nobody is left with a lock on the file that was removed, while another one locks
// the next.
func TestALockOfAFileThatIsRemovedIsHeldOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	var held atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				lock, err := vfs.OS.Lock(name)
				if errors.Is(err, vfs.ErrLocked) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if n := held.Add(1); n > 1 {
					t.Errorf("%d have the lock", n)
				}
				held.Add(-1)
				if err := errors.Join(os.Remove(name), lock.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestLockIsHeldOnce(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "LOCK")
	lock, err := vfs.OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.OS.Lock(name); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second lock under the same name: %v", err)
	}
	if _, err := vfs.OS.Lock(filepath.Join(dir, "none", "LOCK")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a lock that cannot be made: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.OS.Lock(filepath.Join(link, "LOCK")); err == nil {
		t.Error("a second lock under another name of the directory")
	}
	f, err := vfs.OS.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := vfs.OS.Lock(name); err == nil {
		t.Error("the lock is gone when somebody has read the file")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err = vfs.OS.Lock(name)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	lock.Close()
}

// A lock keeps other processes out, and ends with the process that holds it.
func TestLockAmongProcesses(t *testing.T) {
	name := os.Getenv("VFS_TEST_LOCK")
	if name != "" { // this is the child
		switch _, err := vfs.OS.Lock(name); {
		case err == nil:
			os.Exit(0) // without Close
		case errors.Is(err, vfs.ErrLocked):
			os.Exit(3)
		}
		os.Exit(4)
	}
	name = filepath.Join(t.TempDir(), "LOCK")
	child := func() int {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLockAmongProcesses$")
		cmd.Env = append(os.Environ(), "VFS_TEST_LOCK="+name)
		var exit *exec.ExitError
		if err := cmd.Run(); errors.As(err, &exit) {
			return exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	if code := child(); code != 0 {
		t.Fatalf("a child on a free lock ends with %d", code)
	}
	lock, err := vfs.OS.Lock(name)
	if err != nil {
		t.Fatalf("after the process that held it: %v", err)
	}
	defer lock.Close()
	if code := child(); code != 3 {
		t.Errorf("a child on a held lock ends with %d", code)
	}
}
