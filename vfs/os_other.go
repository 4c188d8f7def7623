//go:build !(linux || darwin || freebsd || dragonfly || windows)

package vfs

import (
	"errors"
	"os"
)

// Locks and free space are not implemented for other systems, so balsa cannot run there.
func lock(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) error { return errors.ErrUnsupported }

func available(string) (uint64, error) { return 0, errors.ErrUnsupported }
