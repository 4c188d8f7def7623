package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"balsa.example/vfs"
)

const (
	// pieceBytes is what is read or written at once, and written between two syncs. With much less the disk would not get
	// to write at its speed.
	pieceBytes = 1 << 20
	// gentlePiece is the same where nobody waits for it. The syncs of the log wait for the same disk, and commands for the
	// same processors, so each piece holds them up for as long as it takes.
	gentlePiece = 256 << 10
)

// Files are the files of runs in a directory. Its methods need no History, and any goroutine may
// call them.
type Files struct {
	FS  vfs.FS
	Dir string
	// Cluster stands in each file. A file of another cluster is corrupt.
	Cluster uint64
	// Gentle tells whether what is read in order, and what a Flush or a Rewrite writes, can wait, so that others use the disk
	// between small pieces. nil: it cannot. What comes from others is written as fast as it comes.
	Gentle func() bool
}

const filePrefix = "run-"

// Path returns the name of a file.
func (f Files) Path(number uint32) string {
	return filepath.Join(f.Dir, filePrefix+strconv.FormatUint(uint64(number), 10))
}

// List returns the numbers of the files in the directory.
func (f Files) List() (numbers []uint32, err error) {
	names, err := f.FS.List(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("run: list %s: %w", f.Dir, err)
	}
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, filePrefix)
		if n, err := strconv.ParseUint(rest, 10, 32); ok && err == nil && strconv.FormatUint(n, 10) == rest {
			numbers = append(numbers, uint32(n))
		}
	}
	return numbers, nil
}

// Remove removes a file. That it does not exist is no error. A crash may bring it back, as a stray.
func (f Files) Remove(number uint32) error {
	if err := f.FS.Remove(f.Path(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("run: remove: %w", err)
	}
	return nil
}

// Open opens the bytes of a run. They stay readable, and the same, until the Reader is closed, also
// when the run is rewritten or removed.
func (f Files) Open(info Info) (*Reader, error) {
	file, err := f.open(info.File)
	if err != nil {
		return nil, err
	}
	return &Reader{io.NewSectionReader(file, 0, info.Bytes), file}, nil
}

// Reader reads the bytes of a run.
type Reader struct {
	*io.SectionReader
	io.Closer
}

func (f Files) open(number uint32) (vfs.File, error) {
	file, err := f.FS.Open(f.Path(number))
	if err != nil {
		return nil, f.unreadable(number, 0, err)
	}
	return file, nil
}

// readAt fills b. A file that ends before, or that cannot be read, is corrupt.
func (f Files) readAt(file io.ReaderAt, number uint32, b []byte, offset int64) error {
	n, err := file.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return f.corrupt(number, offset+int64(n), errEnds)
	}
	return f.unreadable(number, offset+int64(n), err)
}

func (f Files) corrupt(number uint32, offset int64, reason error) error {
	return &CorruptError{File: f.Path(number), Number: number, Offset: offset, Reason: reason}
}

// mostAtOnce is how many bytes are read, or written and synced, at once.
func (f Files) mostAtOnce() int {
	if f.Gentle != nil && f.Gentle() {
		return gentlePiece
	}
	return pieceBytes
}

// writer writes a file in order, in pieces.
type writer struct {
	file     vfs.File
	name     string
	at       int64
	unsynced int64
	digest   xxhash.Digest
	pace     func(bytes int)
	// mostAtOnce is how many bytes are written at once, and without a sync.
	mostAtOnce func() int
	uncached   vfs.UncachedWriter // nil: all goes through the system's cache
}

// writer opens a file to be written from an offset on, where digest is the hash of what is before.
// It makes the file if that is not there.
func (f Files) writer(number uint32, at int64, there bool, digest xxhash.Digest, pace func(int)) (*writer, error) {
	open := f.FS.OpenReadWrite
	if !there {
		open = f.FS.Create
	}
	file, err := open(f.Path(number))
	if err != nil {
		return nil, fmt.Errorf("run: open for writing: %w", err)
	}
	return &writer{file: file, name: f.Path(number), at: at, digest: digest, pace: pace, mostAtOnce: func() int { return pieceBytes }}, nil
}

func (w *writer) write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		most := w.mostAtOnce()
		piece := b[:min(len(b), most)]
		if _, err := w.to().WriteAt(piece, w.at); err != nil {
			return fmt.Errorf("run: write %s: %w", w.name, err)
		}
		w.digest.Write(piece)
		w.at += int64(len(piece))
		w.unsynced += int64(len(piece))
		b = b[len(piece):]
		if w.unsynced >= int64(most) {
			if err := w.sync(); err != nil {
				return err
			}
		}
		if w.pace != nil {
			w.pace(len(piece))
		}
	}
	return nil
}

// to is where pieces are written.
func (w *writer) to() io.WriterAt {
	if w.uncached != nil {
		return w.uncached
	}
	return w.file
}

// bypass writes past the system's cache from now on, if the file system can do that.
func (w *writer) bypass() {
	if uncached, err := vfs.Uncached(w.file); err == nil {
		w.uncached = uncached
	}
}

func (w *writer) sync() error {
	if w.unsynced == 0 {
		return nil
	}
	if err := w.file.SyncData(); err != nil {
		return fmt.Errorf("%w: sync %s: %w", ErrFailed, w.name, err)
	}
	w.unsynced = 0
	return nil
}

// close syncs what was written, unless err says that it is of no use, and closes the file.
func (w *writer) close(err error) error {
	if err == nil {
		err = w.sync()
	}
	if w.uncached != nil {
		err = errors.Join(err, w.uncached.Close())
	}
	if closeErr := w.file.Close(); closeErr != nil && err == nil {
		err = fmt.Errorf("run: close %s: %w", w.name, closeErr)
	}
	return err
}

// syncDir makes the names in the directory durable.
func (f Files) syncDir() error {
	dir, err := f.FS.OpenDir(f.Dir)
	if err != nil {
		return fmt.Errorf("run: open directory: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("%w: sync %s: %w", ErrFailed, f.Dir, err)
	}
	return nil
}
