package kv

import (
	"fmt"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// OpenStore returns the store that a checkpoint holds: its totals, and its history, to which
// nothing was appended yet. The history may have more records than the compaction of the
// totals has left; they stay out of the index.
//
// With many keys that takes long. It asks goOn again and again, and ends with its error if that is not nil.
func OpenStore(history *run.History, t Totals, leases Leases, goOn func() error) (*Store, error) {
	s := NewStore(history, leases)
	s.totals, s.durable, s.chain = t.totals, t.compacted, history.Chain()
	if last := history.Revision(); last > t.revision {
		return nil, fmt.Errorf("kv: the history ends at revision %d, the store was at %d", last, t.revision)
	}
	l := loader{s: s, to: s.index.Load(), goOn: goOn}
	if err := history.Load(l.entry); err != nil {
		return nil, fmt.Errorf("load the index: %w", err)
	}
	if l.ended != nil {
		return nil, l.ended
	}
	l.finish()
	l.to.Done()
	return s, nil
}

// loader fills the index from the entries of all runs, which come by key and revision.
type loader struct {
	s      *Store
	to     *index.Loader
	key    []byte // of versions
	newest index.Head
	older  []index.Version

	goOn    func() error
	entries int
	ended   error // what it has said
}

// askEvery is how many entries are loaded before goOn is asked again.
const askEvery = 4096

func (l *loader) entry(e *run.Entry) bool {
	if l.entries++; l.entries%askEvery == 1 {
		if l.ended = l.goOn(); l.ended != nil {
			return false
		}
	}
	if l.newest.Mod == 0 || string(e.Key) != string(l.key) {
		l.finish()
		l.key = append(l.key[:0], e.Key...)
	} else {
		l.older = append(l.older, index.Version{Mod: l.newest.Mod, Ref: l.newest.Ref, Deleted: l.newest.Deleted})
	}
	l.newest = index.Head{
		Mod: e.Mod, Create: e.Create, Version: e.Version, Lease: e.Lease, Deleted: e.Deleted, Ref: e.At,
	}
	return true
}

// finish adds the key that was read, without what compaction has taken.
func (l *loader) finish() {
	n, s := l.newest, l.s
	defer func() { l.newest, l.older = index.Head{}, l.older[:0] }()
	if n.Mod == 0 {
		return
	}
	if n.Deleted && n.Mod < s.compacted {
		l.older = append(l.older, index.Version{Mod: n.Mod, Ref: n.Ref, Deleted: true})
		l.forget(l.older)
		return
	}
	first := 0
	for i := range l.older { // a version goes if the one after it is below the compacted revision
		after := n.Mod
		if i+1 < len(l.older) {
			after = l.older[i+1].Mod
		}
		if after >= s.compacted {
			break
		}
		first = i + 1
	}
	kept := l.older[first:]
	for len(kept) > 0 && kept[0].Deleted && kept[0].Mod < s.compacted {
		kept = kept[1:]
	}
	l.forget(l.older[:len(l.older)-len(kept)])
	for _, v := range kept {
		s.live[v.Ref.Run] += int64(v.Ref.Size)
	}
	s.account(index.Head{Deleted: true}, n)
	l.to.Add(string(l.key), n, kept)
}

// forget counts the deletions among versions that stay out of the index.
func (l *loader) forget(versions []index.Version) {
	for _, v := range versions {
		if v.Deleted {
			l.s.deadDeletes[v.Ref.Run] += int64(v.Ref.Size)
		}
	}
}
