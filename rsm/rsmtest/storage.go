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

// OpenStorage opens the Storage that a member keeps in dir. The first call with a dir, which
// is empty then, makes that of a new member of a cluster with configuration conf. A
// Storage that is an io.Closer is closed before dir is opened again.
type OpenStorage func(dir string, conf raft.Configuration) (rsm.Storage, error)

// patience is how long a call may take that should return at once.
const patience = 30 * time.Second

// TestStorage checks that what open opens is an rsm.Storage. Each check is a subtest.
func TestStorage(t *testing.T, open OpenStorage) {
	for _, c := range []struct {
		name  string
		check func(s *storage)
	}{
		{"ANewMemberIsEmpty", (*storage).newMember},
		{"SavedIsFound", (*storage).saved},
		{"EntriesReplaceThoseBehind", (*storage).replaced},
		{"OneSaveTakesSeveralPersists", (*storage).several},
		{"NothingToSaveIsNoError", (*storage).nothing},
		{"SnapshotsAreFound", (*storage).snapshots},
		{"ASnapshotThatFailsChangesNothing", (*storage).failedSnapshot},
		{"AnOpenSnapshotStaysReadable", (*storage).openSnapshot},
		{"TheLogGoesOnBehindItsSnapshot", (*storage).behindSnapshot},
		{"ANewerSnapshotReplacesTheLog", (*storage).newerSnapshot},
		{"AContradictedLogIsReplaced", (*storage).contradicted},
		{"ASnapshotRestartsTheLog", (*storage).restarted},
		{"CompactKeepsWhatIsBehind", (*storage).compacted},
		{"SaveDoesNotWaitForASnapshot", (*storage).saveBesideSnapshot},
		{"LikeAModel", (*storage).likeModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &storage{T: t, open: open, dir: t.TempDir(), conf: raft.NewConfiguration(1, 2, 3)}
			s.reopen()
			defer s.close()
			c.check(s)
		})
	}
}

// storage is a Storage under test.
type storage struct {
	*testing.T
	open  OpenStorage
	dir   string
	conf  raft.Configuration
	now   rsm.Storage
	state raft.State // what Load returned
	seq   uint64
}

// reopen is a restart.
func (s *storage) reopen() {
	s.Helper()
	s.close()
	var err error
	if s.now, err = s.open(s.dir, s.conf); err != nil {
		s.Fatalf("open: %v", err)
	}
	if s.state, err = s.now.Load(); err != nil {
		s.Fatalf("Load: %v", err)
	}
	s.seq = 0
}

func (s *storage) close() {
	if c, ok := s.now.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
	}
	s.now = nil
}

// persist numbers a Persist.
func (s *storage) persist(p raft.Persist) raft.Persist {
	s.seq++
	p.Seq = s.seq
	return p
}

func (s *storage) save(ps ...raft.Persist) {
	s.Helper()
	for i := range ps {
		ps[i] = s.persist(ps[i])
	}
	if err := s.now.Save(ps); err != nil {
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

func (s *storage) meta(index raft.Index, term raft.Term) raft.SnapshotMeta {
	return raft.SnapshotMeta{Index: index, Term: term, Configuration: s.conf}
}

func (s *storage) saveSnapshot(m raft.SnapshotMeta, data string) {
	s.Helper()
	err := s.now.SaveSnapshot(m, func(w io.Writer) error {
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
	m, r, err := s.now.OpenSnapshot()
	if err != nil {
		s.Fatalf("OpenSnapshot: %v", err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || m.Index != index || string(got) != data {
		s.Errorf("the newest snapshot is %s with %q (%v), want one at %d with %q", m, got, err, index, data)
	}
}
