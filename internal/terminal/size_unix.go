//go:build unix

package terminal

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// prepare tells whether a file is a terminal.
func prepare(f *os.File) bool {
	_, ok := sizeOf(f)
	return ok
}

func sizeOf(f *os.File) (Size, bool) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Size{}, false
	}
	return Size{int(w.Col), int(w.Row)}, true
}

// Resized returns a channel that tells of each change of the size, until stop.
func Resized() (changes <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
