package run

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
)

var (
	// ErrGone is returned for a record of a run that was rewritten meanwhile and removed: the record
	// is elsewhere now, or nowhere.
	ErrGone = errors.New("run: rewritten and removed")
	// ErrFailed marks a sync that failed. It is unknown what is durable, so nothing is written any
	// more.
	ErrFailed = errors.New("run: the disk is in doubt after a sync that failed")
	// ErrUnreadable is what a *CorruptError matches if the disk does not give back the file: its bytes may be in order, and
	// the next read may find them.
	ErrUnreadable = errors.New("the file cannot be read")

	errMissing = fmt.Errorf("the file is missing: %w", fs.ErrNotExist)
	errEnds    = errors.New("the file ends")
	errOther   = errors.New("the records are others than the manifest says")
)

// CorruptError reports a file that is not what was written, or that cannot be read: it is missing, or shorter
// than it was, its bytes are others, or the disk does not give them back. If the file is missing it matches
// [fs.ErrNotExist].
type CorruptError struct {
	// File is the path, Number is that of the file, and Offset where in it the damage begins.
	File   string
	Number uint32
	Offset int64
	Reason error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("run: %s is corrupt at offset %d: %v", e.File, e.Offset, e.Reason)
}

func (e *CorruptError) Unwrap() error { return e.Reason }

// unreadable is the error of a file that the disk does not give back at an offset.
func (f Files) unreadable(number uint32, offset int64, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return f.corrupt(number, offset, errMissing)
	}
	if Innocent(err) {
		return fmt.Errorf("run: read %s: %w", f.Path(number), err)
	}
	return f.corrupt(number, offset, fmt.Errorf("%w: %w", ErrUnreadable, err))
}

// Innocent tells whether an error of a read says nothing about the file: the process has no descriptors or memory
// left, it may not read the file, or the file was closed meanwhile.
func Innocent(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, fs.ErrPermission, fs.ErrClosed}, func(other error) bool {
		return errors.Is(err, other)
	})
}
