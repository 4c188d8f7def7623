package vfs

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directAlign is what O_DIRECT wants places, lengths and addresses to be multiples of. Some disks
// are content with less.
const directAlign = 4096

// Uncached implements UncachedFile by a second descriptor of the file, with O_DIRECT.
func (f osFile) Uncached() (UncachedWriter, error) {
	// The name of the file may be another's by now.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	return &directWriter{file: f, direct: direct}, nil
}

// directWriter writes what is aligned with O_DIRECT, and the rest as the file does.
type directWriter struct {
	file   osFile
	direct *os.File
}

// WriteAt implements io.WriterAt.
func (w *directWriter) WriteAt(p []byte, at int64) (n int, err error) {
	if whole := len(p) &^ (directAlign - 1); whole > 0 && at%directAlign == 0 && uintptr(unsafe.Pointer(&p[0]))%directAlign == 0 {
		if n, err = w.direct.WriteAt(p[:whole], at); err != nil && n == 0 {
			// A file system may refuse it only now. What the disk refuses is refused again.
			n, err = w.file.WriteAt(p[:whole], at)
		}
		if err != nil {
			return n, err
		}
	}
	if n == len(p) {
		return n, nil
	}
	more, err := w.file.WriteAt(p[n:], at+int64(n))
	return n + more, err
}

// Close implements io.Closer. The file stays open.
func (w *directWriter) Close() error { return w.direct.Close() }
