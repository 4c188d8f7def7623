package rsm

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"balsa.example/raft"
)

// MemoryStorage is a Storage that is lost with the process, unless it is written to bytes
// (MarshalBinary) and read back. It serves tests and examples, and shows what a Storage has to
// do.
type MemoryStorage struct {
	mu       sync.Mutex
	hard     raft.HardState
	snapshot raft.SnapshotMeta // index 0: none was saved
	data     []byte            // of the snapshot
	// base names the entry before entries[0], with the configuration that the storage was
	// created with.
	base    raft.SnapshotMeta
	entries []raft.Entry
}

// NewMemoryStorage returns the storage of a new member of a cluster.
func NewMemoryStorage(c raft.Configuration) *MemoryStorage {
	m := raft.SnapshotMeta{Configuration: c}
	return &MemoryStorage{snapshot: m, base: m}
}

// Load is part of Log.
func (s *MemoryStorage) Load(from raft.SnapshotMeta) (raft.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case from.Index < s.base.Index:
		return raft.State{}, fmt.Errorf("load the log behind %s: it begins behind %s", from, s.base)
	case from.Index == 0:
		from = s.base
	case from.Index > s.last() || s.term(from.Index) != from.Term:
		s.restart(from)
	}
	entries := append([]raft.Entry(nil), s.entries[from.Index-s.base.Index:]...)
	return raft.State{HardState: s.hard, Snapshot: from, Entries: entries}, nil
}

// restart replaces the log by an empty one behind m.
func (s *MemoryStorage) restart(m raft.SnapshotMeta) {
	s.base.Index, s.base.Term, s.entries = m.Index, m.Term, nil
}

// term returns the term of the entry at i, which is base or behind it.
func (s *MemoryStorage) term(i raft.Index) raft.Term {
	if i == s.base.Index {
		return s.base.Term
	}
	return s.entries[i-s.base.Index-1].Term
}

func (s *MemoryStorage) last() raft.Index { return s.base.Index + raft.Index(len(s.entries)) }

// Save is part of Log.
func (s *MemoryStorage) Save(ps []raft.Persist) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		if p.Snapshot != nil {
			s.restart(*p.Snapshot)
		}
		if p.HardState != nil {
			s.hard = *p.HardState
		}
		if len(p.Entries) == 0 {
			continue
		}
		first := p.Entries[0].Index
		if first <= s.base.Index || first > s.last()+1 {
			return fmt.Errorf("save entry %d into a log of %d to %d", first, s.base.Index+1, s.last())
		}
		keep := first - s.base.Index - 1
		s.entries = append(s.entries[:keep], p.Entries...)
	}
	return nil
}

// SaveSnapshot is part of Snapshots.
func (s *MemoryStorage) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if meta.Index > s.snapshot.Index {
		s.snapshot, s.data = meta, buf.Bytes()
	}
	return nil
}

// OpenSnapshot is part of Snapshots.
func (s *MemoryStorage) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, io.NopCloser(bytes.NewReader(s.data)), nil
}

// Compact is part of Log.
func (s *MemoryStorage) Compact(index raft.Index) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.base.Index && index <= s.last() {
		term := s.term(index)
		s.entries = append([]raft.Entry(nil), s.entries[index-s.base.Index:]...)
		s.base.Index, s.base.Term = index, term
	}
	return nil
}

// LogBytes is the size of the log held, in the measure of raft.Entry.Size.
func (s *MemoryStorage) LogBytes() (size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		size += int64(e.Size())
	}
	return size
}

// SnapshotBytes is the size of the newest snapshot's data.
func (s *MemoryStorage) SnapshotBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.data))
}
