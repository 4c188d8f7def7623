package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrNotCreated is returned by Open for a directory without a log.
	ErrNotCreated = errors.New("wal: no log in this directory")
	// ErrExists is returned by Create for a directory that holds files of a log.
	ErrExists = errors.New("wal: the directory already holds a log")
	// ErrLocked is returned when the directory cannot be locked.
	ErrLocked = errors.New("wal: cannot lock the directory (another process may be using it)")
	// ErrNewerFormat is returned for files that a newer version of this program wrote.
	ErrNewerFormat = errors.New("wal: written in a newer format than this program knows")
	// ErrOlderFormat is returned for files of an older format, before there was a release.
	ErrOlderFormat = errors.New("wal: written in an older format than this program knows")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("wal: closed")

	// errDirectoryInDoubt marks a failed sync of the directory: it is unknown which of its
	// names are durable, so the log stops.
	errDirectoryInDoubt = errors.New("directory in doubt")
)

// CorruptionError reports bytes that no crash of this program can have left
// behind. The log may have lost what it promised, so it is not opened, and nothing
// on the disk is changed.
type CorruptionError struct {
	// File is the path of the damaged file, and Offset where in it the damage begins.
	File   string
	Offset int64
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("wal: %s is corrupt at offset %d: %s", e.File, e.Offset, e.Reason)
}

// IdentityError reports a directory that belongs to another node or cluster.
type IdentityError struct {
	Dir string
	// Want is what Open was asked for, Have what the directory says.
	Want, Have Identity
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("wal: %s belongs to node %s of cluster %016x, not to node %s of cluster %016x",
		e.Dir, e.Have.NodeID, e.Have.ClusterID, e.Want.NodeID, e.Want.ClusterID)
}
