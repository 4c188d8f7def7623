package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"balsa.example/kv/run"
)

// Disks forget. So each member reads all of its sealed runs from time to time, one after the other,
// though nobody wants what is in them. What is damaged is replaced: see repair.go.

// Scrubbed tells about a run that Scrub has read. The zero value: none was.
type Scrubbed struct {
	Path  string
	Bytes int64
	// Damage is a *run.CorruptError, with the offset; nil if the run was in order. It was repaired
	// unless Scrub returns an error.
	Damage error
}

// scrubs is what a Machine knows of damage to its runs. Files are those of the newest manifest; of
// others nothing is kept.
type scrubs struct {
	wanted chan struct{} // has a token when a read has met damage

	mu sync.Mutex
	// after is where the last run ended: the next one begins behind it.
	after uint64
	// suspects are files where a read has met damage that no Scrub has looked at yet.
	suspects map[uint32]bool
	// damaged are files that could not be repaired. Every other time one of them is tried again.
	retry              bool
	damaged            map[uint32]bool
	scrubbed, repaired uint64
}

// ScrubWanted has a token when a read has met damage, so that Scrub should be called now.
func (m *Machine) ScrubWanted() <-chan struct{} { return m.scrubs.wanted }

// noticed remembers the run in which a read has met damage, and returns the error.
func (m *Machine) noticed(err error) error {
	if err == nil {
		return nil
	}
	c := new(run.CorruptError)
	if !errors.As(err, &c) {
		return err
	}
	s := &m.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.damaged[c.Number] {
		s.suspects[c.Number] = true
		s.want()
	}
	return err
}

// damage returns the files that are known to be damaged, or may be.
func (s *scrubs) damage() map[uint32]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := maps.Clone(s.damaged)
	maps.Copy(files, s.suspects)
	return files
}

// Damaged is part of rsm.Damageable.
func (m *Machine) Damaged() bool {
	m.scrubs.mu.Lock()
	defer m.scrubs.mu.Unlock()
	return len(m.scrubs.damaged) > 0
}

func (s *scrubs) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// Scrub reads one sealed run, and repairs it if it is damaged: one where a read has met damage, else
// now and then one that could not be repaired, else that which was not read for the longest time. It reads none while something else writes files. An
// error says why the run could not be read or repaired. One goroutine calls it, in turn with
// Maintain.
func (m *Machine) Scrub() (s Scrubbed, err error) {
	select {
	case m.files.work <- struct{}{}:
		defer m.files.end()
	default:
		return s, nil
	}
	info, ok := m.nextScrub()
	if !ok {
		return s, nil
	}
	end := m.begin(WorkScrub)
	defer func() { end(err) }()
	history := m.present.Load().history
	s = Scrubbed{Path: history.Files().Path(info.File), Bytes: info.Bytes}
	err = history.Files().Verify(m.ctx, info, m.cfg.Pace)
	if c := new(run.CorruptError); errors.As(err, &c) {
		s.Damage = c
		err = m.repair(info)
	} else if err != nil {
		return s, fmt.Errorf("scrub %s: %w", s.Path, err)
	}
	m.scrubs.done(info, s.Damage != nil, err == nil)
	return s, failed(err)
}

// nextScrub chooses the run to read.
func (m *Machine) nextScrub() (run.Info, bool) {
	if m.files.current == nil || m.files.received != nil {
		return run.Info{}, false
	}
	sealed := slices.DeleteFunc(slices.Clone(m.files.current.runs), func(i run.Info) bool { return !i.Sealed })
	if len(sealed) == 0 {
		return run.Info{}, false
	}
	s := &m.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(sealed)
	if i := slices.IndexFunc(sealed, func(i run.Info) bool { return s.suspects[i.File] }); i >= 0 {
		return sealed[i], true
	}
	if s.retry = !s.retry; s.retry {
		if i := slices.IndexFunc(sealed, func(i run.Info) bool { return s.damaged[i.File] }); i >= 0 {
			return sealed[i], true
		}
	}
	i := max(slices.IndexFunc(sealed, func(i run.Info) bool { return i.Last > s.after }), 0)
	s.after = sealed[i].Last
	return sealed[i], true
}

// forget drops what is known of files that are not there any more.
func (s *scrubs) forget(there []run.Info) {
	for _, files := range []map[uint32]bool{s.suspects, s.damaged} {
		for file := range files {
			if !slices.ContainsFunc(there, func(i run.Info) bool { return i.File == file }) {
				delete(files, file)
			}
		}
	}
}

// done notes what became of a run.
func (s *scrubs) done(info run.Info, damaged, repaired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.suspects, info.File)
	delete(s.damaged, info.File)
	s.scrubbed++
	switch {
	case damaged && repaired:
		s.repaired++
	case damaged:
		s.damaged[info.File] = true
	}
	if len(s.suspects) > 0 {
		s.want()
	}
}
