package raft

import "fmt"

// disk is what a node finds after a crash: a log and the newest snapshot. It fulfils the contract
// of Persist and State.
type disk struct {
	hard     HardState
	base     Index // the entry before the first one of the log
	baseTerm Term
	entries  []Entry
	snapshot SnapshotMeta
	// seq is the last Persist that was written since the node was started. queue are the later
	// ones, of which the sync under way covers the first.
	seq     uint64
	queue   []Persist
	syncing int
}

func (d *disk) last() Index { return d.base + Index(len(d.entries)) }

// term returns the term of the durable entry at i, which a snapshot may stand for.
func (d *disk) term(i Index) (Term, bool) {
	switch {
	case i == d.base:
		return d.baseTerm, true
	case i > d.base && i <= d.last():
		return d.entries[i-d.base-1].Term, true
	case i == d.snapshot.Index:
		return d.snapshot.Term, true
	}
	return 0, false
}

// write makes p durable.
func (d *disk) write(p Persist) error {
	if p.Seq != d.seq+1 {
		return fmt.Errorf("persist %d follows %d", p.Seq, d.seq)
	}
	d.seq = p.Seq
	if p.Snapshot != nil {
		if p.Snapshot.Index > d.snapshot.Index {
			return fmt.Errorf("persist %d begins the log after snapshot %s, which is not durable", p.Seq, p.Snapshot)
		}
		d.base, d.baseTerm, d.entries = p.Snapshot.Index, p.Snapshot.Term, nil
	}
	if p.HardState != nil {
		was := d.hard
		if p.HardState.Term < was.Term || p.HardState.Term == was.Term && was.Vote != None && p.HardState.Vote != was.Vote {
			return fmt.Errorf("persist %d goes back from %+v to %+v", p.Seq, was, *p.HardState)
		}
		d.hard = *p.HardState
	}
	for k, e := range p.Entries {
		if k > 0 && e.Index != p.Entries[k-1].Index+1 {
			return fmt.Errorf("persist %d has entry %d behind %d", p.Seq, e.Index, p.Entries[k-1].Index)
		}
	}
	if len(p.Entries) > 0 {
		first := p.Entries[0].Index
		if first <= d.base || first > d.last()+1 {
			return fmt.Errorf("persist %d has entry %d for a log of %d to %d", p.Seq, first, d.base+1, d.last())
		}
		keep := first - d.base - 1
		d.entries = append(d.entries[:keep:keep], p.Entries...)
	}
	return nil
}

func (d *disk) saveSnapshot(m SnapshotMeta) {
	if m.Index > d.snapshot.Index {
		d.snapshot = m
	}
}

// compact drops the log up to and with i.
func (d *disk) compact(i Index) {
	if i <= d.base || i > d.last() {
		return
	}
	term, _ := d.term(i)
	d.entries = append([]Entry(nil), d.entries[i-d.base:]...)
	d.base, d.baseTerm = i, term
}

// load is what a restart finds. A snapshot that is newer than the log, or that the
// log contradicts, replaces the log.
func (d *disk) load() State {
	at := d.snapshot.Index
	if at > d.last() || at < d.base {
		d.base, d.baseTerm, d.entries = at, d.snapshot.Term, nil
	}
	if term, _ := d.term(at); term != d.snapshot.Term {
		d.base, d.baseTerm, d.entries = at, d.snapshot.Term, nil
	}
	d.seq = 0
	return State{HardState: d.hard, Snapshot: d.snapshot, Entries: append([]Entry(nil), d.entries[at-d.base:]...)}
}
