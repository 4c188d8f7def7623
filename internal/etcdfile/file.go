package etcdfile

import (
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
	Hashed   bool              // the file has a hash, which is right
	Hash     [sha256.Size]byte // of the database, whether the file has it or not
	Revision int64             // the newest, 0 if the file has no record
	Keys     int64             // that exist
	Leases   []Lease           // in the order of their ids
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
	if f.bytes, err = f.checkHash(path); err != nil {
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

// checkHash returns the length of the database in a file, and hashes it. It tells whether a hash follows, and
// compares that.
func (c *Contents) checkHash(path string) (length int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	length = info.Size()
	c.Hashed = length%sector == sha256.Size
	switch {
	case !info.Mode().IsRegular():
		return 0, errors.New("it is not a regular file")
	case c.Hashed && length >= sector:
		length -= sha256.Size
	case length <= sector || length%sector != 0:
		return 0, damaged("%d bytes are neither a database nor a database and its hash; the file is cut, or changed", length)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, file, length); err != nil {
		return 0, err
	}
	h.Sum(c.Hash[:0])
	if !c.Hashed {
		return length, nil
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(file, want[:]); err != nil {
		return 0, err
	}
	if c.Hash != want {
		return 0, damaged("the hash at its end is not that of its contents")
	}
	return length, nil
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
