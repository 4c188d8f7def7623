package run

import (
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// checked looks for damage in what is read of a run.
type checked struct {
	io.ReadCloser
	files   Files
	info    Info
	digest  xxhash.Digest
	from    int64
	at      int64
	damaged func(error)
}

// Checked returns data, which is that of a run from an offset on. It calls damaged, with a *CorruptError, when the
// file ends too early or cannot be read, and when all of it was read from its beginning on and its checksum is
// wrong.
func (f Files) Checked(info Info, from int64, data io.ReadCloser, damaged func(error)) io.ReadCloser {
	c := &checked{ReadCloser: data, files: f, info: info, from: from, at: from, damaged: damaged}
	c.digest.Reset()
	return c
}

func (c *checked) Read(b []byte) (n int, err error) {
	n, err = c.ReadCloser.Read(b)
	c.digest.Write(b[:n])
	c.at += int64(n)
	if damage := c.damage(n, err); damage != nil {
		c.damaged(damage)
		if err != nil {
			return n, damage
		}
	}
	return n, err
}

// damage says what is wrong after a read of n bytes.
func (c *checked) damage(n int, err error) error {
	switch sum := c.digest.Sum64(); {
	case err != nil && !errors.Is(err, io.EOF):
		return c.files.unreadable(c.info.File, c.at, err)
	case err != nil && c.at < c.info.Bytes:
		return c.files.corrupt(c.info.File, c.at, errEnds)
	case n > 0 && c.from == 0 && c.at == c.info.Bytes && sum != c.info.Checksum:
		return c.files.corrupt(c.info.File, 0, fmt.Errorf("the checksum of the file is %016x, want %016x", sum, c.info.Checksum))
	}
	return nil
}
