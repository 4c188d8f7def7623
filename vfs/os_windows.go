//go:build windows

package vfs

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Windows keeps an open file from being removed or replaced, unless all who have it open
// have allowed that. Package os does so for what goes through an [os.Root], and not
// otherwise; guarantee 6 needs it.

func open(name string, flag int) (f *os.File, err error) {
	err = within(name, func(dir *os.Root, base string) error {
		f, err = dir.OpenFile(base, flag, filePerm)
		return err
	})
	return f, err
}

func rename(oldName, newName string) error {
	return within(oldName, func(dir *os.Root, base string) error {
		if filepath.Dir(oldName) != filepath.Dir(newName) {
			return os.Rename(oldName, newName)
		}
		return dir.Rename(base, filepath.Base(newName))
	})
}

func remove(name string) error {
	err := within(name, func(dir *os.Root, base string) error { return dir.Remove(base) })
	if errors.Is(err, windows.ERROR_INVALID_FUNCTION) { // not on this file system: an open file keeps its name until it is closed
		return os.Remove(name)
	}
	return err
}

// within calls f for the directory that name is in.
func within(name string, f func(dir *os.Root, base string) error) error {
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(f(dir, filepath.Base(name)), dir.Close())
}

// openDir opens a directory for writing, which a sync of its names demands.
func openDir(name string) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	handle, err := windows.CreateFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

// lock takes a byte far behind the end of the file: nobody can read bytes that are locked.
func lock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, locked())
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return ErrLocked
	}
	return err
}

func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, locked())
}

// locked says where the byte is that lock takes.
func locked() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: math.MaxInt32} }

func available(name string) (free uint64, err error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		name = filepath.Dir(name)
	}
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return free, err
}

// links returns how many names a file has, as far as it is told.
func links(fs.FileInfo) uint64 { return 1 }
