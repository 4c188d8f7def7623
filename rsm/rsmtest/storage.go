package rsmtest

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// An opener opens what a member keeps in dir. The first call with a dir, which is empty then,
// makes that of a new member of a cluster with configuration conf. A value that is an
// io.Closer is closed before dir is opened again.
type (
	OpenStorage   func(dir string, conf raft.Configuration) (rsm.Storage, error)
	OpenLog       func(dir string, conf raft.Configuration) (rsm.Log, error)
	OpenSnapshots func(dir string, conf raft.Configuration) (rsm.Snapshots, error)
)

// patience is how long a call may take that should return at once.
const patience = 30 * time.Second

// TestStorage checks that what open opens is an rsm.Storage, whose log begins behind its
// newest snapshot. Each check is a subtest.
func TestStorage(t *testing.T, open OpenStorage) {
	run(t, func(s *storage) (err error) {
		both, err := open(s.dir, s.conf)
		s.log, s.snapshots = both, both
		return err
	}, []check{
		{"ANewMemberIsEmpty", (*storage).newMember},
		{"SavedIsFound", (*storage).saved},
		{"EntriesReplaceThoseBehind", (*storage).replaced},
		{"OneSaveTakesSeveralPersists", (*storage).several},
		{"NothingToSaveIsNoError", (*storage).nothing},
		{"SnapshotsAreFound", (*storage).savedSnapshots},
		{"ASnapshotThatFailsChangesNothing", (*storage).failedSnapshot},
		{"AnOpenSnapshotStaysReadable", (*storage).openSnapshot},
		{"TheLogGoesOnBehindItsSnapshot", (*storage).behindSnapshot},
		{"ANewerSnapshotReplacesTheLog", (*storage).newerSnapshot},
		{"AContradictedLogIsReplaced", (*storage).contradicted},
		{"ASnapshotRestartsTheLog", (*storage).restarted},
		{"CompactKeepsWhatIsBehind", (*storage).compacted},
		{"SaveDoesNotWaitForASnapshot", (*storage).saveBesideSnapshot},
		{"LikeAModel", (*storage).likeModel},
	})
}

// TestLog checks that what open opens is an rsm.Log for a machine that keeps its own state:
// there are no snapshots, and the log begins at any position. Each check is a subtest.
func TestLog(t *testing.T, open OpenLog) {
	run(t, func(s *storage) (err error) {
		s.log, err = open(s.dir, s.conf)
		return err
	}, []check{
		{"ANewMemberIsEmpty", (*storage).newMember},
		{"SavedIsFound", (*storage).saved},
		{"EntriesReplaceThoseBehind", (*storage).replaced},
		{"OneSaveTakesSeveralPersists", (*storage).several},
		{"NothingToSaveIsNoError", (*storage).nothing},
		{"TheLogGoesOnBehindAPosition", (*storage).behindPosition},
		{"APositionAheadReplacesTheLog", (*storage).aheadPosition},
		{"AContradictedLogIsReplaced", (*storage).contradictedPosition},
		{"APersistRestartsTheLog", (*storage).restartedPosition},
		{"CompactKeepsWhatIsBehind", (*storage).compactedPosition},
	})
}

// TestSnapshots checks that what open opens is an rsm.Snapshots. Each check is a subtest.
func TestSnapshots(t *testing.T, open OpenSnapshots) {
	run(t, func(s *storage) (err error) {
		s.snapshots, err = open(s.dir, s.conf)
		return err
	}, []check{
		{"SnapshotsAreFound", (*storage).savedSnapshots},
		{"ASnapshotThatFailsChangesNothing", (*storage).failedSnapshot},
		{"AnOpenSnapshotStaysReadable", (*storage).openSnapshot},
	})
}

type check struct {
	name string
	f    func(*storage)
}

func run(t *testing.T, open func(*storage) error, checks []check) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := &storage{T: t, open: open, dir: t.TempDir(), conf: manyMembers()}
			s.reopen()
			defer s.close()
			c.f(s)
		})
	}
}

// manyMembers returns a configuration with something in each of its fields, in a joint phase, and with
// as much Context as there may be.
func manyMembers() raft.Configuration {
	c := raft.NewConfiguration(1, 2, 3)
	c.Voters.Outgoing = raft.NewConfiguration(1, 4).Voters.Incoming
	c.Learners, c.LearnersNext, c.Witnesses = []raft.NodeID{5, 6}, []raft.NodeID{4}, []raft.NodeID{3, 6}
	c.Context = bytes.Repeat([]byte{7}, raft.MaxContextBytes)
	return c
}

// storage is a Storage under test, or only one part of it: the other is nil.
type storage struct {
	*testing.T
	open      func(*storage) error // sets log and snapshots
	dir       string
	conf      raft.Configuration
	log       rsm.Log
	snapshots rsm.Snapshots
	position  raft.SnapshotMeta // where the log is loaded from if there are no snapshots
	state     raft.State        // what Load returned
	seq       uint64
}

// reopen is a restart.
func (s *storage) reopen() {
	s.Helper()
	s.close()
	if err := s.open(s); err != nil {
		s.Fatalf("open: %v", err)
	}
	if s.log == nil {
		return
	}
	if err := s.load(); err != nil {
		s.Fatalf("Load: %v", err)
	}
	s.seq = 0
}

func (s *storage) load() (err error) {
	from := s.position
	if s.snapshots != nil {
		meta, r, err := s.snapshots.OpenSnapshot()
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
		from = meta
	}
	s.state, err = s.log.Load(from)
	return err
}

func (s *storage) close() {
	var opened any = s.log
	if s.log == nil {
		opened = s.snapshots
	}
	if c, ok := opened.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
	}
	s.log, s.snapshots = nil, nil
}

// persist numbers a Persist.
func (s *storage) persist(p raft.Persist) raft.Persist {
	s.seq++
	p.Seq = s.seq
	return p
}

func (s *storage) save(ps ...raft.Persist) {
	s.Helper()
	if s.log == nil {
		return
	}
	for i := range ps {
		ps[i] = s.persist(ps[i])
	}
	if err := s.log.Save(ps); err != nil {
		s.Fatalf("Save: %v", err)
	}
}

// entries are those from first on, with these terms.
func entries(first raft.Index, terms ...raft.Term) raft.Persist {
	var es []raft.Entry
	for i, term := range terms {
		at := first + raft.Index(i)
		es = append(es, raft.Entry{Term: term, Index: at, Kind: raft.EntryCommand, Data: []byte{byte(at), byte(term), 0, 0xff}})
	}
	return raft.Persist{Entries: es}
}

func hard(term raft.Term, vote raft.NodeID) raft.Persist {
	return raft.Persist{HardState: &raft.HardState{Term: term, Vote: vote}}
}

func (s *storage) compact(index raft.Index) {
	s.Helper()
	if s.log == nil {
		return
	}
	if err := s.log.Compact(index); err != nil {
		s.Fatalf("Compact: %v", err)
	}
}

func (s *storage) meta(index raft.Index, term raft.Term) raft.SnapshotMeta {
	return raft.SnapshotMeta{Index: index, Term: term, Configuration: s.conf}
}

func (s *storage) saveSnapshot(m raft.SnapshotMeta, data string) {
	s.Helper()
	err := s.snapshots.SaveSnapshot(m, func(w io.Writer) error {
		_, err := io.WriteString(w, data)
		return err
	})
	if err != nil {
		s.Fatalf("SaveSnapshot %s: %v", m, err)
	}
}

// want checks what a restart finds: hard state, snapshot, and the terms of the entries
// behind it.
func (s *storage) want(h raft.HardState, index raft.Index, term raft.Term, terms ...raft.Term) {
	s.Helper()
	s.reopen()
	if s.log == nil {
		return
	}
	if s.state.HardState != h {
		s.Errorf("the hard state is %+v, want %+v", s.state.HardState, h)
	}
	m := s.state.Snapshot
	if m.Index != index || m.Term != term || !m.Configuration.Equal(s.conf) {
		s.Errorf("the snapshot is %s of %v, want %d/%d of %v", m, m.Configuration, term, index, s.conf)
	}
	if want := entries(index+1, terms...).Entries; !equal(s.state.Entries, want) {
		s.Errorf("the log holds %v behind the snapshot, want %v", s.state.Entries, want)
	}
}

func equal(a, b []raft.Entry) bool {
	same := len(a) == len(b)
	for i := 0; same && i < len(a); i++ {
		same = a[i].Term == b[i].Term && a[i].Index == b[i].Index && a[i].Kind == b[i].Kind && bytes.Equal(a[i].Data, b[i].Data)
	}
	return same
}

// wantSnapshot checks what OpenSnapshot opens.
func (s *storage) wantSnapshot(index raft.Index, data string) {
	s.Helper()
	m, r, err := s.snapshots.OpenSnapshot()
	if err != nil {
		s.Fatalf("OpenSnapshot: %v", err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || m.Index != index || string(got) != data {
		s.Errorf("the newest snapshot is %s with %q (%v), want one at %d with %q", m, got, err, index, data)
	}
}
