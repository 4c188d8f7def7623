//go:build !(linux || darwin || freebsd || dragonfly || windows)

package vfs

import (
	"errors"
	"io/fs"
	"os"
)

// Locks and free space are not implemented for other systems, so balsa cannot run there.
func lock(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) error { return errors.ErrUnsupported }

func available(string) (uint64, error) { return 0, errors.ErrUnsupported }

// links returns how many names a file has, as far as it is told.
func links(fs.FileInfo) uint64 { return 1 }
