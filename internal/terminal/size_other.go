//go:build !unix && !windows

package terminal

import "os"

func prepare(*os.File) bool        { return false }
func sizeOf(*os.File) (Size, bool) { return Size{}, false }

// Resized tells of nothing here.
func Resized() (changes <-chan os.Signal, stop func()) { return nil, func() {} }
