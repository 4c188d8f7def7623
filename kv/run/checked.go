package run

import (
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// checked hashes what is read of a run.
type checked struct {
	io.ReadCloser
	files   Files
	info    Info
	digest  xxhash.Digest
	left    int64
	damaged func(error)
}

// Checked returns data, which is that of a run from its beginning on. When all of it was read, and its
// checksum is wrong, damaged is called with a *CorruptError.
func (f Files) Checked(info Info, data io.ReadCloser, damaged func(error)) io.ReadCloser {
	c := &checked{ReadCloser: data, files: f, info: info, left: info.Bytes, damaged: damaged}
	c.digest.Reset()
	return c
}

func (c *checked) Read(b []byte) (n int, err error) {
	n, err = c.ReadCloser.Read(b)
	c.digest.Write(b[:n])
	c.left -= int64(n)
	if n == 0 || c.left != 0 {
		return n, err
	}
	if sum := c.digest.Sum64(); sum != c.info.Checksum {
		c.damaged(c.files.corrupt(c.info.File, 0, fmt.Errorf("the checksum of the file is %016x, want %016x", sum, c.info.Checksum)))
	}
	return n, err
}
