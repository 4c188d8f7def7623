package state

import (
	"fmt"

	"balsa.example/raft"
)

// What compaction has forgotten is freed in two steps, which each replica takes by itself:
//
//  1. Versions are purged from the index, some at a time.
//  2. Runs of which little is left are written anew, without what the index does not refer to.
//
// Neither changes what any read returns. Both wait for a checkpoint that is durable and has the
// compaction: the log behind an older one is executed again after a crash, and finds what it
// found before.

const (
	// purgeStep is how many versions are purged while the index is locked, or about 60 keys that
	// were deleted: some 0.1 ms of work.
	purgeStep = 2048
	// Runs are rewritten while all of them together have more than maxGarbage times the bytes of
	// records that are alive, and what is alive in one of them is less than worthRewriting of it.
	// On a disk that is nearly full all of them are rewritten that have less than worthRewritingShort.
	maxGarbage          = 1.3
	worthRewriting      = 0.8
	worthRewritingShort = 0.95
	// maxDeadDeletes is the share of deletions among all records that only hide something in earlier
	// runs. Beyond it those are rewritten, one by one, though they are mostly alive.
	maxDeadDeletes = 0.1
	// rewriteBytes bounds the runs that are rewritten together.
	rewriteBytes = 128 << 20
	// shortUnwritten divides Config.MaxUnwritten where space is short.
	shortUnwritten = 16
	// keptForLog is what a rewrite leaves of the disk, where it can: one segment of the log.
	keptForLog = 16 << 20
)

// Maintain does one step of that work. It tells whether there is more to do now. One goroutine
// calls it, again and again, at leisure.
func (m *Machine) Maintain() (more bool, err error) {
	p := m.present.Load()
	if more, ok := m.purge(p); more || !ok {
		return more, nil
	}
	select {
	case m.files.work <- struct{}{}:
		defer m.files.end()
	default:
		return false, nil // a checkpoint or a state that arrives
	}
	if p = m.present.Load(); m.files.received != nil {
		return false, nil
	}
	if m.files.untidy != nil {
		if m.files.tidy(p.inUse()); m.files.untidy != nil {
			return false, m.files.untidy
		}
	}
	disk := m.space()
	group, size := p.garbage(m.files.current.Load(), m.scrubs.damage(), disk)
	if len(group) == 0 {
		return false, nil
	}
	rests := 1
	if !disk.short {
		rests = m.leisure.next(size)
	}
	if err := m.rewrite(p, group, rests); err != nil {
		return false, fmt.Errorf("rewrite runs: %w", failed(m.noticed(err)))
	}
	return true, nil
}

// purge purges one step, unless a run is being rebuilt, which relies on what the index has.
func (m *Machine) purge(p *present) (more, ok bool) {
	select {
	case m.purging <- struct{}{}:
		defer func() { <-m.purging }()
		return p.keys.Purge(purgeStep), true
	default:
		return false, false
	}
}

// CheckpointWanted tells whether a checkpoint would let Maintain free something, let members compare
// their histories, write a damaged file anew, or give a state that is far enough to a member that has asked for it;
// or whether much of the history is in memory alone.
func (m *Machine) CheckpointWanted() bool {
	p := m.present.Load()
	return m.smallDamaged() || p.keys.Compacted() != p.keys.DurablyCompacted() || m.compared.Load() > m.files.lastRevision() || m.muchUnwritten(p) ||
		raft.Index(m.awaited.Load()) > m.files.lastIndex()
}

// muchUnwritten tells whether more of the history is in memory alone than there should be. On a disk that is nearly
// full it is less, so that the room for it is still there when it is written. The log cannot be cut before.
func (m *Machine) muchUnwritten(p *present) bool {
	most, unwritten := m.cfg.MaxUnwritten, p.history.Unwritten()
	return most > 0 && (unwritten > most || unwritten > most/shortUnwritten && m.space().short)
}

// space is what a disk has for runs that are written anew.
type space struct {
	// room is how many bytes they may take before those that they replace are removed.
	room int64
	// short: space is worth more work than else.
	short bool
}

// space looks how much there is. Where the disk is so full that the log gets no more anyway, rewrites get half
// of what is left: so space comes back run by run. While a stream needs files those are not removed, and the log
// keeps its space.
func (m *Machine) space() space {
	available, err := m.files.fs.Available(m.files.dir)
	if err != nil || available > rewriteBytes+keptForLog {
		return space{room: rewriteBytes} // not to know is no reason to write nothing
	}
	room := int64(available) - keptForLog
	if !m.files.streams() {
		room = max(room, int64(available)/2)
	}
	return space{room, true}
}

// worth tells which share of a run may be alive at most if it is to be written anew, and how much larger than
// what is alive all runs are left to be.
func (s space) worth() (share, garbage float64) {
	if s.short {
		return worthRewritingShort, 1
	}
	return worthRewriting, maxGarbage
}

// garbage chooses runs that follow one another, to be written anew as few, and tells the size of all. Nil: it is not worth
// it. Those that are damaged have to be repaired first.
func (p *present) garbage(durable *manifest, damaged map[uint32]bool, disk space) (group []uint32, size historySize) {
	if durable == nil {
		return nil, size
	}
	runs := p.use(durable, damaged)
	var dead int64
	share, most := disk.worth()
	worst := -1
	for i := range runs {
		r := &runs[i]
		size.all, size.left = size.all+r.RecordBytes, size.left+int64(r.share()*float64(r.RecordBytes))
		if r.hides {
			dead += r.dead
		}
		if s := r.share(); s < share && r.left() <= disk.room {
			worst, share = i, s
		}
	}
	switch {
	case worst >= 0 && float64(size.all) > most*float64(size.left):
		return neighbours(runs, worst, disk), size
	case float64(dead) > maxDeadDeletes*float64(size.all):
		if i := blocker(runs, p.keys.Purged()); i >= 0 && runs[i].left() <= disk.room {
			return []uint32{runs[i].File}, size
		}
	}
	return nil, size
}

// neighbours adds to the run that has most garbage those beside it that have much as well, so
// that the new runs are not small.
func neighbours(runs []used, at int, disk space) []uint32 {
	share, _ := disk.worth()
	first, last, bytes, left := at, at, runs[at].Bytes, runs[at].left()
	fits := func(i int) bool {
		return i >= 0 && i < len(runs) && bytes+runs[i].Bytes <= rewriteBytes && left+runs[i].left() <= disk.room && runs[i].share() < share
	}
	add := func(r *used) { bytes, left = bytes+r.Bytes, left+r.left() }
	for fits(first-1) || fits(last+1) {
		if fits(first - 1) {
			first--
			add(&runs[first])
		} else {
			last++
			add(&runs[last])
		}
	}
	var files []uint32
	for _, r := range runs[first : last+1] {
		files = append(files, r.File)
	}
	return files
}

// rewrite writes runs anew and makes a manifest with the new ones durable. It rests some times as long as it works.
func (m *Machine) rewrite(p *present, group []uint32, rests int) (err error) {
	end := m.begin(WorkRewrite)
	defer func() { end(err) }()
	purged := p.keys.Purged()
	w, err := p.history.Rewrite(m.ctx, group, p.wanted(m.files.current.Load(), group[0]), m.resting(rests))
	if err != nil {
		return err
	}
	return m.replaceRuns(p, w, purged)
}
