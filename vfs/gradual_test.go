package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorded is the file system of the operating system, and keeps in mind what is done to it.
type recorded struct {
	FS
	mu        sync.Mutex
	did       []string
	available uint64
	hold      chan struct{} // each cut takes one, if it is not nil
}

type recordedFile struct {
	File
	r    *recorded
	name string
}

func (r *recorded) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did = append(r.did, fmt.Sprintf(format, args...))
}

func (r *recorded) ops() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.did)
}

func (r *recorded) OpenReadWrite(name string) (File, error) {
	f, err := r.FS.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	return recordedFile{f, r, filepath.Base(name)}, nil
}

func (r *recorded) OpenDir(name string) (Dir, error) {
	r.note("sync directory")
	return r.FS.OpenDir(name)
}

func (r *recorded) Rename(oldName, newName string) error {
	r.note("rename %s", filepath.Base(oldName))
	return r.FS.Rename(oldName, newName)
}

func (r *recorded) Remove(name string) error {
	r.note("remove %s", filepath.Base(name))
	return r.FS.Remove(name)
}

func (r *recorded) Available(string) (uint64, error) { return r.available, nil }

func (f recordedFile) Truncate(size int64) error {
	if f.r.hold != nil {
		<-f.r.hold
	}
	f.r.note("cut %s to %d MiB", f.name, size>>20)
	return f.File.Truncate(size)
}

func (f recordedFile) Sync() error {
	f.r.note("sync %s", f.name)
	return f.File.Sync()
}

// world is a directory with a Gradual.
type world struct {
	t   *testing.T
	dir string
	rec *recorded
	*Gradual
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), rec: &recorded{FS: OS, available: 1 << 40}}
	w.Gradual = NewGradual(w.rec, func(err error) { t.Error(err) })
	w.atOnce = false
	t.Cleanup(w.Close)
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) make(name string, size int64) {
	w.t.Helper()
	f, err := w.Create(w.path(name))
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.Remove(w.path(name)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := os.Stat(w.path(name)); !errors.Is(err, fs.ErrNotExist) {
		w.t.Errorf("%s is there after Remove: %v", name, err)
	}
}

// left waits until nothing is freed any more, and returns the names in the directory.
func (w *world) left() []string {
	w.t.Helper()
	w.worker.Wait()
	names, err := OS.List(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func (w *world) want(did ...string) {
	w.t.Helper()
	if got := w.rec.ops(); !slices.Equal(got, did) {
		w.t.Errorf("done:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(did, "\n  "))
	}
}

const large = 5*freeStep/2 + 1

func TestALargeFileIsFreedLittleByLittle(t *testing.T) {
	w := newWorld(t)
	w.make("a", large)
	w.remove("a")
	if left := w.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
	w.want("rename a", "sync directory", "cut a.tmp to 3 MiB", "sync a.tmp", "cut a.tmp to 1 MiB", "sync a.tmp", "remove a.tmp")
}

func TestWhoHasAFileOpenGoesOnToReadIt(t *testing.T) {
	w := newWorld(t)
	content := bytes.Repeat([]byte("12345678"), large/8)
	if err := os.WriteFile(w.path("a"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	one, err := w.Open(w.path("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Rename(w.path("a"), w.path("b")); err != nil {
		t.Fatal(err)
	}
	two, err := w.Open(w.path("b"))
	if err != nil {
		t.Fatal(err)
	}
	w.remove("b")
	w.make("b", large) // another file of this name, which can be removed before the first
	w.remove("b")
	one.Close()
	one.Close() // again, which ends nobody else's use
	if read, err := io.ReadAll(two); err != nil || !bytes.Equal(read, content) {
		t.Errorf("%d bytes of the removed file were read: %v", len(read), err)
	}
	two.Close()
	if left := w.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

func TestWhatIsRemovedAtOnce(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"small":       func(w *world) { w.make("a", 2*freeStep) },
		"a directory": func(w *world) { w.MkdirAll(w.path("a"), 0o700) },
		"it has another name": func(w *world) {
			w.make("a", large)
			if err := os.Link(w.path("a"), w.path("copy")); err != nil {
				t.Skip(err)
			}
		},
		"the disk is short of space": func(w *world) {
			w.make("a", large)
			w.rec.available = large - 1
		},
		"closed": func(w *world) {
			w.make("a", large)
			w.Close()
		},
		"a file system of tests": func(w *world) {
			w.make("a", large)
			w.atOnce = NewGradual(w.rec, nil).atOnce
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			w.remove("a")
			w.left()
			w.want("remove a")
			if info, err := os.Stat(w.path("copy")); err == nil && info.Size() != large {
				t.Errorf("the other name has %d bytes left", info.Size())
			}
		})
	}
	if NewGradual(OS, nil).atOnce {
		t.Error("files of the operating system are removed at once")
	}
}

// The number of files that wait is bounded: one that comes when it is reached is removed at once.
func TestFilesThatWaitAreBounded(t *testing.T) {
	w := newWorld(t)
	w.rec.hold = make(chan struct{})
	for i := range maxGone + 1 {
		name := fmt.Sprint("file", i)
		w.make(name, large)
		w.remove(name)
	}
	if !slices.Contains(w.rec.ops(), fmt.Sprint("remove file", maxGone)) {
		t.Errorf("the last of %d files was not removed at once: %v", maxGone+1, w.rec.ops())
	}
	if n := len(w.mu.gone); n != maxGone {
		t.Errorf("%d files wait, want %d", n, maxGone)
	}
	close(w.rec.hold)
	if left := w.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// What a process left is freed little by little by the next one, which removes temporary files.
func TestTheNextProcessFreesWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	w.rec.hold = make(chan struct{}, 1)
	w.make("a", 2*large)
	w.remove("a")
	w.rec.hold <- struct{}{}
	go w.Close()
	<-w.quit
	close(w.rec.hold)
	if left := w.left(); !slices.Equal(left, []string{"a.tmp"}) {
		t.Fatalf("%v are left, want a.tmp", left)
	}
	next := newWorld(t)
	next.dir = w.dir
	if err := next.Remove(w.path("a.tmp")); err != nil {
		t.Fatal(err)
	}
	if left := next.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
	if got := next.rec.ops(); slices.Contains(got, "rename a.tmp") || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "cut a.tmp") }) {
		t.Errorf("it did %v", got)
	}
}

// Whoever makes a new file of the temporary name keeps it.
func TestATemporaryNameThatIsUsedAgain(t *testing.T) {
	w := newWorld(t)
	w.rec.hold = make(chan struct{})
	w.make("a", large)
	w.remove("a")
	if err := w.Remove(w.path("a.tmp")); err != nil { // it is being freed already
		t.Fatal(err)
	}
	w.make("a.tmp", 10)
	close(w.rec.hold)
	left := w.left()
	if info, err := os.Stat(w.path("a.tmp")); err != nil || info.Size() != 10 || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A file that has lost its temporary name waits no more. The file that has got the name, and is
// removed too, is not cut off for it while somebody reads.
func TestATemporaryNameOfTwoFiles(t *testing.T) {
	w := newWorld(t)
	w.rec.hold = make(chan struct{})
	w.make("first", large)
	w.remove("first") // the goroutine is busy with it
	w.make("a", large)
	w.remove("a")
	w.make("a.tmp", large)
	f, err := w.Open(w.path("a.tmp"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(w.path("a.tmp")); err != nil {
		t.Fatal(err)
	}
	close(w.rec.hold)
	w.worker.Wait()
	if info, err := f.Stat(); err != nil || info.Size() != large {
		t.Errorf("the file that is read: %v, %v", info.Size(), err)
	}
	f.Close()
	if left := w.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// Readers come and go while files are made, renamed and removed: each reads a whole file.
func TestReadersWhileFilesAreRemoved(t *testing.T) {
	w := newWorld(t)
	const readers, rounds = 4, 8
	content := bytes.Repeat([]byte("12345678"), large/8+1)
	var all sync.WaitGroup
	done := make(chan struct{})
	for range readers {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				f, err := w.Open(w.path("b"))
				if err != nil {
					continue
				}
				last := make([]byte, 8)
				if n, err := f.ReadAt(last, int64(len(content)-8)); err != nil || string(last) != "12345678" {
					t.Errorf("the end of the file: %q, %d bytes, %v", last, n, err)
				}
				f.Close()
			}
		})
	}
	for range rounds {
		if err := os.WriteFile(w.path("a"), content, 0o600); err != nil {
			t.Error(err)
		}
		if err := errors.Join(w.Rename(w.path("a"), w.path("b")), w.Remove(w.path("b"))); err != nil {
			t.Error(err)
		}
	}
	close(done)
	all.Wait()
	if left := w.left(); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}
