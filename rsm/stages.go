package rsm

import (
	"sort"
	"sync"
	"time"

	"balsa.example/raft"
)

// Stages tells when an entry of the log came how far on one replica. The zero time stands for a stage
// that it has not come to, or of which the replica knows no more.
type Stages struct {
	// Logged: the entry is in the log. A leader has proposed it, a follower has got it.
	Logged time.Time
	// Writing and Synced: the own disk began to write it, and has it. Meanwhile it is on its way to the
	// other replicas, and a majority may have it before the own disk does.
	Writing, Synced time.Time
	// Committed: this replica knows that a majority has it.
	Committed time.Time
	// Applying and Applied: the state machine began with the entries that were handed to it together
	// with this one, and has executed them all.
	Applying, Applied time.Time
}

// Stages returns when the entry at an index came how far on this replica. Replicas note it for each
// batch of entries, not for each entry, and remember the last maxMarks batches of each stage. It may
// be called by any goroutine. If another leader's entry was at the index before, times of that one may
// be among those that are returned.
func (n *Node[Op, Result]) Stages(index raft.Index) Stages {
	when := func(m *marks) time.Time {
		if at, ok := m.when(index); ok {
			return n.start.Add(time.Duration(at - 1))
		}
		return time.Time{}
	}
	s := &n.stages
	return Stages{
		Logged:  when(&s.logged),
		Writing: when(&s.writing), Synced: when(&s.synced),
		Committed: when(&s.committed),
		Applying:  when(&s.applying), Applied: when(&s.applied),
	}
}

// stageMarks are the marks of each stage.
type stageMarks struct{ logged, writing, synced, committed, applying, applied marks }

// begin says that all entries up to last were loaded, and those up to applied are in the state.
func (s *stageMarks) begin(last, applied raft.Index, now raft.Instant) {
	for _, m := range []*marks{&s.logged, &s.writing, &s.synced} {
		m.reach(last, now)
	}
	for _, m := range []*marks{&s.committed, &s.applying, &s.applied} {
		m.reach(applied, now)
	}
}

// maxMarks bounds the marks of one stage: 256 KiB. A request that took half a second is told from them
// at up to 30,000 batches a second.
const maxMarks = 1 << 14

// marks remembers when one stage was reached. Each mark says that all entries up to an index, and
// beyond the mark before, came there at a time.
type marks struct {
	mu    sync.Mutex
	ring  []mark // the oldest is at first, in rising order of indexes and times
	first int
}

type mark struct {
	index raft.Index
	at    raft.Instant
}

// nth is the mark that is i places behind the oldest.
func (m *marks) nth(i int) *mark { return &m.ring[(m.first+i)%len(m.ring)] }

// reach notes that entries up to index have come here. An index below the last one says that the log
// was cut, so that entries between the two are to come again.
func (m *marks) reach(index raft.Index, at raft.Instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.ring)
	switch {
	case n > 0 && index == m.nth(n-1).index:
	case n > 0 && index < m.nth(n-1).index:
		for i := n - 1; i >= 0 && m.nth(i).index > index; i-- {
			m.nth(i).index = index
		}
	case n < maxMarks:
		m.ring = append(m.ring, mark{index, at})
	default:
		m.ring[m.first] = mark{index, at}
		m.first = (m.first + 1) % maxMarks
	}
}

// note is reach for the last entry of a task, 0 if that has none.
func (m *marks) note(last raft.Index, at raft.Instant) {
	if last > 0 {
		m.reach(last, at)
	}
}

// when returns when the entry at index came here, false if that is not known: it has not, or it is at
// or before the oldest mark.
func (m *marks) when(index raft.Index) (at raft.Instant, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := sort.Search(len(m.ring), func(i int) bool { return m.nth(i).index >= index })
	if i == 0 || i == len(m.ring) {
		return 0, false
	}
	return m.nth(i).at, true
}

// lastEntry is the index of the last entry of a task, 0 if there is none.
func (t *DiskTask) lastEntry() raft.Index {
	if t.Persist == nil || len(t.Persist.Entries) == 0 {
		return 0
	}
	return t.Persist.Entries[len(t.Persist.Entries)-1].Index
}

func (s *DiskStep) lastEntry() (last raft.Index) {
	for i := range s.Persists {
		if entries := s.Persists[i].Entries; len(entries) > 0 {
			last = entries[len(entries)-1].Index // a later Persist may replace what an earlier one has
		}
	}
	return last
}

func (t *ApplyTask[W]) lastEntry() raft.Index {
	if len(t.Commands) == 0 {
		return 0
	}
	return t.Commands[len(t.Commands)-1].Entry.Index
}
