package sim

import (
	"fmt"
	"slices"

	"balsa.example/raft"
)

// model is what is durable on a node's disk, by the contract of rsm.Storage. In most runs it
// is the disk. In the others the disk is a real log, and the model says what it must hold.
type model struct {
	hard     raft.HardState
	base     raft.Index // of the entry before entries[0]
	baseTerm raft.Term
	entries  []raft.Entry
	snapshot raft.SnapshotMeta
	data     []byte // of the snapshot
}

func (m *model) last() raft.Index { return m.base + raft.Index(len(m.entries)) }

// term returns the term of the durable entry at i, or that of the snapshot at i.
func (m *model) term(i raft.Index) (raft.Term, bool) {
	switch {
	case i == m.base:
		return m.baseTerm, true
	case i > m.base && i <= m.last():
		return m.entries[i-m.base-1].Term, true
	case i == m.snapshot.Index:
		return m.snapshot.Term, true
	}
	return 0, false
}

// save makes p durable. An error is a mistake of the caller.
func (m *model) save(p raft.Persist) error {
	if s := p.Snapshot; s != nil {
		if s.Index > m.snapshot.Index { // of a machine that keeps its own state this is its position
			return fmt.Errorf("persist %d begins the log after snapshot %s; the newest is %s", p.Seq, s, m.snapshot)
		}
		m.base, m.baseTerm, m.entries = s.Index, s.Term, nil
	}
	if h := p.HardState; h != nil {
		if h.Term < m.hard.Term || h.Term == m.hard.Term && m.hard.Vote != raft.None && h.Vote != m.hard.Vote {
			return fmt.Errorf("persist %d goes back from %+v to %+v", p.Seq, m.hard, *h)
		}
		m.hard = *h
	}
	if len(p.Entries) == 0 {
		return nil
	}
	first := p.Entries[0].Index
	if first <= m.base || first > m.last()+1 {
		return fmt.Errorf("persist %d has entry %d for a log of %d to %d", p.Seq, first, m.base+1, m.last())
	}
	keep := int(first - m.base - 1)
	if keep < len(m.entries) { // copies of the model share the array
		m.entries = m.entries[:keep:keep]
	}
	m.entries = append(m.entries, p.Entries...)
	return nil
}

// saveSnapshot makes a snapshot the newest.
func (m *model) saveSnapshot(meta raft.SnapshotMeta, data []byte) {
	if meta.Index > m.snapshot.Index {
		m.snapshot, m.data = meta, data
	}
}

// compact drops the log up to i, i included.
func (m *model) compact(i raft.Index) {
	if i <= m.base || i > m.last() {
		return
	}
	term, _ := m.term(i)
	m.entries = slices.Clone(m.entries[i-m.base:])
	m.base, m.baseTerm = i, term
}

// load is rsm.Log.Load from the newest snapshot. A snapshot replaces the log if the log ends
// before it, or has an entry of another term at its index.
func (m *model) load() (raft.State, error) {
	at := m.snapshot.Index
	if at < m.base {
		return raft.State{}, fmt.Errorf("%w: the state is at %s, the log begins behind %d", errLost, m.snapshot, m.base)
	}
	if term, ok := m.termInLog(at); !ok || term != m.snapshot.Term {
		m.base, m.baseTerm, m.entries = at, m.snapshot.Term, nil
	}
	return raft.State{HardState: m.hard, Snapshot: m.snapshot, Entries: slices.Clone(m.entries[at-m.base:])}, nil
}

func (m *model) termInLog(i raft.Index) (raft.Term, bool) {
	if i < m.base || i > m.last() {
		return 0, false
	}
	if i == m.base {
		return m.baseTerm, true
	}
	return m.entries[i-m.base-1].Term, true
}

// equal tells whether a loaded state is what the model would load.
func (m *model) equal(s raft.State) bool {
	want, err := m.load()
	return err == nil && s.HardState == want.HardState && s.Snapshot.Index == want.Snapshot.Index && s.Snapshot.Term == want.Snapshot.Term && s.Snapshot.Configuration.Equal(want.Snapshot.Configuration) &&
		slices.EqualFunc(s.Entries, want.Entries, func(a, b raft.Entry) bool {
			return a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && string(a.Data) == string(b.Data)
		})
}

func (m *model) String() string {
	return fmt.Sprintf("term %d vote %s, snapshot %s, log after %d/%d to %d", m.hard.Term, m.hard.Vote, m.snapshot, m.baseTerm, m.base, m.last())
}
