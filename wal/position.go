package wal

import (
	"errors"
	"fmt"

	"balsa.example/raft"
)

// position is where the log stands after some batch, without the entries. Writer
// and recovery move it by the same rules.
type position struct {
	hard raft.HardState
	// last and lastTerm name the last entry, or what the log was reset to.
	last     raft.Index
	lastTerm raft.Term
	// compacted is the highest index that the log was compacted at or reset to: covered by
	// a snapshot, and so committed and never replaced. It is at most last.
	compacted raft.Index
}

func (p *position) reset(index raft.Index, term raft.Term) error {
	if index < p.compacted {
		return fmt.Errorf("reset to index %d below the compaction at %d", index, p.compacted)
	}
	p.last, p.lastTerm, p.compacted = index, term, index
	return nil
}

func (p *position) append(entries []raft.Entry) error {
	if len(entries) == 0 {
		return errors.New("no entries in a record of entries")
	}
	first := entries[0].Index
	if first <= p.compacted || first > p.last+1 {
		return fmt.Errorf("entry %d cannot follow entry %d and compaction at %d", first, p.last, p.compacted)
	}
	for i, e := range entries {
		if e.Index != first+raft.Index(i) {
			return fmt.Errorf("entry %d follows entry %d", e.Index, first+raft.Index(i)-1)
		}
	}
	end := entries[len(entries)-1]
	p.last, p.lastTerm = end.Index, end.Term
	return nil
}

func (p *position) compact(index raft.Index) error {
	if index <= p.compacted || index > p.last {
		return fmt.Errorf("compaction at %d after one at %d and entry %d", index, p.compacted, p.last)
	}
	p.compacted = index
	return nil
}
