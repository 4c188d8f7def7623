package run

import (
	"context"
	"fmt"
)

// Agrees tells whether two histories, as manifests list them, are the same up to a revision: there is
// a run in each that ends there or later with the same revision and the same chain hash.
func Agrees(a, b []Info, upTo uint64) bool {
	ends := map[uint64]uint64{}
	for _, i := range a {
		ends[i.Last] = i.ChainAfter
	}
	for _, i := range b {
		if chain, ok := ends[i.Last]; ok && i.Last >= upTo && chain == i.ChainAfter {
			return true
		}
	}
	return false
}

// Rebuild is Rewrite of a damaged run, from other files than its own: from those in which another
// member has the same revisions, in their order. They are in the directory and in no History, and
// what they hold was checked. It asks where for each record of the run's revisions: whether it is
// wanted, and where in the damaged run it was. The caller knows which records are wanted, and has to
// see that none of them was missing.
func (h *History) Rebuild(ctx context.Context, file uint32, from []Info, where func(rec *Record) (Ref, bool), pace func(bytes int)) (*Rewritten, error) {
	if h.failed != nil {
		return nil, h.failed
	}
	old, err := h.adjacent([]uint32{file})
	if err != nil {
		return nil, err
	}
	w := &rewriter{Rewritten: Rewritten{h: h, old: old, pacing: pacing{pace: pace}}}
	w.begin(old[0])
	for _, info := range from {
		if err := w.copy(ctx, old[0].info, info, where); err != nil {
			return nil, w.abandon(err)
		}
	}
	if err := w.finish(ctx, old[0]); err != nil {
		return nil, w.abandon(err)
	}
	if err := h.syncNames(); err != nil {
		return nil, w.abandon(err)
	}
	return &w.Rewritten, nil
}

// copy adds the wanted records of a file that are of the revisions of an old run.
func (w *rewriter) copy(ctx context.Context, old, from Info, where func(rec *Record) (Ref, bool)) error {
	files := w.h.files
	file, err := files.open(from.File)
	if err != nil {
		return err
	}
	defer file.Close()
	r, err := files.records(file, from, old.First)
	if err != nil {
		return err
	}
	var rec record
	for r.at < r.end {
		if err := r.next(&rec); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		w.did(len(rec.raw))
		if rec.Mod < old.First || rec.Mod > old.Last {
			continue
		}
		if rec.Mod != w.tailMod {
			w.endRevision()
		}
		at, ok := where(&rec.Record)
		if !ok {
			continue
		}
		if at.Size != rec.at.Size {
			return fmt.Errorf("run: rebuild %s: the record of %q at revision %d has %d bytes, want %d", files.Path(old.File), rec.Key, rec.Mod, rec.at.Size, at.Size)
		}
		rec.at = at
		w.add(&rec)
	}
	w.endRevision()
	return nil
}
