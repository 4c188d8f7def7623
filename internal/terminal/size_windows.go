package terminal

import (
	"os"

	"golang.org/x/sys/windows"
)

// prepare tells whether a file is a console, and lets it take escape sequences.
func prepare(f *os.File) bool {
	var mode uint32
	h := windows.Handle(f.Fd())
	return windows.GetConsoleMode(h, &mode) == nil &&
		windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

func sizeOf(f *os.File) (Size, bool) {
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info) != nil {
		return Size{}, false
	}
	w := info.Window
	return Size{int(w.Right-w.Left) + 1, int(w.Bottom-w.Top) + 1}, true
}

// Resized tells of nothing here: the size is looked at whenever something is drawn.
func Resized() (changes <-chan os.Signal, stop func()) { return nil, func() {} }
