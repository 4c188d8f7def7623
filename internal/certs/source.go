package certs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxFileBytes bounds each file: the CAs of the whole world take 250 KiB.
	maxFileBytes = 4 << 20
	// pollEvery is how often Watch looks at the files.
	pollEvery = 5 * time.Second
	// patience bounds how long handshakes wait for one reading of the files: a disk that
	// hangs must not keep anybody out. Both ends of a connection may have such a disk, and
	// a server gives an attempt to connect little more than this.
	patience = 500 * time.Millisecond
	// logEvery is the least time between two lines about files that are not good, and
	// repeatEvery when one that has not changed is said again.
	logEvery    = time.Second
	repeatEvery = 10 * time.Minute
)

// Source is the Material of one side of a process: the last that was good. It may be
// used by many goroutines.
type Source struct {
	side  string // for the log: client, peer
	what  string // for the log: whether it is TLS files or something else
	log   *slog.Logger
	paths []string
	parse func(contents [][]byte, now time.Time) (*Material, error)
	read  func(paths []string) ([][]byte, error) // readAll, or a test's

	good  atomic.Pointer[Material]
	stale atomic.Bool // the files are not what serves

	mu      sync.Mutex
	reading chan struct{} // closed when the look at the files that is under way ends; nil: none is
	since   time.Time     // when that began

	// The rest is used by that look alone.
	last    [][]byte // what was taken last
	bad     string   // why the files are not taken, as logged last
	badAt   time.Time
	expires notice
}

// Open reads the files, and fails if they do not fit together. side is "client" or "peer".
func Open(side string, f Files, log *slog.Logger) (*Source, error) {
	return open(&Source{side: side, what: "TLS files", log: log, paths: f.paths(), parse: f.parse, read: readAll})
}

func open(s *Source) (*Source, error) {
	contents, err := s.read(s.paths)
	if err != nil {
		return nil, err
	}
	m, err := s.parse(contents, time.Now())
	if err != nil {
		return nil, err
	}
	s.last = contents
	s.good.Store(m)
	s.warnOfExpiry(m, time.Now())
	return s, nil
}

// Current looks at the files and returns the last good Material.
func (s *Source) Current() *Material {
	done, since := s.look()
	timer := time.NewTimer(patience - time.Since(since))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return s.good.Load()
}

// Stale tells whether the files differ from what serves, because they do not fit together
// or cannot be read.
func (s *Source) Stale() bool { return s.stale.Load() }

// Watch looks at the files from time to time until ctx ends, so that the log tells what
// has changed, and what will expire, without anybody connecting.
func (s *Source) Watch(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look()
		case <-ctx.Done():
			return
		}
	}
}

// look begins to read the files, unless that is under way, and returns what is closed
// when it ends, and when it began.
func (s *Source) look() (done <-chan struct{}, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading == nil {
		done := make(chan struct{})
		s.reading, s.since = done, time.Now()
		go func() {
			s.refresh(time.Now())
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reading = nil
			close(done)
		}()
	}
	return s.reading, s.since
}

// refresh takes the files if they have changed and are good.
func (s *Source) refresh(now time.Time) {
	contents, err := s.read(s.paths)
	if err == nil && sameContents(contents, s.last) {
		if s.Stale() {
			s.log.Info(s.what+": as they were when they were good", "side", s.side, "certificate", s.good.Load().name())
		}
		s.accepted()
		s.warnOfExpiry(s.good.Load(), now)
		return
	}
	var m *Material
	if err == nil {
		m, err = s.parse(contents, now)
	}
	if err == nil && s.good.Load().checkTime(now) == nil {
		err = m.checkTime(now) // else one is as bad as the other
	}
	if err != nil {
		s.rejected(err, now)
		s.warnOfExpiry(s.good.Load(), now)
		return
	}
	changed := s.changed(contents)
	s.last = contents
	s.good.Store(m)
	s.accepted()
	s.log.Info(s.what+": renewed, and in use from now on", "side", s.side, "files", changed, "certificate", m.name())
	s.expires = notice{}
	s.warnOfExpiry(m, now)
}

func (s *Source) accepted() {
	s.stale.Store(false)
	s.bad, s.badAt = "", time.Time{}
}

// rejected says why the files are not taken, when that is new, and from time to time.
func (s *Source) rejected(err error, now time.Time) {
	s.stale.Store(true)
	since := now.Sub(s.badAt)
	if !s.badAt.IsZero() && (since < logEvery || err.Error() == s.bad && since < repeatEvery) {
		return
	}
	s.bad, s.badAt = err.Error(), now
	s.log.Warn(s.what+": not usable as they are now; the last good ones serve on", "side", s.side, "error", err, "certificate", s.good.Load().name())
}

// changed names the files that differ from those taken last.
func (s *Source) changed(contents [][]byte) string {
	var names []string
	for i, path := range s.paths {
		if !bytes.Equal(contents[i], s.last[i]) {
			names = append(names, path)
		}
	}
	return strings.Join(names, ",")
}

func (m *Material) name() string {
	if m.Certificate == nil {
		return "none"
	}
	leaf := m.Certificate.Leaf
	return fmt.Sprintf("%s, serial %x, valid until %s", Describe(leaf), leaf.SerialNumber, stamp(leaf.NotAfter))
}

func sameContents(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func readAll(paths []string) ([][]byte, error) {
	var all [][]byte
	for _, path := range paths {
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return data, nil
}
