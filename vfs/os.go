package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

// filePerm is of files that are made, in whatever directory: they hold all data, and hashes of passwords.
const filePerm = 0o600

// Create removes a file of that name rather than cut it to nothing: it may be open.
func (osFS) Create(name string) (File, error) {
	for {
		f, err := openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if err := remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

func (osFS) Open(name string) (File, error) { return openFile(name, os.O_RDONLY) }

func (osFS) OpenReadWrite(name string) (File, error) { return openFile(name, os.O_RDWR) }

func (osFS) OpenDir(name string) (Dir, error) {
	f, err := openDir(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Rename(oldName, newName string) error { return rename(oldName, newName) }

func (osFS) Remove(name string) error { return remove(name) }

func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

func (osFS) List(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) Lock(name string) (io.Closer, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			return nil, errors.Join(&fs.PathError{Op: "lock", Path: name, Err: err}, f.Close())
		}
		// Who had the lock may have removed the file since it was opened here. Nobody else finds this one then.
		found, err := hasName(f, name)
		if err == nil && found {
			return lockedFile{f}, nil
		}
		if err := errors.Join(err, lockedFile{f}.Close()); err != nil {
			return nil, err
		}
	}
}

// hasName tells whether name is that of f.
func hasName(f *os.File, name string) (bool, error) {
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

func (osFS) Available(name string) (uint64, error) {
	n, err := available(name)
	if err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return n, nil
}

// lockedFile is a file with a lock, which Close gives up. A child process that is being
// started may share the open file for a moment, so closing it is not enough.
type lockedFile struct{ f *os.File }

func (l lockedFile) Close() error { return errors.Join(unlock(l.f), l.f.Close()) }

// osFile is a file of the operating system; see syncData for what *os.File lacks.
type osFile struct{ *os.File }

func openFile(name string, flag int) (File, error) {
	f, err := open(name, flag)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) SyncData() error { return syncData(f.File) }
