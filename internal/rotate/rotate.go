// Package rotate writes a log to a file, and begins a new one when that gets large.
//
//	etcd.log ──────────► etcd-2026-01-02T15-04-05.000.log ──► ….log.gz ──► removed
//	is written   rename   when the next one began       compress       too many, or too old
//
// The names are those of package lumberjack, which etcd uses.
package rotate

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config says when files end. The zero value keeps all files, of 100 MB each.
type Config struct {
	// MaxBytes is the size at which a file ends. 0: 100 MB. What is written at once stays together.
	MaxBytes int64
	// MaxAge is how long files are kept, MaxBackups how many beside the one that is written. 0: any.
	MaxAge     time.Duration
	MaxBackups int
	// LocalTime has names by the local time, and not by UTC.
	LocalTime bool
	Compress  bool
}

const defaultBytes = 100e6

// File is an io.WriteCloser. One goroutine at a time may use it.
type File struct {
	path string
	cfg  Config
	now  func() time.Time
	file *os.File // nil: it could not be opened again
	size int64
	most int64          // the size at which the file ends, or at which that is tried again
	ends bool           // it is a file that can have another name: no pipe, and no device
	tidy sync.WaitGroup // the goroutine that tidies up
	busy chan struct{}  // holds a token while it runs
}

// Open opens the file of a log, which goes on behind what is there.
func Open(path string, cfg Config) (*File, error) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, defaultBytes)
	f := &File{path: path, cfg: cfg, most: cfg.MaxBytes, now: time.Now, busy: make(chan struct{}, 1)}
	return f, f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.size, f.ends = file, info.Size(), info.Mode().IsRegular()
	return nil
}

// Write implements io.Writer. After an error nothing of p is written but what it says, and it may be tried again.
func (f *File) Write(p []byte) (n int, err error) {
	if f.file != nil && f.ends && f.size > 0 && f.size+int64(len(p)) > f.most {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	n, err = f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// rotate closes the present file, and gives it another name. Where that fails the log goes on in it: a file that is
// too large is better than none, and there is nobody to tell. It is tried again when as much more was written as a file
// has at most, since what keeps a file from being renamed mostly lasts.
func (f *File) rotate() error {
	err := f.file.Close() // first: Windows gives no open file another name
	f.file = nil
	if os.Rename(f.path, f.backup()) != nil {
		f.most = f.size + f.cfg.MaxBytes
		return err
	}
	f.most = f.cfg.MaxBytes
	select {
	case f.busy <- struct{}{}:
		f.tidy.Go(func() {
			defer func() { <-f.busy }()
			f.tidyUp()
		})
	default: // it runs, and does the rest after the next file
	}
	return err
}

// timeLayout is that of the times in names.
const timeLayout = "2006-01-02T15-04-05.000"

// backup is the name of a file that ends now. One that is there stays, compressed or not.
func (f *File) backup() string {
	begin, end := f.around()
	for at := f.now(); ; at = at.Add(time.Millisecond) {
		if !f.cfg.LocalTime {
			at = at.UTC()
		}
		name := begin + at.Format(timeLayout) + end
		_, err := os.Lstat(name)
		_, errCompressed := os.Lstat(name + compressed)
		if err != nil && errCompressed != nil {
			return name
		}
	}
}

// around is what the names of all old files have before and after their times.
func (f *File) around() (begin, end string) {
	end = filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, end) + "-", end
}

// Close closes the file, and waits until old ones are tidied up.
func (f *File) Close() error {
	f.tidy.Wait()
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
