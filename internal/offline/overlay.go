package offline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"balsa.example/vfs"
)

// overlay is one directory that is only read, with what is written to it in another one. So a state.Machine
// can go on from the files of a member, and leaves them as they are.
type overlay struct {
	vfs.FS
	dir, upper string

	mu   sync.Mutex
	gone map[string]bool // names in dir that were removed
}

func newOverlay(fsys vfs.FS, dir, upper string) *overlay {
	return &overlay{FS: fsys, dir: dir, upper: upper, gone: map[string]bool{}}
}

// at returns where a file is: in upper, in dir, or nowhere.
func (o *overlay) at(name string) (path string, written bool, err error) {
	base := filepath.Base(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	path = filepath.Join(o.upper, base)
	if _, err := o.FS.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, true, err
	}
	if o.gone[base] {
		return "", false, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return filepath.Join(o.dir, base), false, nil
}

func (o *overlay) Create(name string) (vfs.File, error) {
	return o.FS.Create(filepath.Join(o.upper, filepath.Base(name)))
}

func (o *overlay) Open(name string) (vfs.File, error) {
	path, _, err := o.at(name)
	if err != nil {
		return nil, err
	}
	return o.FS.Open(path)
}

// OpenReadWrite copies the file first, if that was not done yet.
func (o *overlay) OpenReadWrite(name string) (vfs.File, error) {
	path, written, err := o.at(name)
	if err != nil || written {
		return o.openWritten(path, err)
	}
	from, err := o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	copied := filepath.Join(o.upper, filepath.Base(name))
	to, err := o.FS.Create(copied)
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(to, from); err != nil {
		err = fmt.Errorf("copy %s: %w", path, err)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, err
	}
	return o.FS.OpenReadWrite(copied)
}

func (o *overlay) openWritten(path string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return o.FS.OpenReadWrite(path)
}

// Rename is for a file that was written: others are never renamed.
func (o *overlay) Rename(oldName, newName string) error {
	from, to := filepath.Base(oldName), filepath.Base(newName)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone[from] = true
	return o.FS.Rename(filepath.Join(o.upper, from), filepath.Join(o.upper, to))
}

func (o *overlay) Remove(name string) error {
	path, written, err := o.at(name)
	if err == nil && written {
		err = o.FS.Remove(path)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone[filepath.Base(name)] = true
	return err
}

func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	path, _, err := o.at(name)
	if err != nil {
		return nil, err
	}
	return o.FS.Stat(path)
}

func (o *overlay) List(string) ([]string, error) {
	names, err := o.FS.List(o.upper)
	if err != nil {
		return nil, err
	}
	lower, err := o.FS.List(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range lower {
		if !o.gone[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, err
}

func (o *overlay) OpenDir(string) (vfs.Dir, error) { return o.FS.OpenDir(o.upper) }

// MkdirAll does nothing: both directories are there, or dir counts as empty.
func (o *overlay) MkdirAll(string, fs.FileMode) error { return nil }
