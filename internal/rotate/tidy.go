package rotate

import (
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	compressed = ".gz"
	unfinished = compressed + ".tmp"
)

// tidyUp removes old files, and compresses the others. What fails is tried again after the next file: there is nobody
// to tell, since the log is what cannot be written.
func (f *File) tidyUp() {
	var before old
	kept := 0
	for _, one := range f.olds() {
		switch {
		case one.at.Equal(before.at): // the process ended when this was compressed, and not removed yet
			_ = os.Remove(one.name)
			continue
		case f.cfg.MaxBackups > 0 && kept >= f.cfg.MaxBackups, f.cfg.MaxAge > 0 && f.now().Sub(one.at) > f.cfg.MaxAge:
			_ = os.Remove(one.name)
			_ = os.Remove(one.name + unfinished)
		case f.cfg.Compress && !strings.HasSuffix(one.name, compressed):
			_ = compress(one.name)
		}
		before = one
		kept++
	}
}

// old is a file that is written no more.
type old struct {
	name string
	at   time.Time
}

// olds are all of them, the newest first, and a compressed one before what it was made of.
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
	slices.SortFunc(all, func(a, b old) int { return cmp.Or(b.at.Compare(a.at), strings.Compare(b.name, a.name)) })
	return all
}

// compress replaces a file by a compressed one. One that an end of the process has cut is overwritten.
func compress(name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	temporary := name + unfinished
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	zip := gzip.NewWriter(out)
	_, err = io.Copy(zip, in)
	if err = errors.Join(err, in.Close(), zip.Close(), out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, name+compressed); err != nil {
		return err
	}
	return os.Remove(name)
}
