package state

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"balsa.example/kv/run"
	"balsa.example/vfs"
)

// Disks forget. So each member reads all files of its newest manifest from time to time, one after the other,
// though nobody wants what is in them. What is damaged is replaced: see repair.go.
//
// All damage is noticed in one way: whoever reads a file, for whatever purpose, gives the error to noticed. Then the
// file is the next that Scrub reads. Scrub decides: only what it cannot read either is damaged. So an error that
// comes once, and a file that was removed while somebody read it, raise no alarm. Errors of syncs are not damage:
// they stop the replica.

// Scrubbed tells about a file that Scrub has read. The zero value: none was.
type Scrubbed struct {
	Path  string
	Bytes int64
	// Damage says what is wrong with the file: of a run it is a *run.CorruptError, with the offset; nil if the
	// file was in order. It was repaired unless Scrub returns an error.
	Damage error
}

// scrubs is what a Machine knows of damage to its runs. Files are those of the newest manifest; of
// others nothing is kept.
type scrubs struct {
	wanted chan struct{} // has a token when a read has met damage

	mu sync.Mutex
	// after is where the last run ended: the next one begins behind it.
	after uint64
	// suspects are files where a read has met damage that no Scrub has looked at yet. suspectSmall: the small
	// file is one.
	suspects     map[uint32]bool
	suspectSmall bool
	// small is the number of the small file if that is damaged.
	small uint32
	// damaged are files that could not be repaired. Every other time one of them is tried again.
	retry              bool
	damaged            map[uint32]bool
	scrubbed, repaired uint64
}

// ScrubWanted has a token when a read has met damage, so that Scrub should be called now.
func (m *Machine) ScrubWanted() <-chan struct{} { return m.scrubs.wanted }

// noticed remembers the file in which a read has met damage, and returns the error.
func (m *Machine) noticed(err error) error {
	if err == nil {
		return nil
	}
	c := new(run.CorruptError)
	isRun := errors.As(err, &c)
	if !isRun && !errors.Is(err, ErrSmall) {
		return err
	}
	s := &m.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isRun && !s.damaged[c.Number]:
		s.suspects[c.Number] = true
		s.want()
	case !isRun && !m.isSmallDamaged():
		s.suspectSmall = true
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
	return len(m.scrubs.damaged) > 0 || m.isSmallDamaged()
}

// smallDamaged tells whether the small file of the newest manifest is damaged.
func (m *Machine) smallDamaged() bool {
	m.scrubs.mu.Lock()
	defer m.scrubs.mu.Unlock()
	return m.isSmallDamaged()
}

// isSmallDamaged is smallDamaged. Caller holds scrubs.mu.
func (m *Machine) isSmallDamaged() bool {
	newest := m.files.current.Load()
	return newest != nil && m.scrubs.small != 0 && m.scrubs.small == newest.small.number
}

func (s *scrubs) want() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// Scrub reads one run, and repairs it if it is damaged: one where a read has met damage, else
// now and then one that could not be repaired, else that which was not read for the longest time. With the first run
// of each round it reads the manifest and the small file, which are small. It reads none while something else writes
// files. An error says why the file could not be read or repaired. One goroutine calls it, in turn with Maintain.
func (m *Machine) Scrub() (s Scrubbed, err error) {
	select {
	case m.files.work <- struct{}{}:
		defer m.files.end()
	default:
		return s, nil
	}
	if s, err := m.scrubImage(); s.Damage != nil || err != nil {
		return s, failed(err)
	}
	info, ok := m.nextScrub()
	if !ok {
		return s, nil
	}
	end := m.begin(WorkScrub)
	defer func() { end(err) }()
	history := m.present.Load().history
	s = Scrubbed{Path: history.Files().Path(info.File), Bytes: info.Bytes}
	err = atMostTwice(func() error { return history.Files().Verify(m.ctx, info, m.resting(mostRests)) })
	if c := new(run.CorruptError); errors.As(err, &c) {
		s.Damage = c
		ctx, ended := m.files.repairing(m.ctx)
		err = m.repair(ctx, info)
		ended()
	} else if err != nil {
		return s, fmt.Errorf("scrub %s: %w", s.Path, err)
	}
	m.scrubs.done(info, s.Damage != nil, err == nil)
	return s, failed(err)
}

// atMostTwice reads, and reads again after an error: one that comes once is no damage.
func atMostTwice(read func() error) error {
	if read() == nil {
		return nil
	}
	return read()
}

// nextScrub chooses the run to read.
func (m *Machine) nextScrub() (run.Info, bool) {
	mf := m.files.current.Load()
	if mf == nil || m.files.received != nil || len(mf.runs) == 0 {
		return run.Info{}, false
	}
	runs := mf.runs
	s := &m.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(runs)
	if i := slices.IndexFunc(runs, func(i run.Info) bool { return s.suspects[i.File] }); i >= 0 {
		return runs[i], true
	}
	if s.retry = !s.retry; s.retry {
		if i := slices.IndexFunc(runs, func(i run.Info) bool { return s.damaged[i.File] }); i >= 0 {
			return runs[i], true
		}
	}
	i := s.next(runs)
	s.after = runs[i].Last
	return runs[i], true
}

// next returns the run that was not read for the longest time.
func (s *scrubs) next(runs []run.Info) int {
	return max(slices.IndexFunc(runs, func(i run.Info) bool { return i.Last > s.after }), 0)
}

// errNextCheckpoint: what was in the small file is not there any more, since later commands were executed.
var errNextCheckpoint = errors.New("state: the next checkpoint writes another one")

// scrubImage reads the manifest and the small file, if it is their turn. A damaged manifest is written anew, since
// its content is known. A damaged small file is replaced by the next checkpoint, which is wanted therefore.
func (m *Machine) scrubImage() (s Scrubbed, err error) {
	mf := m.files.current.Load()
	if mf == nil || m.files.received != nil || !m.imageDue(mf) {
		return s, nil
	}
	path := m.files.path(manifestName)
	err = atMostTwice(func() error {
		b, err := vfs.ReadFile(m.files.fs, path)
		if err == nil && !bytes.Equal(b, mf.encode(m.files.cluster)) {
			err = ErrManifest
		}
		return err
	})
	if err != nil {
		return m.damagedImage(path, err, func() error { return m.files.publish(mf) })
	}
	if mf.small.number == 0 {
		return s, nil
	}
	err = atMostTwice(func() error {
		_, err := m.files.readSmall(mf.small)
		return err
	})
	m.scrubs.mu.Lock()
	m.scrubs.suspectSmall = false
	if m.scrubs.small = 0; err != nil && !run.Innocent(err) {
		m.scrubs.small = mf.small.number
	}
	m.scrubs.mu.Unlock()
	if err != nil {
		return m.damagedImage(m.files.path(smallName(mf.small.number)), err, func() error { return errNextCheckpoint })
	}
	return s, nil
}

// damagedImage repairs a file that is not a run, if it is damaged, and tells about it.
func (m *Machine) damagedImage(path string, damage error, repair func() error) (Scrubbed, error) {
	if run.Innocent(damage) {
		return Scrubbed{Path: path}, fmt.Errorf("scrub %s: %w", path, damage)
	}
	err := repair()
	if err == nil {
		m.scrubs.mu.Lock()
		m.scrubs.repaired++
		m.scrubs.mu.Unlock()
	}
	return Scrubbed{Path: path, Damage: fmt.Errorf("%s: %w", path, damage)}, err
}

// imageDue tells whether the manifest and the small file are to be read: a read has met damage, or a round begins.
func (m *Machine) imageDue(mf *manifest) bool {
	s := &m.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.suspectSmall || s.small != mf.small.number && len(s.suspects) == 0 && (len(mf.runs) == 0 || s.next(mf.runs) == 0)
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
