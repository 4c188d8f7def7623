// Package vfs is the file system as balsa uses it: the few operations that package wal
// and a member's data directory need, and what they rely on.
//
// [OS] is the file system of the operating system, and the default wherever an option
// asks for an [FS]. Another FS is of use to tests: one that loses in a crash what was not
// synced, or that fails.
//
// # What an FS must guarantee
//
// balsa keeps its promises on an FS that gives these guarantees, and on no other:
//
//  1. Content. After [File.Sync] or [File.SyncData] has returned nil, a crash of the process
//     or a loss of power takes nothing that was written to the file before the call, nor its
//     length.
//  2. Names. After [Dir.Sync] has returned nil, a crash does not undo a Create, Rename or
//     Remove of a name in that directory that had returned before the call.
//  3. Rename is atomic: a crash leaves the old file under the new name or the renamed one,
//     never none and never a mixture.
//  4. What was not synced may be lost, in whole or in part and in any order. Of each aligned
//     block of 512 bytes that a write covers a crash leaves the old content or the new one.
//     A part of a file that was never written reads as zeros.
//  5. Errors are told. A Sync that returned nil has written all that was written to the file
//     since one that failed. What was written before that one may be lost, although it can be
//     read: the process stops, and the next one writes again what it goes on with.
//  6. An open file stays readable after it was removed or replaced under its name.
//  7. A lock ends with its process, however that ends.
//
// ext4, XFS, Btrfs and ZFS give them on Linux, if the disk writes out its cache when asked.
// Network file systems often lack guarantee 2 or 7. On Windows NTFS gives guarantee 6 from Windows 10 on;
// a file system without POSIX semantics does not.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is the error of FS.Lock for a file that is locked already.
var ErrLocked = errors.New("file is locked already")

// FS is a file system. Names are paths as in package path/filepath. All methods may be
// called at once. Errors about a name that does not exist match [fs.ErrNotExist].
type FS interface {
	// Create makes an empty file and opens it for reading and writing. A file that has the
	// name loses it first: whoever has that one open goes on to read it.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing.
	OpenReadWrite(name string) (File, error)
	// OpenDir opens a directory, so that its names can be made durable.
	OpenDir(name string) (Dir, error)
	// Rename gives a file another name, and takes that name from the file that had it.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll makes a directory, and its parents where they are missing. That the
	// directory exists is no error.
	MkdirAll(name string, perm fs.FileMode) error
	// List returns the names in a directory, in any order.
	List(name string) ([]string, error)
	// Stat describes a file or a directory.
	Stat(name string) (fs.FileInfo, error)
	// Lock makes the file name if it is missing, and locks it until the result is closed or
	// the process ends. It fails at once, with an error that matches ErrLocked, if the file is
	// locked, by this process or another.
	Lock(name string) (io.Closer, error)
	// Available returns how many bytes may still be written to the file system that name
	// is in.
	Available(name string) (uint64, error)
}

// File is an open file. Reads may be made at any time; of Write, WriteAt, Truncate, Sync and
// SyncData one at a time is called. None of them keeps or changes the bytes it is given.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	// Stat describes the file. Its size is the one after the last Write or Truncate.
	Stat() (fs.FileInfo, error)
	// Truncate changes the length of the file. An FS whose files are small may do without, and
	// return [errors.ErrUnsupported].
	Truncate(size int64) error
	// Sync makes the content durable, and what the file system knows of the file: its
	// length and its times.
	Sync() error
	// SyncData makes the content durable, and the length. It may leave out the rest, which
	// makes it faster where a write did not change the length.
	SyncData() error
}

// UncachedFile is a File of an FS that may be able to write past the system's cache: the Files of [OS] on
// Linux. An FS may do without.
type UncachedFile interface {
	File
	// Uncached returns a writer to the same file, or an error if its file system cannot do it.
	Uncached() (UncachedWriter, error)
}

// Uncached returns a writer past the system's cache to f, or an error if f or its file system has none.
func Uncached(f File) (UncachedWriter, error) {
	if f, ok := f.(UncachedFile); ok {
		return f.Uncached()
	}
	return nil, errors.ErrUnsupported
}

// UncachedWriter is like the WriteAt of its File in all that it promises, and counts as one for what may be
// called at once. What it writes in multiples of 4096 bytes, to such places and from such addresses, does not
// pass through the system's cache, where that is possible: the processor copies nothing, and whoever reads it
// later reads it from the disk.
type UncachedWriter interface {
	io.WriterAt
	io.Closer
}

// Dir is an open directory.
type Dir interface {
	io.Closer
	// Sync makes the names in the directory durable as they are now. One call at a time is
	// made.
	Sync() error
}
