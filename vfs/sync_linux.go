package vfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// syncData does not wait for the file's times, which fsync would: a commit of the file
// system's journal less.
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = raw.Control(func(fd uintptr) {
		syncErr = unix.Fdatasync(int(fd))
		for syncErr == unix.EINTR {
			syncErr = unix.Fdatasync(int(fd))
		}
	})
	if err != nil {
		return err
	}
	if syncErr != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return nil
}
