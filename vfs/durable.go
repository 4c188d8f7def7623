package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// TempSuffix ends the name of a file that is being written. After a crash such a file is of
// no value, and may be removed.
const TempSuffix = ".tmp"

// WriteFile writes a file so that it survives a crash: when WriteFile returns nil, name holds
// content. A crash before leaves the file that had the name before, or none if there was none.
// After an error of the last step, the sync of the directory, it is unknown which of the two a
// crash would leave.
//
//  1. the content goes to a temporary file;
//  2. that is synced;
//  3. it is renamed to name;
//  4. the directory is synced.
func WriteFile(fsys FS, name string, content []byte) error {
	if err := WriteTemp(fsys, name, content); err != nil {
		return err
	}
	if err := fsys.Rename(name+TempSuffix, name); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return SyncDir(fsys, filepath.Dir(name))
}

// WriteTemp does the first two steps of WriteFile: the file name+TempSuffix holds content,
// and only its name is not durable yet.
func WriteTemp(fsys FS, name string, content []byte) error {
	temp := name + TempSuffix
	f, err := fsys.Create(temp)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	return nil
}

// ReadFile returns the content of a file.
func ReadFile(fsys FS, name string) ([]byte, error) { return ReadFileInto(nil, fsys, name) }

// ReadFileInto is ReadFile, into the memory of b if the content fits into it.
func ReadFileInto(b []byte, fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", name, err)
	}
	if size := info.Size(); size <= int64(cap(b)) {
		b = b[:size]
	} else {
		b = make([]byte, size)
	}
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// MakeDir makes a directory, and its parents where they are missing, so that they survive a
// crash. Only the owner may use those that it makes.
//
// The name of a directory that exists is made durable too: its maker may have been killed
// before it did so. If the parent of that one must not be read, somebody else made the
// directory, and it is left at that.
func MakeDir(fsys FS, dir string) error {
	parent := filepath.Dir(dir)
	if _, err := fsys.Stat(dir); err == nil {
		err := SyncDir(fsys, parent)
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	}
	if parent != dir {
		if err := MakeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return SyncDir(fsys, parent)
}

// SyncDir makes the names in a directory durable as they are now.
func SyncDir(fsys FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
