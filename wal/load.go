package wal

import (
	"errors"
	"fmt"
	"sync"

	"balsa.example/raft"
)

// loaded is the state that Open found, until Load has returned it.
type loaded struct {
	mu struct {
		sync.Mutex
		state *raft.State
	}
}

func (l *loaded) set(s raft.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.state = &s
}

// take returns the state, which can then be collected.
func (l *loaded) take(from raft.SnapshotMeta) (raft.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state == nil {
		return raft.State{}, errors.New("wal: loaded twice")
	}
	s := *l.mu.state
	if from.Index != s.Snapshot.Index || from.Term != s.Snapshot.Term {
		return raft.State{}, fmt.Errorf("wal: load the log behind %s: the newest snapshot is %s", from, s.Snapshot)
	}
	l.mu.state = nil
	return s, nil
}
