package rotate

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const compressed = ".gz"

// tidyUp removes old files, and compresses the others. What fails is tried again after the next file: there is nobody
// to tell, since the log is what cannot be written.
func (f *File) tidyUp() {
	for i, old := range f.olds() {
		switch {
		case f.cfg.MaxBackups > 0 && i >= f.cfg.MaxBackups, f.cfg.MaxAge > 0 && f.now().Sub(old.at) > f.cfg.MaxAge:
			_ = os.Remove(old.name)
		case f.cfg.Compress && !strings.HasSuffix(old.name, compressed):
			_ = compress(old.name)
		}
	}
}

// old is a file that is written no more.
type old struct {
	name string
	at   time.Time
}

// olds are all of them, the newest first.
func (f *File) olds() (all []old) {
	entries, _ := os.ReadDir(filepath.Dir(f.path))
	begin, end := f.around()
	zone := time.UTC
	if f.cfg.LocalTime {
		zone = time.Local
	}
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(f.path), e.Name())
		text, ok := strings.CutPrefix(filepath.Base(name), filepath.Base(begin))
		text, isLog := strings.CutSuffix(strings.TrimSuffix(text, compressed), end)
		at, err := time.ParseInLocation(timeLayout, text, zone)
		if ok && isLog && err == nil && e.Type().IsRegular() {
			all = append(all, old{name, at})
		}
	}
	slices.SortFunc(all, func(a, b old) int { return b.at.Compare(a.at) })
	return all
}

// compress replaces a file by a compressed one. One that an end of the process has cut is overwritten.
func compress(name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	temporary := name + compressed + ".tmp"
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	zip := gzip.NewWriter(out)
	_, err = io.Copy(zip, in)
	if err = errors.Join(err, zip.Close(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, name+compressed); err != nil {
		return err
	}
	return os.Remove(name)
}
