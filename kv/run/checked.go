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
	damaged func(*CorruptError)
}

// Checked returns data, which is that of a run from its beginning on. When all of it was read, and its
// checksum is wrong, damaged is called.
func (f Files) Checked(info Info, data io.ReadCloser, damaged func(*CorruptError)) io.ReadCloser {
	c := &checked{ReadCloser: data, files: f, info: info, left: info.Bytes, damaged: damaged}
	c.digest.Reset()
	return c
}

func (c *checked) Read(b []byte) (n int, err error) {
	n, err = c.ReadCloser.Read(b)
	c.digest.Write(b[:n])
	c.left -= int64(n)
	if sum := c.digest.Sum64(); n > 0 && c.left == 0 && sum != c.info.Checksum {
		c.damaged(&CorruptError{
			File: c.files.Path(c.info.File), Number: c.info.File, Reason: fmt.Errorf("the checksum of the file is %016x, want %016x", sum, c.info.Checksum),
		})
	}
	return n, err
}
