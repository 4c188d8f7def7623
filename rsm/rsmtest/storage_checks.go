package rsmtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"balsa.example/raft"
)

func (s *storage) newMember() {
	if s.snapshots != nil {
		s.wantSnapshot(0, "")
	}
	s.want(raft.HardState{}, 0, 0)
}

func (s *storage) saved() {
	s.save(hard(1, 2))
	s.save(entries(1, 1, 1))
	s.want(raft.HardState{Term: 1, Vote: 2}, 0, 0, 1, 1)
	p := entries(3, 3)
	p.HardState = &raft.HardState{Term: 3, Vote: 1}
	p.Entries[0].Kind, p.Entries[0].Data = raft.EntryNoop, nil
	s.save(p)
	s.reopen()
	if s.state.HardState != *p.HardState || len(s.state.Entries) != 3 || s.state.Entries[2].Kind != raft.EntryNoop {
		s.Errorf("hard state and entry of one Persist are %+v and %v", s.state.HardState, s.state.Entries)
	}
}

func (s *storage) replaced() {
	s.save(hard(1, 1), entries(1, 1, 1, 1, 1))
	s.save(hard(2, 2), entries(3, 2))
	s.want(raft.HardState{Term: 2, Vote: 2}, 0, 0, 1, 1, 2)
	s.save(entries(1, 2, 2))
	s.want(raft.HardState{Term: 2, Vote: 2}, 0, 0, 2, 2)
}

func (s *storage) several() {
	s.save(hard(1, 1), entries(1, 1, 1), hard(2, 0), entries(2, 2, 2), hard(2, 3), entries(4, 2))
	s.want(raft.HardState{Term: 2, Vote: 3}, 0, 0, 1, 2, 2, 2)
}

func (s *storage) nothing() {
	if err := s.log.Save(nil); err != nil {
		s.Errorf("Save of nothing: %v", err)
	}
	s.want(raft.HardState{}, 0, 0)
}

func (s *storage) savedSnapshots() {
	s.save(hard(2, 0), entries(1, 1, 1, 2))
	s.saveSnapshot(s.meta(2, 1), "two")
	s.wantSnapshot(2, "two")
	long := strings.Repeat("three ", 100_000)
	s.saveSnapshot(s.meta(3, 2), long)
	s.saveSnapshot(s.meta(2, 1), "two again") // older than the newest: nothing to do
	s.wantSnapshot(3, long)
	s.want(raft.HardState{Term: 2}, 3, 2)
	s.wantSnapshot(3, long)
}

func (s *storage) failedSnapshot() {
	s.save(hard(1, 0), entries(1, 1, 1))
	s.saveSnapshot(s.meta(1, 1), "one")
	broken := errors.New("broken")
	err := s.snapshots.SaveSnapshot(s.meta(2, 1), func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of tw"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		s.Errorf("SaveSnapshot returns %v, want the error of its source", err)
	}
	s.wantSnapshot(1, "one")
	s.save(entries(3, 1))
	s.want(raft.HardState{Term: 1}, 1, 1, 1, 1)
}

func (s *storage) openSnapshot() {
	s.save(hard(1, 0), entries(1, 1, 1))
	long := strings.Repeat("one ", 200_000)
	s.saveSnapshot(s.meta(1, 1), long)
	_, r, err := s.snapshots.OpenSnapshot()
	if err != nil {
		s.Fatalf("OpenSnapshot: %v", err)
	}
	defer r.Close()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		s.Fatalf("read a snapshot: %v", err)
	}
	s.saveSnapshot(s.meta(2, 1), "two")
	s.compact(2)
	rest, err := io.ReadAll(r)
	if err != nil || string(head[:])+string(rest) != long {
		s.Errorf("a snapshot that was open when a newer one came has %d bytes (%v), want %d", 4+len(rest), err, len(long))
	}
}

func (s *storage) behindSnapshot() {
	s.save(hard(2, 0), entries(1, 1, 1, 2, 2))
	s.saveSnapshot(s.meta(2, 1), "two")
	s.want(raft.HardState{Term: 2}, 2, 1, 2, 2)
	s.save(entries(5, 2))
	s.want(raft.HardState{Term: 2}, 2, 1, 2, 2, 2)
}

// newerSnapshot is what a crash leaves behind between a snapshot and the end of the log that
// it stands for. The state may be ahead of the log on the own disk.
func (s *storage) newerSnapshot() {
	s.save(hard(1, 0), entries(1, 1, 1))
	s.saveSnapshot(s.meta(5, 1), "five")
	s.want(raft.HardState{Term: 1}, 5, 1)
	s.save(entries(6, 1, 1))
	s.want(raft.HardState{Term: 1}, 5, 1, 1, 1)
}

// contradicted: the log holds entries of an earlier term at and behind the place of the
// snapshot. None of them may follow it.
func (s *storage) contradicted() {
	s.save(hard(2, 0), entries(1, 1, 2, 2, 2, 2))
	s.saveSnapshot(s.meta(3, 3), "three")
	s.want(raft.HardState{Term: 2}, 3, 3)
	s.save(hard(3, 0), entries(4, 3))
	s.want(raft.HardState{Term: 3}, 3, 3, 3)
}

func (s *storage) restarted() {
	s.save(hard(2, 1), entries(1, 1, 1, 1, 1, 1, 1, 1, 1))
	m := s.meta(4, 2)
	s.saveSnapshot(m, "four")
	s.save(raft.Persist{Snapshot: &m}, entries(5, 2))
	s.want(raft.HardState{Term: 2, Vote: 1}, 4, 2, 2)
	m = s.meta(9, 2)
	s.saveSnapshot(m, "nine")
	p := entries(10, 2, 2)
	p.Snapshot, p.HardState = &m, &raft.HardState{Term: 3}
	s.save(p)
	s.want(raft.HardState{Term: 3}, 9, 2, 2, 2)
}

func (s *storage) compacted() {
	s.save(hard(1, 1), entries(1, 1, 1, 1, 1, 1, 1))
	s.saveSnapshot(s.meta(5, 1), "five")
	s.compact(3)
	s.save(entries(7, 1))
	s.want(raft.HardState{Term: 1, Vote: 1}, 5, 1, 1, 1)
	s.compact(5)
	s.save(entries(8, 1))
	s.want(raft.HardState{Term: 1, Vote: 1}, 5, 1, 1, 1, 1)
}

// saveBesideSnapshot: the source of a snapshot may take as long as it likes.
func (s *storage) saveBesideSnapshot() {
	s.save(hard(1, 0), entries(1, 1))
	begun, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.snapshots.SaveSnapshot(s.meta(1, 1), func(w io.Writer) error {
			close(begun)
			<-finish
			_, err := io.WriteString(w, "one")
			return err
		})
	}()
	<-begun
	saved := make(chan error, 1)
	go func() { saved <- s.log.Save([]raft.Persist{s.persist(entries(2, 1))}) }()
	select {
	case err := <-saved:
		if err != nil {
			s.Errorf("Save: %v", err)
		}
	case <-time.After(patience):
		s.Error("Save waits for a snapshot that is being saved")
	}
	close(finish)
	if err := <-done; err != nil {
		s.Errorf("SaveSnapshot: %v", err)
	}
	s.want(raft.HardState{Term: 1}, 1, 1, 1)
}

// likeModel does what a replica does, at random, and compares with a naive log.
func (s *storage) likeModel() {
	r := rand.New(rand.NewPCG(1, 2))
	m := model{snapshot: raft.SnapshotMeta{Configuration: s.conf}}
	for range 300 {
		switch n := r.IntN(12); {
		case n < 7:
			p := m.next(r)
			s.save(p)
			m.save(p)
		case n < 9 && m.last() > m.snapshot.Index:
			at := m.snapshot.Index + 1 + raft.Index(r.IntN(int(m.last()-m.snapshot.Index)))
			meta := s.meta(at, m.term(at))
			s.saveSnapshot(meta, strings.Repeat("x", r.IntN(5000)))
			m.snapshot = meta
		case n < 10:
			s.compact(m.snapshot.Index)
		default:
			s.reopen()
			m.compare(s)
		}
	}
	s.reopen()
	m.compare(s)
}

// model is a naive log, of which nothing is ever compacted.
type model struct {
	hard     raft.HardState
	entries  []raft.Entry
	snapshot raft.SnapshotMeta
}

func (m *model) last() raft.Index { return raft.Index(len(m.entries)) }

func (m *model) term(i raft.Index) raft.Term { return m.entries[i-1].Term }

// next is a Persist that may follow: entries in place of some that no snapshot holds.
func (m *model) next(r *rand.Rand) raft.Persist {
	if r.IntN(3) == 0 {
		m.hard.Term++
	}
	m.hard.Term = max(m.hard.Term, 1)
	first := m.last() + 1
	if behind := int(m.last() - m.snapshot.Index); behind > 0 && r.IntN(3) == 0 {
		first -= raft.Index(r.IntN(behind + 1))
	}
	p := entries(first, make([]raft.Term, r.IntN(5))...)
	for i := range p.Entries {
		p.Entries[i].Term, p.Entries[i].Data = m.hard.Term, bytes.Repeat([]byte{byte(i)}, r.IntN(3000))
	}
	h := m.hard
	p.HardState = &h
	return p
}

func (m *model) save(p raft.Persist) {
	if len(p.Entries) > 0 {
		m.entries = append(m.entries[:p.Entries[0].Index-1:p.Entries[0].Index-1], p.Entries...)
	}
}

func (m *model) compare(s *storage) {
	s.Helper()
	if got := s.state.HardState; got != m.hard {
		s.Fatalf("the hard state is %+v, want %+v", got, m.hard)
	}
	if got := s.state.Snapshot; got.Index != m.snapshot.Index || got.Term != m.snapshot.Term {
		s.Fatalf("the snapshot is %s, want %s", got, m.snapshot)
	}
	if want := m.entries[m.snapshot.Index:]; !equal(s.state.Entries, want) {
		s.Fatalf("%d entries behind %s, want %d", len(s.state.Entries), m.snapshot, len(want))
	}
}
