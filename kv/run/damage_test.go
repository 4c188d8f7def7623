package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// A file that the disk does not give back is damaged, and the error of the disk is not hidden. An error that says
// nothing about the file is no damage.
func TestWhichErrorsOfTheDiskAreDamage(t *testing.T) {
	for fault, damage := range map[error]bool{
		errorfs.ErrInjected: true, syscall.EIO: true, syscall.EMFILE: false, fs.ErrPermission: false, fs.ErrClosed: false,
	} {
		mem := newMem(t)
		var failing errorfs.OpKind = -1
		w := filledWorld(t, testOptions(crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == failing {
				return fault
			}
			return nil
		}))), 60, 300)
		for _, failing = range []errorfs.OpKind{errorfs.OpFileReadAt, errorfs.OpOpen} {
			w.h.open.forget(w.durable.infos[0].File)
			_, read := w.h.Read(w.refs[0])
			for _, err := range []error{
				read,
				w.h.Scan(0, func(*Record) bool { return true }),
				w.h.Load(func(*Entry) bool { return true }),
				w.h.Files().Verify(context.Background(), w.durable.infos[0], nil),
			} {
				c := new(CorruptError)
				if errors.As(err, &c) != damage || !errors.Is(err, fault) || damage && c.Number != w.durable.infos[0].File {
					t.Errorf("%v: damage %t, want %t", err, !damage, damage)
				}
			}
		}
	}
}

// What is sent of a run is damaged if it ends too early, or cannot be read, from any offset on, or if all of it was
// sent and the checksum is wrong.
func TestDamageIsNoticedAsARunIsSent(t *testing.T) {
	mem := newMem(t)
	w := filledWorld(t, testOptions(mem), 60, 300)
	info, files := w.durable.infos[0], w.h.Files()
	good := fileOf(mem, w, info)
	bad := slices.Clone(good)
	bad[100]++
	for _, c := range []struct {
		name   string
		from   int64
		data   io.Reader
		damage bool
	}{
		{"in order", 0, bytes.NewReader(good), false},
		{"in order, from the middle on", 200, bytes.NewReader(good[200:]), false},
		{"other bytes", 0, bytes.NewReader(bad), true},
		{"cut", 0, bytes.NewReader(good[:len(good)-1]), true},
		{"cut, from the middle on", 200, bytes.NewReader(good[200:300]), true},
		{"unreadable", 200, io.MultiReader(bytes.NewReader(good[200:300]), iotest.ErrReader(syscall.EIO)), true},
		{"closed meanwhile", 200, io.MultiReader(bytes.NewReader(good[200:300]), iotest.ErrReader(fs.ErrClosed)), false},
	} {
		var damage error
		data := files.Checked(info, c.from, io.NopCloser(iotest.OneByteReader(c.data)), func(err error) { damage = err })
		_, err := io.Copy(io.Discard, data)
		if is := errors.As(damage, new(*CorruptError)); is != c.damage {
			t.Errorf("%s: damage %v, %v", c.name, damage, err)
		}
	}
}

// The file of the run that is appended to is written anew from memory, whatever became of it, and appends go on.
func TestTheRunInUseIsRestored(t *testing.T) {
	for name, damage := range map[string]func(fsys vfs.FS, path string, good []byte) error{
		"missing": func(fsys vfs.FS, path string, _ []byte) error { return fsys.Remove(path) },
		"cut":     func(fsys vfs.FS, path string, good []byte) error { return vfs.WriteFile(fsys, path, good[:70]) },
		"zeroed": func(fsys vfs.FS, path string, good []byte) error {
			return vfs.WriteFile(fsys, path, make([]byte, len(good)))
		},
	} {
		mem := newMem(t)
		w := filledWorld(t, testOptions(mem), 60, 300)
		for w.durable.infos[len(w.durable.infos)-1].Sealed {
			w.revision(1, 10)
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
		}
		info := w.durable.infos[len(w.durable.infos)-1]
		good := fileOf(mem, w, info)[:info.Bytes]
		path := w.h.Files().Path(info.File)
		if err := damage(mem, path, good); err != nil {
			t.Fatal(err)
		}
		w.revision(1, 10) // in memory only, so that it must not be in the file
		if err := w.h.Restore(context.Background(), info.File, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := fileOf(mem, w, info); !bytes.Equal(got, good) {
			t.Errorf("%s: %d bytes are restored, want %d", name, len(got), len(good))
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		_, err := w.reopen(mem.CrashClone(crashfs.Crash{}))
		if err := errors.Join(err, w.check()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.h.Restore(context.Background(), w.durable.infos[0].File, nil); !errors.Is(err, errNotInMemory) {
			t.Errorf("a sealed run: %v", err)
		}
	}
}
