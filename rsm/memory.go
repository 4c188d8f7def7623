package rsm

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"balsa.example/raft"
)

// MemoryStorage is a Storage that forgets everything with the process. It serves
// tests and examples, and shows all that a Storage has to do.
type MemoryStorage struct {
	mu       sync.Mutex
	hard     raft.HardState
	snapshot raft.SnapshotMeta
	data     []byte
	base     raft.Index // of the entry before entries[0]
	entries  []raft.Entry
}

// NewMemoryStorage returns the storage of a new member of a cluster.
func NewMemoryStorage(c raft.Configuration) *MemoryStorage {
	return &MemoryStorage{snapshot: raft.SnapshotMeta{Configuration: c}}
}

// Load is part of Storage.
func (s *MemoryStorage) Load() (raft.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.snapshot.Index
	if at != s.base && (at < s.base || at > s.last() || s.entries[at-s.base-1].Term != s.snapshot.Term) {
		s.base, s.entries = at, nil // the snapshot replaces the log
	}
	entries := append([]raft.Entry(nil), s.entries[at-s.base:]...)
	return raft.State{HardState: s.hard, Snapshot: s.snapshot, Entries: entries}, nil
}

func (s *MemoryStorage) last() raft.Index { return s.base + raft.Index(len(s.entries)) }

// Save is part of Storage.
func (s *MemoryStorage) Save(ps []raft.Persist) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		if p.Snapshot != nil {
			s.base, s.entries = p.Snapshot.Index, nil
		}
		if p.HardState != nil {
			s.hard = *p.HardState
		}
		if len(p.Entries) == 0 {
			continue
		}
		first := p.Entries[0].Index
		if first <= s.base || first > s.last()+1 {
			return fmt.Errorf("save entry %d into a log of %d to %d", first, s.base+1, s.last())
		}
		keep := first - s.base - 1
		s.entries = append(s.entries[:keep], p.Entries...)
	}
	return nil
}

// SaveSnapshot is part of Storage.
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

// OpenSnapshot is part of Storage.
func (s *MemoryStorage) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, io.NopCloser(bytes.NewReader(s.data)), nil
}

// Compact is part of Storage.
func (s *MemoryStorage) Compact(index raft.Index) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index > s.base && index <= s.last() {
		s.entries = append([]raft.Entry(nil), s.entries[index-s.base:]...)
		s.base = index
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
