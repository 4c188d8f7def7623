package etcdfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/authpb"
)

const (
	// sector divides the length of a database. That of a snapshot has the hash's length besides.
	sector = 512
	// lockWait is how long a lock is tried for. A running etcd has one for as long as it runs.
	lockWait = 200 * time.Millisecond
)

// ErrDamaged is an error of a file that is not whole, or no file of etcd.
var ErrDamaged = errors.New("damaged, or not a file of etcd")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// Contents tells what a file has.
type Contents struct {
	Hashed   bool    // the file has a hash, which is right
	Revision int64   // the newest, 0 if the file has no record
	Keys     int64   // that exist
	Leases   []Lease // in the order of their ids
	Users    []*authpb.User
	Roles    []*authpb.Role
	// AuthEnabled tells whether authentication was on.
	AuthEnabled bool
}

// Lease is a lease. Its TTL is at least a second.
type Lease struct {
	ID  int64
	TTL time.Duration
}

// seconds is the time to live as etcd has it.
func (l Lease) seconds() int64 { return max(int64((l.TTL+time.Second-1)/time.Second), 1) }

// File is an open file that is whole.
type File struct {
	Contents
	db     *bbolt.DB
	file   *os.File            // that db reads, and closes
	bytes  int64               // of the database
	newest map[string]revision // of each key that exists
}

// Open opens a file for reading, and checks it.
func Open(path string) (*File, error) {
	f := &File{newest: make(map[string]revision)}
	var err error
	if f.bytes, f.Hashed, err = checkHash(path); err != nil {
		return nil, err
	}
	err = caught(func() (err error) {
		f.db, err = bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: f.openReading})
		return err
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, errors.New("it is in use: stop the etcd that has it, or save a snapshot of it")
	case errors.Is(err, os.ErrPermission):
		return nil, err
	case err != nil:
		return nil, damaged("%w", err)
	}
	if err := caught(func() error { return f.db.View(f.check) }); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// openReading makes no file if there is none.
func (f *File) openReading(path string, _ int, _ os.FileMode) (file *os.File, err error) {
	f.file, err = os.Open(path)
	return f.file, err
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// checkHash returns the length of the database in a file. It tells whether a hash follows, and
// compares that.
func checkHash(path string) (length int64, hashed bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, false, err
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return 0, false, errors.New("it is not a regular file")
	case size > sector && size%sector == 0:
		return size, false, nil
	case size < sector || size%sector != sha256.Size:
		return 0, false, damaged("%d bytes are neither a database nor a database and its hash; the file is cut, or changed", size)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, file, size-sha256.Size); err != nil {
		return 0, false, err
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(file, want[:]); err != nil {
		return 0, false, err
	}
	if !bytes.Equal(h.Sum(nil), want[:]) {
		return 0, false, damaged("the hash at its end is not that of its contents")
	}
	return size - sha256.Size, true, nil
}

// caught runs a function. A page of a damaged database makes bbolt panic, or read where no file is.
func caught(run func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged("%v", r)
		}
	}()
	return run()
}
