package state

import (
	"balsa.example/kv"
	"balsa.example/kv/run"
)

// A run that is written anew must not lose each deletion that the index has forgotten. An earlier run,
// which is not written anew as it is mostly alive, may still have a record of the deleted key. The
// next start would find that record and no deletion behind it: the key would be back. So a deletion
// stays until the runs before it have certainly nothing that it hides.

// deletes knows that of the runs of a present. Only the goroutine that rewrites runs uses it.
type deletes struct {
	// clean has for each file a revision: it has no record of a key that was overwritten or deleted
	// before that. None is known for those that were not written anew since the start.
	clean map[uint32]uint64
	// dead has for each file the bytes of deletions that the index does not refer to.
	dead map[uint32]int64
}

// used is a run, and what of its records is of use.
type used struct {
	run.Info
	live int64 // bytes that the index refers to
	dead int64 // of deletions besides
	// hides tells whether the dead deletions may hide something.
	hides   bool
	clean   uint64
	damaged bool
}

// share is how much of a run would be left. One that is damaged has to be repaired first.
func (u *used) share() float64 {
	switch {
	case u.damaged:
		return 1
	case u.hides:
		return float64(u.live+u.dead) / float64(u.RecordBytes)
	}
	return float64(u.live) / float64(u.RecordBytes)
}

// left is about how many bytes of the file would be left.
func (u *used) left() int64 { return int64(u.share() * float64(u.Bytes)) }

// hidden returns the lowest revision whose deletion may hide a record of this run.
func (u *used) hidden() uint64 {
	if u.live+u.dead == u.RecordBytes {
		return nothing
	}
	return u.clean
}

// nothing is above all revisions.
const nothing = ^uint64(0)

// use returns the sealed runs of a manifest.
func (p *present) use(durable *manifest, damaged map[uint32]bool) (runs []used) {
	hidden := nothing
	for _, info := range durable.runs {
		if !info.Sealed {
			continue
		}
		file := info.File
		u := used{Info: info, live: p.keys.LiveBytes(file), dead: p.deletes.dead[file], clean: p.deletes.clean[file], damaged: damaged[file]}
		u.hides = hidden <= info.Last
		hidden = min(hidden, u.hidden())
		runs = append(runs, u)
	}
	return runs
}

// hiddenBefore returns the lowest revision whose deletion may hide a record in the runs before a file.
func (p *present) hiddenBefore(durable *manifest, file uint32) uint64 {
	lowest := nothing
	for _, u := range p.use(durable, nil) {
		if u.File == file {
			break
		}
		lowest = min(lowest, u.hidden())
	}
	return lowest
}

// blocker returns the run whose rewriting lets most dead deletions behind it go, -1 if that lets
// none go.
func blocker(runs []used, purged uint64) int {
	lowest, at := purged, -1
	for i := range runs {
		if h := runs[i].hidden(); h < lowest && !runs[i].damaged {
			lowest, at = h, i
		}
	}
	return at
}

// wanted returns what tells which records of some runs, the first of which is given, are of use.
func (p *present) wanted(durable *manifest, first uint32) func(rec *run.Record, at run.Ref) bool {
	hidden := p.hiddenBefore(durable, first)
	return func(rec *run.Record, at run.Ref) bool {
		return p.keys.Live(kv.Alias(rec.Key), rec.Mod, at) || rec.Deleted && rec.Mod >= hidden
	}
}

// rewritten notes what is known of a run that was written anew, when so much was purged.
func (d *deletes) rewritten(info run.Info, live int64, purged uint64) {
	d.clean[info.File], d.dead[info.File] = purged, info.RecordBytes-live
}

// forget drops what is known of files that are there no more.
func (d *deletes) forget(there map[uint32]bool) {
	for file := range d.dead {
		if !there[file] {
			delete(d.dead, file)
		}
	}
	for file := range d.clean {
		if !there[file] {
			delete(d.clean, file)
		}
	}
}
