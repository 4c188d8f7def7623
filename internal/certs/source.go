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

	"balsa.example/internal/ratelog"
)

const (
	// maxFileBytes bounds each file. All public CAs together take 250 KiB.
	maxFileBytes = 4 << 20
	// pollEvery is how often Watch reads the files.
	pollEvery = 5 * time.Second
	// readTimeout bounds how long a handshake waits until the files are read: a disk that
	// hangs must not prevent connections. Both ends of a connection may have such a disk,
	// and a server allows little more time for a handshake.
	readTimeout = 500 * time.Millisecond
	// logEvery is the least time between two lines of the log about files that are not
	// valid, and repeatEvery the time until the same line is repeated.
	logEvery    = time.Second
	repeatEvery = 10 * time.Minute
)

// Source is the last valid Material of one side of a process. It is safe for concurrent use.
type Source struct {
	side  string // for the log: client, peer
	what  string // for the log: whether it is TLS files or something else
	log   *slog.Logger
	paths []string
	parse func(contents [][]byte, now time.Time) (*Material, error)
	read  func(paths []string) ([][]byte, error) // readAll, or a test's

	terms      Terms
	unverified bool // any certificate of the other side is taken

	good  atomic.Pointer[Material]
	stale atomic.Bool // the files are not the ones in use

	mu      sync.Mutex
	reading chan struct{} // closed when the present reading of the files ends; nil: there is none
	since   time.Time     // when that began

	// The rest is used by that reading alone.
	last    [][]byte        // the contents that are in use
	invalid *ratelog.Logger // says why the files are not valid
	expires notice
}

// Open reads the files, and fails if they do not fit together. side is "client" or "peer".
func Open(side string, f Files, log *slog.Logger) (*Source, error) {
	return open(&Source{side: side, what: "TLS files", log: log, paths: f.paths(), parse: f.parse, read: readAll, terms: f.Terms, unverified: f.Unverified})
}

func open(s *Source) (*Source, error) {
	s.invalid = ratelog.New(s.log, 1, logEvery).RepeatAfter(repeatEvery)
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

// Current reads the files and returns the last valid Material.
func (s *Source) Current() *Material {
	done, since := s.startReading()
	timer := time.NewTimer(readTimeout - time.Since(since))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return s.good.Load()
}

// Stale tells whether the files differ from the Material in use, because they do not fit
// together or cannot be read.
func (s *Source) Stale() bool { return s.stale.Load() }

// Watch reads the files from time to time until ctx ends, so that the log reports changes and
// certificates that expire also while there are no connections.
func (s *Source) Watch(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.startReading()
		case <-ctx.Done():
			return
		}
	}
}

// startReading begins to read the files, unless that is under way. It returns a channel that is
// closed when the reading ends, and when it began.
func (s *Source) startReading() (done <-chan struct{}, since time.Time) {
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

// refresh uses the files if they have changed and are valid.
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
		err = m.checkTime(now) // if the old certificate is not valid either, the new one is used
	}
	if err != nil {
		s.rejected(err)
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
	s.invalid.Reset()
}

// rejected logs why the files are not used: when the reason is new, and from time to time.
func (s *Source) rejected(err error) {
	s.stale.Store(true)
	s.invalid.WarnChange(err.Error(), s.what+": not usable as they are now; the last good ones serve on",
		"side", s.side, "error", err, "certificate", s.good.Load().name())
}

// changed returns the names of the files that differ from those in use.
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
