package state

import (
	"fmt"

	"balsa.example/kv"
	"balsa.example/kv/index"
	"balsa.example/kv/run"
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
	// purgeStep is how many versions are purged while the index is locked, well below 1 ms of work.
	purgeStep = 512
	// Runs are rewritten while all of them together have more than maxGarbage times the bytes of
	// records that are alive, and what is alive in one of them is less than worthRewriting of it.
	maxGarbage     = 1.3
	worthRewriting = 0.8
	// rewriteBytes bounds the runs that are rewritten together.
	rewriteBytes = 128 << 20
)

// Maintain does one step of that work. It tells whether there is more to do now. One goroutine
// calls it, again and again, at leisure.
func (m *Machine) Maintain() (more bool, err error) {
	p := m.present.Load()
	if p.keys.Purge(purgeStep) {
		return true, nil
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
	group := p.garbage(m.files.current)
	if len(group) == 0 {
		return false, nil
	}
	if err := m.rewrite(p, group); err != nil {
		return false, fmt.Errorf("rewrite runs: %w", failed(m.noticed(err)))
	}
	return true, nil
}

// CheckpointWanted tells whether a checkpoint would let Maintain free something.
func (m *Machine) CheckpointWanted() bool {
	p := m.present.Load()
	return p.keys.Compacted() != p.keys.DurablyCompacted()
}

// used is a run, and how many bytes of its records the index refers to.
type used struct {
	run.Info
	live int64
}

func (u *used) share() float64 { return float64(u.live) / float64(u.RecordBytes) }

// garbage chooses runs that follow one another, to be written anew as few. Nil: it is not worth it.
func (p *present) garbage(durable *manifest) []uint32 {
	if durable == nil {
		return nil
	}
	var runs []used
	var all, live int64
	worst, share := -1, worthRewriting
	for _, info := range durable.runs {
		if !info.Sealed {
			continue
		}
		r := used{info, p.keys.LiveBytes(info.File)}
		all, live = all+r.RecordBytes, live+r.live
		if s := r.share(); s < share {
			worst, share = len(runs), s
		}
		runs = append(runs, r)
	}
	if worst < 0 || float64(all) <= maxGarbage*float64(live) {
		return nil
	}
	return neighbours(runs, worst)
}

// neighbours adds to the run that has most garbage those beside it that have much as well, so
// that the new runs are not small.
func neighbours(runs []used, at int) []uint32 {
	first, last, bytes := at, at, runs[at].Bytes
	fits := func(i int) bool {
		return i >= 0 && i < len(runs) && bytes+runs[i].Bytes <= rewriteBytes && runs[i].share() < worthRewriting
	}
	for fits(first-1) || fits(last+1) {
		if fits(first - 1) {
			first--
			bytes += runs[first].Bytes
		} else {
			last++
			bytes += runs[last].Bytes
		}
	}
	var files []uint32
	for _, r := range runs[first : last+1] {
		files = append(files, r.File)
	}
	return files
}

// rewrite writes runs anew and makes a manifest with the new ones durable.
func (m *Machine) rewrite(p *present, group []uint32) error {
	live := func(rec *run.Record, at run.Ref) bool {
		return p.keys.Live(kv.Alias(rec.Key), rec.Mod, index.Ref(at))
	}
	w, err := p.history.Rewrite(m.ctx, group, live, m.cfg.Pace)
	if err != nil {
		return err
	}
	mf := *m.files.current
	mf.runs, mf.nextFile = w.Replace(mf.runs), p.history.NextFile()
	if err := m.files.publish(&mf); err != nil {
		w.Discard()
		return err
	}
	w.Install(func(key []byte, mod uint64, from, to run.Ref) {
		p.keys.Move(kv.Alias(key), mod, index.Ref(from), index.Ref(to))
	})
	w.Forget()
	return m.files.removeOld(p.inUse())
}
