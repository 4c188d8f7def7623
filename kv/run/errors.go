package run

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrGone is returned for a record of a run that was rewritten meanwhile and removed: the record
	// is elsewhere now, or nowhere.
	ErrGone = errors.New("run: rewritten and removed")
	// ErrFailed marks a sync that failed. It is unknown what is durable, so nothing is written any
	// more.
	ErrFailed = errors.New("run: the disk is in doubt after a sync that failed")

	errMissing = fmt.Errorf("the file is missing: %w", fs.ErrNotExist)
	errEnds    = errors.New("the file ends")
	errOther   = errors.New("the records are others than the manifest says")
)

// CorruptError reports a file that is not what was written. If the file is missing it matches
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
