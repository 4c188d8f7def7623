//go:build !(linux || darwin || freebsd || dragonfly)

package vfs

import (
	"errors"
	"os"
)

// Here nobody has written them yet, so balsa cannot run.
func lock(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) error { return errors.ErrUnsupported }

func available(string) (uint64, error) { return 0, errors.ErrUnsupported }
